"""The hot routes: prediction, outcomes, examples, V2 inference and uploads, in front of Flask. Parse → call the flow → answer.

Everything else goes to Flask in a native thread, since it may wait for the store.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from io import BytesIO
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias, TypeVar

import msgspec
from gunicorn.http.errors import ParseException

from core.errors import Invalid, Malformed, TiltyardError, TooLarge
from core.ids import parse_version
from core.values import Label
from flows import outcome, teach
from flows.events import EventPost, Quay
from flows.events import accept as accept_events
from flows.outcome import Desk, OutcomePost
from flows.predict import Answer, Ask, predict, predict_pinned
from flows.teach import ExamplePost
from flows.views.features import declared_streams
from models.features.serving import Filler
from server import v2
from server.decoding import decode
from server.errors import JSON, PROBLEM, SlowBody, WrongMethod, headers_of, problem, status_of, v2_error
from server.home import clock
from server.uploads import Uploads
from server.v2 import Infer
from server.worker import Worker

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
T = TypeVar("T")
WSGI: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]

_V1, _PREDICT = "/v1/endpoints/", "/predict"
_V2, _INFER = "/v2/models/", "/infer"
_OUTCOMES, _EVENTS = "/v1/outcomes", "/v1/events/"
_UPLOAD = re.compile(r"/v1/(?:samples|models/([^/]+)/versions)\Z")
_LEARN = re.compile(r"/v1/models/([^/]+)/learn\Z")
_log = logging.getLogger("tiltyard.http")


class PredictBody(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The body of a v1 prediction."""

    unit: str | None = None
    features: dict[str, Any] | None = None
    instances: list[Any] | None = None
    context: dict[str, Label] | None = None


