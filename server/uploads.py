"""Models and samples that are uploaded: received as they come, straight to the disk, then built by a process of their own.

Everything here runs in the hub but what waits for the disk or the store, which runs in native threads.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast
from urllib.parse import parse_qs

import msgspec
from gunicorn.http.errors import ParseException

from core.errors import Invalid, Malformed, Rejected, TiltyardError, TooLarge, Unavailable
from core.ids import check_name
from core.settings import Settings
from flows import register, upload
from flows.upload import FORMATS, SAMPLES, Order, Slot, Wanted
from models.about import About
from routing.changes import Who
from server import digests
from server.errors import SlowBody
from server.home import clock
from server.processes import ONE_THREAD, command
from server.worker import Worker

Environ: TypeAlias = dict[str, Any]
T = TypeVar("T")

CONTENT_TYPE = "application/octet-stream"
PIECE = 2**18
"""Bytes of a body that are read at once. Each such piece must come within the time that a client has for a whole body elsewhere."""
STEP_SECONDS = 0.02
_ABOUT = ("description", "owner", "licence", "commit", "training_data")
_VERSION = ("format", "alias", "sample", "target", "tag", *_ABOUT)
_INHERITED = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "LD_LIBRARY_PATH")
"""What a building process sees of its parent's environment, which holds passwords."""

_log = logging.getLogger("tiltyard.uploads")


class Made(NamedTuple):
    """What an upload has become, and where it is found."""

    shown: dict[str, Any]
    location: str | None


class Uploads:
    """The uploads of one worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._directory = worker.home.uploads

    def version(self, environ: Environ, model: str) -> Made:
        """Receive a model file, and make the next version of `model` of it; raises what is wrong with either."""
        actor = self._admit(environ)
        given = _parameters(environ, _VERSION)
        file = "upload" + upload.check_format(given.get("format", [None])[-1], FORMATS)
        one: dict[str, str] = {name: values[-1] for name, values in given.items() if name != "tag"}
        alias = one.get("alias")
        wanted = Wanted(check_name(model, "model"), digests.sha256_of(environ.get("HTTP_REPR_DIGEST")), alias, _about(given))
        self._away(lambda: register.check(self._worker.home.store, model, alias, wanted.about))
        order = Order(file, None, one.get("target"), self._worker.home.settings.trusted)
        if order.target is not None and "sample" not in one:
            raise Invalid("target: it names a column of a sample; give the sample's digest as well", field="target")
        sample = upload.check_digest(one["sample"]) if "sample" in one else None
        with self._slot() as slot:
            self._receive(environ, slot.folder / file, wanted.digest)
            self._away(lambda: upload.place_order(self._directory, slot, order, sample))
            self._build(slot.folder)
            return self._away(lambda: self._keep(slot, wanted, Who(actor, clock(), "by REST")))

    def sample(self, environ: Environ) -> Made:
        """Receive a sample, and keep it for the models that name its digest."""
        self._admit(environ)
        suffix = upload.check_format(_parameters(environ, ("format",)).get("format", [None])[-1], SAMPLES)
        digest = digests.sha256_of(environ.get("HTTP_REPR_DIGEST"))
        with self._slot() as slot:
            file = slot.folder / f"sample{suffix}"
            size = self._receive(environ, file, digest)
            self._away(lambda: upload.keep_sample(self._directory, file, digest))
        return Made({"sample": digest, "bytes": size, "kept_seconds": upload.SAMPLE_SECONDS}, None)

    def _away(self, work: Callable[[], T]) -> T:
        """Do it in a native thread. An error of ours is raised here and not there, where gevent would print it."""

        def told() -> tuple[T, None] | tuple[None, TiltyardError]:
            try:
                return work(), None
            except TiltyardError as error:
                return None, error

        found, error = self._worker.offload(told)
        if error is not None:
            raise error
        return cast(T, found)

    def _admit(self, environ: Environ) -> str:
        """Who uploads; raises Unauthenticated, Forbidden or Invalid. No page of a stranger's can make a browser send this type."""
        self._worker.guard.host(environ.get("HTTP_HOST", ""))
        actor = self._worker.guard.control(environ.get("HTTP_AUTHORIZATION"))
        if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != CONTENT_TYPE:
            raise Invalid(f"Content-Type: expected {CONTENT_TYPE}, the file itself", field="Content-Type", code="content-type")
        if environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() != "identity":
            raise Invalid("Content-Encoding: expected none", field="Content-Encoding", code="content-encoding")
        return actor

    @contextmanager
    def _slot(self) -> Iterator[Slot]:
        slot = self._away(lambda: upload.enter(self._directory))
        try:
            yield slot
        finally:
            self._away(slot.leave)

    def _receive(self, environ: Environ, file: Path, digest: str) -> int:
        """Write the body to `file` as it comes; returns its size. Raises TooLarge, SlowBody, Malformed, Invalid or Unavailable."""
        length, most = environ.get("CONTENT_LENGTH") or "", self._worker.home.settings.max_upload_bytes
        if length.isdigit() and int(length) > most:
            raise _too_large(most)
        found, size = sha256(), 0
        with file.open("xb", buffering=0) as target:
            for piece in self._pieces(environ):
                size += len(piece)
                if size > most:
                    raise _too_large(most)
                self._away(lambda piece=piece: _write(target, found, piece))  # type: ignore[misc]
        if size == 0 or (length.isdigit() and size < int(length)):
            raise Malformed(f"body: it ended after {size} bytes" + (f" of {length}" if length else ""), field="body")
        if found.hexdigest() != digest:
            raise Invalid(f"{digests.FIELD}: the body's SHA-256 is {found.hexdigest()}", field=digests.FIELD, code="digest-mismatch")
        return size

    def _pieces(self, environ: Environ) -> Iterator[bytes]:
        seconds = self._worker.home.settings.upload_seconds
        until = time.monotonic() + seconds
        while True:
            try:
                with self._worker.patience:
                    piece: bytes = environ["wsgi.input"].read(PIECE)
            except (OSError, ValueError, ParseException) as error:
                raise Malformed(f"body: could not be read: {error}", field="body") from None
            if not piece:
                return
            yield piece
            if time.monotonic() > until:
                raise SlowBody(f"body: not received within {seconds:g} seconds", field="body")

    def _build(self, folder: Path) -> None:
        """Let a process build what was ordered. Raises Rejected where it is ended before it could say what it found."""
        settings = self._worker.home.settings
        code = _run(folder, settings)
        if code != 0:
            _log.warning("an upload ended its building process with %s: %s", code, _last_words(folder))
            raise Rejected(_ended(code, settings))

    def _keep(self, slot: Slot, wanted: Wanted, who: Who) -> Made:
        home = self._worker.home
        version = upload.keep(home.store, home.blobs, slot.folder, wanted, who)
        card = register.show_version(home.store, str(version))
        return Made(card, f"/v1/models/{version.model}/versions/{version.number}")


