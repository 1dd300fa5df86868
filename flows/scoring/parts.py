"""What is scored so far: parts in a directory beside the output, each whole or not there at all.

`OUT.parts/job.json` says of what they are, `snapshot` is the state that answers (of a version that learns), and a part
`FIRST-END.parquet` holds the rows from FIRST until before END. Each file is written under another name, synced, and renamed: whatever is
killed when, the parts without a gap from row 0 are whole. One scorer at a time holds the lock.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from pyarrow import parquet

from core.errors import Conflict, Invalid
from flows.scoring.columns import Table
from flows.scoring.subject import Asked
from store.learners import ServedRow

_PART = re.compile(r"(\d{12,})-(\d{12,})\.parquet\Z")
_JOB, _SNAPSHOT, _LOCK, _NEW = "job.json", "snapshot", "lock", ".new"


class File(msgspec.Struct, frozen=True):
    """A file as it was found: bytes, time of its last change (ns), and a digest of its first and last bytes."""

    size: int
    modified: int
    digest: str


class Job(msgspec.Struct, frozen=True):
    """Of what parts are made: those of another job are never joined with them.

    `artefact` is the digest of what answers, `snapshot` the number of its state, 0: as registered.
    """

    version: str
    artefact: str
    asked: Asked
    input: File
    keep: tuple[str, ...]
    in_batches: bool
    snapshot: int

    def check_same(self, other: Job) -> None:
        """Raises Conflict saying what `other`, which was begun earlier, has otherwise."""
        names = {"version": "version", "artefact": "model", "asked": "--snapshot", "keep": "--keep", "in_batches": "--in-batches"}
        for name, shown in {"input": "input file", **names}.items():
            now, then = getattr(self, name), getattr(other, name)
            if now != then:
                was = "it has changed" if isinstance(now, File) or name == "artefact" else f"it was {_shown(then)}, now it is {_shown(now)}"
                raise Conflict(f"the output was begun with another {shown}: {was}; give --restart to begin anew", code="other-job")


class Part(NamedTuple):
    """A part: the rows from `first` until before `end`."""

    first: int
    end: int
    path: Path


class Parts:
    """The parts of one output; see the top of this module. To be used by who holds the lock."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def job(self) -> Job | None:
        """What was begun; None where nothing was. Raises Invalid where that cannot be read."""
        body = self._read(_JOB)
        try:
            return None if body is None else msgspec.json.decode(body, type=Job)
        except msgspec.MsgspecError as error:
            raise self._unreadable(_JOB, error) from None

    def snapshot(self, job: Job) -> ServedRow | None:
        """The state that answers, its signature yet to be verified; None: as registered. Raises Invalid where it cannot be read."""
        body = self._read(_SNAPSHOT)
        try:
            found = None if body is None else msgspec.msgpack.decode(body, type=ServedRow)
        except msgspec.MsgspecError as error:
            raise self._unreadable(_SNAPSHOT, error) from None
        if job.snapshot != (0 if found is None else found.number):
            raise self._unreadable(_SNAPSHOT, f"it is not snapshot {job.snapshot}")
        return found

    def begin(self, job: Job, snapshot: ServedRow | None) -> None:
        """Begin anew: what was there is gone."""
        self.clear()
        if snapshot is not None:
            self._put(_SNAPSHOT, msgspec.msgpack.encode(snapshot))
        # The last: where it stands, the snapshot does.
        self._put(_JOB, msgspec.json.encode(job))

    def whole(self) -> list[Part]:
        """The parts without a gap from row 0."""
        found: list[Part] = []
        for part in self._parts():
            if part.first != (found[-1].end if found else 0):
                break
            found.append(part)
        return found

    def add(self, first: int, end: int, table: Table) -> None:
        """A part, durable when this returns."""
        name = f"{first:012}-{end:012}.parquet"
        parquet.write_table(table, self._directory / (name + _NEW))
        self._publish(name)

    def draft(self, name: str) -> Path:
        """Where a file may be written that is to be moved out of here."""
        return self._directory / (name + _NEW)

    def clear(self) -> None:
        """Remove all but the lock. From the end, so that what is left at any moment is a beginning."""
        for part in reversed(self._parts()):
            part.path.unlink()
        for path in [*self._directory.glob("*" + _NEW), self._directory / _JOB, self._directory / _SNAPSHOT]:
            path.unlink(missing_ok=True)

    def _parts(self) -> list[Part]:
        names = ((_PART.match(path.name), path) for path in self._directory.iterdir())
        return sorted(Part(int(found[1]), int(found[2]), path) for found, path in names if found)

    def _read(self, name: str) -> bytes | None:
        try:
            return (self._directory / name).read_bytes()
        except FileNotFoundError:
            return None

    def _unreadable(self, name: str, why: object) -> Invalid:
        return Invalid(f"{self._directory / name} cannot be read ({why}); give --restart to begin anew", field="output")

    def _put(self, name: str, body: bytes) -> None:
        (self._directory / (name + _NEW)).write_bytes(body)
        self._publish(name)

    def _publish(self, name: str) -> None:
        publish(self._directory / (name + _NEW), self._directory / name)


@contextmanager
def locked(output: Path) -> Iterator[Parts]:
    """The parts of an output for this process alone; raises Conflict where another one scores into it.

    Where nothing is scored in the end, or all of it is in the output, the directory goes.
    """
    directory = output.with_name(output.name + ".parts")
    parts = Parts(directory)
    with os.fdopen(_lock(directory)):
        try:
            yield parts
        finally:
            if not parts.whole():
                parts.clear()
                (directory / _LOCK).unlink()
                with suppress(OSError):  # somebody's own files are in it
                    directory.rmdir()


def publish(draft: Path, path: Path) -> None:
    """Let a file that is written whole have its name: durable when this returns."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(directory: Path) -> int:
    """A descriptor that holds the lock. Its file may go with the directory while we wait for our turn: then there is another one."""
    while True:
        with suppress(FileExistsError):
            directory.mkdir()
        try:
            found = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(found), (directory / _LOCK).stat()):
                return found
        except FileNotFoundError:
            pass
        except BlockingIOError:
            os.close(found)
            raise Conflict(f"another process is scoring into {directory}", code="output-busy") from None
        os.close(found)


def _shown(value: Any) -> str:
    return (", ".join(value) or "none") if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else str(value)
