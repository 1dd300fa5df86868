"""What a prediction consists of, timed step by step on the real objects, in one process and without a socket."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from io import BytesIO
from time import perf_counter
from typing import Any

import msgspec

from benchmarks import site
from core import events
from core.events import Predicted
from core.ids import format_prediction_id
from flows.predict import Answer
from server.app import create_app
from server.decoding import decode
from server.home import Home, clock
from server.hot import HotRoutes, PredictBody
from server.metrics import compact
from server.worker import Worker

CALLS = 500
ROUNDS = 15


def steps(home: Home) -> dict[str, float]:
    """Step → median time in seconds; `whole` is the application's part of a request, `own` that without the model."""
    compact.clear(home.metrics)
    worker = Worker(home, "benchmark", "127.0.0.1")
    worker.start()
    application = HotRoutes(worker, create_app(home, worker.routes, worker.guard).wsgi_app)
    environs = [_environ(body) for body in site.bodies()[:CALLS]]
    found = _parts(worker)
    found["whole"] = _time(lambda number: application(environs[number], _ignore), lambda: _rewind(environs))
    found["own"] = found["whole"] - found["predict"]
    worker.writer.close()
    return found


def _parts(worker: Worker) -> dict[str, float]:
    decoder, encode = msgspec.json.Decoder(PredictBody), msgspec.json.encode
    route = worker.routes.of(site.ENDPOINT)
    plan, arm = route.plan, route.arms["control"]
    bodies = site.bodies()[:CALLS]
    asked = [decode(decoder, body) for body in bodies]
    rows = [route.inputs.read(one.features, None) for one in asked]
    outputs = [arm.loaded.predict(row) for row in rows]

    def append(number: int) -> None:
        unit = asked[number].unit
        record = Predicted(clock(), plan.endpoint, plan.plan, unit, arm.arm, 0.5, arm.version, 1, rows[number], outputs[number], 2e-5)
        worker.writer.append(events.encode(record))

    address = worker.writer.append(b"")

    def answer(number: int) -> bytes:
        return encode(Answer(format_prediction_id(address), plan.endpoint, arm.arm, arm.version, plan.plan, outputs[number]))

    return {
        "decode": _time(lambda number: decode(decoder, bodies[number])),
        "validate": _time(lambda number: route.inputs.read(asked[number].features, None)),
        "assign": _time(lambda number: route.splitter.assign(asked[number].unit)),
        "predict": _time(lambda number: arm.loaded.predict(rows[number])),
        "append": _time(append),
        "answer": _time(answer),
        "metrics": _time(lambda number: worker.metrics.answered(plan.endpoint, arm.arm, 200, 0.001)),
    }


def _time(call: Callable[[int], object], before: Callable[[], None] = lambda: None) -> float:
    """The median over some rounds of a call's mean time, in seconds."""
    rounds = []
    for _ in range(ROUNDS):
        before()
        start = perf_counter()
        for number in range(CALLS):
            call(number)
        rounds.append((perf_counter() - start) / CALLS)
    return statistics.median(rounds)


def _environ(body: bytes) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": f"/v1/endpoints/{site.ENDPOINT}/predict",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
    }


def _rewind(environs: list[dict[str, Any]]) -> None:
    for environ in environs:
        environ["wsgi.input"].seek(0)


def _ignore(status: str, _headers: list[tuple[str, str]]) -> None:
    if not status.startswith("200"):
        raise AssertionError(f"expected 200, got {status}")