class Reply(NamedTuple):
    """What is sent, and what is counted: the endpoint and arm are registered names or empty."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes
    endpoint: str = ""
    arm: str = ""


_PREDICT_BODY = msgspec.json.Decoder(PredictBody)
_OUTCOME_BODY = msgspec.json.Decoder(list[OutcomePost])
_ONE_OUTCOME = msgspec.json.Decoder(OutcomePost)
_EVENTS_BODY = msgspec.json.Decoder(list[EventPost])
_ONE_EVENT = msgspec.json.Decoder(EventPost)
_INFER_BODY = msgspec.json.Decoder(Infer)
_EXAMPLE_BODY = msgspec.json.Decoder(list[ExamplePost])
_ONE_EXAMPLE = msgspec.json.Decoder(ExamplePost)
_MOST_IGNORED, _PIECE = 16 * 2**20, 2**16
"""Bytes of a body that is too large which are read and thrown away, and how many at once."""

_encode = msgspec.json.encode


class HotRoutes:
    """The WSGI application of a worker."""

    def __init__(self, worker: Worker, flask: WSGI) -> None:
        self._worker = worker
        self._flask = flask
        self._uploads = Uploads(worker)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        start = perf_counter()
        reply = self._reply(environ)
        start_response(reply.status, [*reply.headers, ("Content-Length", str(len(reply.body)))])
        self._worker.metrics.answered(reply.endpoint, reply.arm, int(reply.status[:3]), perf_counter() - start)
        return [reply.body]

    def _reply(self, environ: Environ) -> Reply:
        path = environ["PATH_INFO"]
        if path.startswith(_V1) and path.endswith(_PREDICT):
            return self._safely(self._predict, environ, path[len(_V1) : -len(_PREDICT)], PROBLEM, problem)
        if path == _OUTCOMES:
            return self._safely(self._outcomes, environ, "", PROBLEM, problem)
        if path.startswith(_EVENTS):
            return self._safely(lambda environ, _: self._events(environ, path[len(_EVENTS) :]), environ, "", PROBLEM, problem)
        if path.startswith(_V2) and path.endswith(_INFER):
            return self._safely(self._infer, environ, path[len(_V2) : -len(_INFER)], JSON, v2_error)
        learn = _LEARN.match(path)
        if learn is not None:
            model = learn[1]
            return self._safely(lambda environ, _: self._learn(environ, model), environ, "", PROBLEM, problem)
        upload = _UPLOAD.match(path) if environ["REQUEST_METHOD"] == "POST" else None
        if upload is not None:
            model = upload[1]
            return self._safely(lambda environ, _: self._upload(environ, model), environ, "", PROBLEM, problem)
        # Flask's turn, in a native thread; its body is read here, where waiting for the client holds up nobody.
        return self._safely(self._flask_reply, environ, "", PROBLEM, problem)

    def _safely(
        self,
        handle: Callable[[Environ, str], Reply],
        environ: Environ,
        name: str,
        content_type: str,
        form: Callable[[TiltyardError], bytes],
    ) -> Reply:
        try:
            return handle(environ, name)
        except TiltyardError as error:
            code, phrase = status_of(error)
            endpoint = name if name in self._worker.routes.by_endpoint else ""
            return Reply(f"{code} {phrase}", [("Content-Type", content_type), *headers_of(error)], form(error), endpoint)
        except Exception as error:
            _log.exception("an error of this server's own, not of the request")
            hidden = TiltyardError(f"the server made a mistake ({type(error).__name__}); its log says more", code="internal")
            return Reply("500 Internal Server Error", [("Content-Type", content_type)], form(hidden))

    def _predict(self, environ: Environ, endpoint: str) -> Reply:
        worker = self._worker
        _check(environ)
        worker.guard.traffic(environ.get("HTTP_AUTHORIZATION"), "predict")
        route = worker.routes.of(endpoint)
        body = decode(_PREDICT_BODY, self._body(environ))
        self._check_rows(len(body.instances or ()))
        unit = body.unit if body.unit is not None else _unit(environ)
        answer = predict(route, Ask(unit, body.features, body.instances, self._forced(environ), body.context), worker.means)
        return self._answered(answer, _encode(answer))

    def _infer(self, environ: Environ, name: str) -> Reply:
        worker = self._worker
        _check(environ)
        worker.guard.traffic(environ.get("HTTP_AUTHORIZATION"), "predict")
        model, _, version = name.partition("/versions/")
        request = decode(_INFER_BODY, self._body(environ))
        unit, most = _unit(environ), worker.home.settings.max_rows
        if version:
            route, arm = worker.routes.pinned(str(parse_version(f"{model}@{version}", "version")))
            ask = v2.ask_of(request, route.arms[arm].inputs.names, unit, None, most, _keys(route.filler))
            answer = predict_pinned(route, arm, ask, worker.means)
        else:
            route = worker.routes.of(model)
            ask = v2.ask_of(request, route.inputs.names, unit, self._forced(environ), most, _keys(route.filler))
            answer = predict(route, ask, worker.means)
        return self._answered(answer, _encode(v2.answer_of(request.id, model, answer)))

    def _outcomes(self, environ: Environ, _: str) -> Reply:
        worker = self._worker
        _check(environ)
        worker.guard.traffic(environ.get("HTTP_AUTHORIZATION"), "outcome")
        posts = _one_or_many(_ONE_OUTCOME, _OUTCOME_BODY, self._body(environ))
        desk = Desk(worker.writer.append, clock, worker.routes.by_endpoint, worker.home.settings.max_rows)
        accepted = outcome.accept(posts, desk)
        worker.commit.wait()
        known = worker.routes.metrics
        for metric, count in Counter(post.metric if post.metric in known else "" for post in posts).items():
            worker.metrics.observed(metric, count)
        return Reply("202 Accepted", [("Content-Type", JSON)], _encode(accepted))

    def _learn(self, environ: Environ, model: str) -> Reply:
        worker = self._worker
        _check(environ)
        worker.guard.traffic(environ.get("HTTP_AUTHORIZATION"), "outcome")
        posts = _one_or_many(_ONE_EXAMPLE, _EXAMPLE_BODY, self._body(environ))
        examples = teach.checked(posts, model, worker.taker(model), clock, worker.home.settings.max_rows)
        accepted = teach.append(examples, worker.writer.append)
        worker.commit.wait()
        return Reply("202 Accepted", [("Content-Type", JSON)], _encode(accepted))

    def _events(self, environ: Environ, stream: str) -> Reply:
        worker = self._worker
        _check(environ)
        worker.guard.traffic(environ.get("HTTP_AUTHORIZATION"), "outcome")
        posts = _one_or_many(_ONE_EVENT, _EVENTS_BODY, self._body(environ))
        quay = Quay(worker.writer.append, clock, self._streams(stream), worker.home.settings.max_rows)
        accepted = accept_events(stream, posts, quay)
        worker.commit.wait()
        return Reply("202 Accepted", [("Content-Type", JSON)], _encode(accepted))

    def _upload(self, environ: Environ, model: str | None) -> Reply:
        try:
            made = self._uploads.sample(environ) if model is None else self._uploads.version(environ, model)
        except SlowBody:
            raise
        except TiltyardError:
            self._let_finish(environ)
            raise
        location = [] if made.location is None else [("Location", made.location)]
        return Reply("201 Created", [("Content-Type", JSON), *location], _encode(made.shown))

    def _streams(self, stream: str) -> frozenset[str]:
        """A stream that was declared a moment ago is not unknown: the store is asked before it is said to be."""
        known = self._worker.routes.streams
        return known if stream in known else self._worker.offload(lambda: declared_streams(self._worker.home.store))

    def _answered(self, answer: Answer, body: bytes) -> Reply:
        metrics = self._worker.metrics
        if answer.fallback:
            metrics.fell_back(answer.endpoint, answer.arm)
        if not answer.logged:
            metrics.unlogged(answer.endpoint, answer.arm)
        headers = [("Content-Type", JSON), ("X-Tiltyard-Arm", answer.arm)]
        if answer.prediction_id is not None:
            headers.append(("X-Tiltyard-Prediction-Id", answer.prediction_id))
        return Reply("200 OK", headers, body, answer.endpoint, answer.arm)

    def _forced(self, environ: Environ) -> str | None:
        forced: str | None = environ.get("HTTP_X_TILTYARD_FORCE_ARM")
        if forced is not None:
            self._worker.guard.control(environ.get("HTTP_AUTHORIZATION"))
        return forced

    def _check_rows(self, count: int) -> None:
        most = self._worker.home.settings.max_rows
        if count > most:
            raise TooLarge(f"instances: expected at most {most} rows, got {count}", field="instances")

    def _body(self, environ: Environ) -> bytes:
        """The whole body, whether its length was told or it came in chunks; raises TooLarge, SlowBody or Malformed."""
        most = self._worker.home.settings.max_body_bytes
        length = environ.get("CONTENT_LENGTH")
        if length and length.isdigit() and int(length) > most:
            self._let_finish(environ)
            raise _too_large(most)
        try:
            with self._worker.patience:
                body: bytes = environ["wsgi.input"].read(most + 1)
        except (OSError, ValueError, ParseException) as error:
            raise Malformed(f"body: could not be read: {error}", field="body") from None
        if len(body) > most:
            self._let_finish(environ)
            raise _too_large(most)
        return body

    def _let_finish(self, environ: Environ) -> None:
        """Read on for a while, since a client that still sends may never see an answer; then the connection is closed."""
        source, left = environ["wsgi.input"], _MOST_IGNORED
        try:
            with self._worker.patience:
                while left > 0 and (data := source.read(min(left, _PIECE))):
                    left -= len(data)
        except (SlowBody, OSError, ValueError, ParseException):
            left = 0
        if left <= 0:
            source.failed = True  # gunicorn's sign that the next request on this connection cannot be found

    def _flask_reply(self, environ: Environ, _: str) -> Reply:
        body = self._body(environ)
        inner = {**environ, "wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body)), "wsgi.input_terminated": True}
        inner.pop("HTTP_TRANSFER_ENCODING", None)
        return self._worker.offload(lambda: _run(self._flask, inner))


def _one_or_many(one: msgspec.json.Decoder[T], many: msgspec.json.Decoder[list[T]], body: bytes) -> list[T]:
    """What is posted, as one object or as a list of them."""
    return decode(many, body) if body.lstrip()[:1] == b"[" else [decode(one, body)]


def _keys(filler: Filler | None) -> Collection[str]:
    return () if filler is None else filler.keys


def _unit(environ: Environ) -> str | None:
    """The unit that the header names. WSGI hands headers over as Latin-1; the same name in a body is UTF-8, and must be the same unit."""
    given: str | None = environ.get("HTTP_X_TILTYARD_UNIT")
    if given is None or given.isascii():
        return given
    try:
        return given.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise Invalid("X-Tiltyard-Unit: expected UTF-8", field="X-Tiltyard-Unit") from None


def _check(environ: Environ) -> None:
    """A POST, and none that a foreign page has made a browser send: with JSON as its type that would have been asked for first."""
    if environ["REQUEST_METHOD"] != "POST":
        raise WrongMethod(f"{environ['REQUEST_METHOD'][:20]}: expected POST")
    if "HTTP_ORIGIN" in environ and not environ.get("CONTENT_TYPE", "").startswith(JSON):
        raise Invalid(f"Content-Type: expected {JSON}", field="Content-Type", code="content-type")


def _run(application: WSGI, environ: Environ) -> Reply:
    started: list[Any] = []
    chunks = application(environ, lambda status, headers, exc_info=None: started.extend((status, headers)))
    try:
        body = b"".join(chunks)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    headers = [(name, value) for name, value in started[1] if name.lower() != "content-length"]
    return Reply(started[0], headers, body)


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"body: expected at most {most} bytes", field="body")