def _run(folder: Path, settings: Settings) -> int | None:
    """How the building process ended: its exit code, minus a signal's number; None where it was killed for its time.

    posix_spawn and not subprocess, whose gevent form forks the whole worker; from the hub, since the kernel ends a child with the
    thread that made it. It gets a session, so that whatever it starts ends with it.
    """
    arguments = command("server.builder", str(folder), str(os.getpid()), str(settings.upload_memory_bytes), str(settings.upload_seconds))
    own = {"HOME": str(folder), "TMPDIR": str(folder), **ONE_THREAD}
    environ = {**{name: os.environ[name] for name in _INHERITED if name in os.environ}, **own}
    opened = [(0, os.devnull, os.O_RDONLY), (1, os.devnull, os.O_WRONLY), (2, str(folder / "log"), os.O_WRONLY | os.O_CREAT)]
    actions = [(os.POSIX_SPAWN_OPEN, number, path, flags, 0o600) for number, path, flags in opened]
    process = os.posix_spawn(arguments[0], arguments, environ, file_actions=actions, setsid=True)
    until = time.monotonic() + settings.upload_seconds
    try:
        while time.monotonic() < until:
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                process = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(STEP_SECONDS)
        return None
    finally:
        if process:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _ended(code: int | None, settings: Settings) -> str:
    if code is None or code in (-signal.SIGXCPU, -signal.SIGKILL):
        return (
            f"the upload was given up: auditing and building it took longer than {settings.upload_seconds:g} seconds,"
            " or more memory than the machine has (TILTYARD_UPLOAD_SECONDS)"
        )
    if code == -signal.SIGXFSZ:
        return f"the upload was given up: what was built of it is larger than {settings.upload_memory_bytes} bytes"
    what = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"the upload ended the process that audited it ({what}); the server's log has its last words"


def _last_words(folder: Path) -> str:
    try:
        with (folder / "log").open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 1000))
            return log.read().decode(errors="replace").strip()
    except OSError:
        return ""


def _write(target: Any, found: Any, piece: bytes) -> None:
    found.update(piece)
    try:
        left = memoryview(piece)
        while left:
            left = left[target.write(left) :]
    except OSError as error:
        raise Unavailable(f"the upload cannot be written: {error.strerror}", code="upload-unwritten") from None


def _parameters(environ: Environ, known: tuple[str, ...]) -> dict[str, list[str]]:
    """The query, whose names must be known ones; only `tag` may be repeated. Raises Invalid."""
    try:
        given = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise Invalid(f"query: could not be read: {str(error)[:100]}", field="query") from None
    for name, values in given.items():
        if name not in known:
            raise Invalid(f"{name[:40]}: no parameter of an upload; expected {', '.join(known)}", field=name[:40])
        if name != "tag" and len(values) > 1:
            raise Invalid(f"{name}: given {len(values)} times", field=name)
    return given


def _about(given: Mapping[str, list[str]]) -> About:
    return msgspec.convert({"tags": given.get("tag", []), **{name: given[name][0] for name in _ABOUT if name in given}}, About)


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"body: expected at most {most} bytes (TILTYARD_MAX_UPLOAD_BYTES)", field="body")
