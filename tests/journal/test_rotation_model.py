"""Rotation under every interleaving that hypothesis finds.

The real code runs, on real files. Each append, rotation, opening and read is a greenlet that stands for a process of its own: it stops
before each step that others could see (a look at the map, a system call), and hypothesis says who goes on, and who is killed, perhaps in
the middle of a write.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from greenlet import GreenletExit, getcurrent, greenlet
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core.values import START
from journal.lookup import Lookup
from journal.reader import Entry, Reader
from journal.rotation import Map, rotate
from journal.writer import Writer

NEVER = float("inf")
WRITERS = 3
STEPS = st.sampled_from([1, 2, 3, 4, 5, 6, 8, 10, 100])
CUTS = st.none() | st.integers(0, 60)
PATIENCE = 10_000
"""Steps in which everybody must have come to an end who is not killed."""


class Processes:
    """Greenlets that take turns, and the system calls at which they do."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.live: list[greenlet] = []
        self.open: set[int] = set()
        self._writing: dict[int, greenlet] = {}
        """Inode → who holds its lock, in the middle of a write."""
        for where, name in [(os, "pread"), (os, "fstat"), (Path, "rename"), (Map, "publish")]:
            patch.setattr(where, name, self._paused(getattr(where, name)))
        self._write, self._open, self._close, self._flock = os.write, os.open, os.close, fcntl.flock
        patch.setattr(os, "write", self._write_in_steps)
        patch.setattr(os, "open", self._open_noted)
        patch.setattr(os, "close", self._close_noted)
        patch.setattr(fcntl, "flock", self._wait_for_lock)
        patch.setattr(os, "fsync", lambda fd: None)
        number = Map.number.fget
        patch.setattr(Map, "number", property(self._paused(number)))

    def start(self, work: Callable[[], None]) -> greenlet:
        process = greenlet(work)
        self.live.append(process)
        return process

    def step(self, process: greenlet, cut: int | None = None) -> None:
        """To its next stop. A write that is given a `cut` stops again after so many bytes."""
        process.switch(cut) if process else process.switch()
        self.live = [one for one in self.live if not one.dead]

    def run(self, process: greenlet, steps: int, cut: int | None) -> None:
        """Some steps, or to the middle of a write."""
        for _ in range(steps):
            if process.dead or (cut is not None and process in self._writing.values()):
                return
            self.step(process, cut)

    def kill(self, process: greenlet) -> None:
        process.throw(GreenletExit)
        self.live.remove(process)

    def finish(self) -> None:
        for _ in range(PATIENCE):
            if not self.live:
                return
            for process in list(self.live):
                self.step(process)
        raise AssertionError("somebody waits for ever")

    def pause(self) -> Any:
        return getcurrent().parent.switch() if getcurrent() in self.live else None

    def _paused(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.pause()
            return real(*arguments)

        return call

    def _open_noted(self, *arguments: Any) -> int:
        fd = self._open(*arguments)
        self.open.add(fd)
        return fd

    def _close_noted(self, fd: int) -> None:
        self.open.discard(fd)
        self._close(fd)

    def close_all(self) -> None:
        for fd in list(self.open):
            self._close_noted(fd)

    def _wait_for_lock(self, fd: int, operation: int) -> None:
        while True:
            self.pause()
            try:
                return self._flock(fd, operation | fcntl.LOCK_NB)
            except BlockingIOError:
                continue

    def _write_in_steps(self, fd: int, data: bytes) -> int:
        """As the kernel does it: one writer at a time, who may be seen half-way, and killed there."""
        cut = self.pause()
        inode = os.stat(fd).st_ino
        while inode in self._writing:
            self.pause()
        if cut is None:
            return self._write(fd, data)
        cut = min(cut, len(data) - 1)
        self._write(fd, data[:cut])
        self._writing[inode] = getcurrent()
        try:
            self.pause()
            self._write(fd, data[cut:])
        finally:
            del self._writing[inode]
        return len(data)


@dataclass
class Append:
    """What a writer tried, between `begun` and `acknowledged` on the model's clock."""

    payload: bytes
    begun: int
    acknowledged: float = NEVER
    address: Any = None


class PausedView:
    """The writer's sight of the map, each look a step."""

    def __init__(self, view: memoryview, pause: Callable[[], Any]) -> None:
        self._view = view
        self._pause = pause

    def __getitem__(self, index: int) -> int:
        self._pause()
        return self._view[index]


class Rotation(RuleBasedStateMachine):
    """Writers, rotators and readers of one journal."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.directory = Path(tempfile.mkdtemp(prefix="tiltyard-rotation-"))
        self.processes = Processes(self.patch)
        self.clock = 0
        self.appends: list[Append] = []
        self.writers: dict[int, Writer] = {}
        self.busy: dict[greenlet, str] = {}
        self.readers = [Reader(self.directory, START) for _ in range(2)]
        self.read: list[list[Entry]] = [[], []]
        for slot in range(WRITERS):
            self.open_writer(slot)

    def teardown(self) -> None:
        try:
            self.processes.finish()
            self.check()
        finally:
            self.processes.live.clear()
            self.processes.close_all()
            self.patch.undo()
            shutil.rmtree(self.directory)

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def begin(self, name: str, work: Callable[[], None], steps: int, cut: int | None = None) -> None:
        """One process of a name at a time."""
        self.busy = {process: what for process, what in self.busy.items() if not process.dead}
        if name not in self.busy.values():
            process = self.processes.start(work)
            self.busy[process] = name
            self.processes.run(process, steps, cut)

    def open_writer(self, slot: int) -> None:
        writer = Writer(self.directory)
        writer._view = PausedView(writer._view, self.processes.pause)
        self.writers[slot] = writer

    @rule(slot=st.integers(0, WRITERS - 1), size=st.integers(0, 40), steps=STEPS, cut=CUTS)
    def append(self, slot: int, size: int, steps: int, cut: int | None) -> None:
        """A writer begins to append; a new one where the last one was killed."""
        self.begin(f"writer {slot}", lambda: self._append(slot, size), steps, cut)

    def _append(self, slot: int, size: int) -> None:
        if slot not in self.writers:
            self.open_writer(slot)
        tried = Append(b"%d." % len(self.appends) + b"x" * size, self.tick())
        self.appends.append(tried)
        tried.address = self.writers[slot].append(tried.payload)
        tried.acknowledged = self.tick()

    @rule(slot=st.integers(0, 1), steps=STEPS, cut=CUTS)
    def rotate(self, slot: int, steps: int, cut: int | None) -> None:
        """A rotator begins, to leave what is current now."""
        self.begin(f"rotator {slot}", lambda: rotate(self.directory, Map(self.directory).number), steps, cut)

    @rule(slot=st.integers(0, 1), limit=st.integers(1, 5), steps=STEPS)
    def follow(self, slot: int, limit: int, steps: int) -> None:
        """A reader begins to read."""
        self.begin(f"reader {slot}", lambda: self.read[slot].extend(self.readers[slot].read(limit)), steps)

    @precondition(lambda self: self.processes.live)
    @rule(who=st.integers(0, 9), steps=STEPS, cut=CUTS)
    def go_on(self, who: int, steps: int, cut: int | None) -> None:
        """Somebody goes on who has begun."""
        self.processes.run(self.processes.live[who % len(self.processes.live)], steps, cut)

    @precondition(lambda self: self.processes.live)
    @rule(who=st.integers(0, 9))
    def kill(self, who: int) -> None:
        """A writer or a rotator dies where it stands."""
        process = self.processes.live[who % len(self.processes.live)]
        name = self.busy[process]
        if not name.startswith("reader"):
            self.processes.kill(process)
            if name.startswith("writer"):
                self.writers.pop(int(name[-1]), None)

    @invariant()
    def both_readers_agree(self) -> None:
        """What one reader has read begins with what the other has."""
        fewer, more = sorted(self.read, key=len)
        assert more[: len(fewer)] == fewer

    def check(self) -> None:
        """Everything acknowledged is there once, where it was said to be, in the order in which it happened."""
        last = Reader(self.directory, START)
        entries = last.read(10_000)
        assert last.read(1) == []
        for reader, read in zip(self.readers, self.read, strict=True):
            assert read + reader.read(10_000) == entries
        tried = {append.payload: append for append in self.appends}
        found = [tried[entry.payload] for entry in entries]
        assert len({append.payload for append in found}) == len(found)
        lookup = Lookup(self.directory)
        acknowledged = [append for append in self.appends if append.address is not None]
        assert all(lookup.get(append.address) == append.payload for append in acknowledged)
        addresses = {entry.address for entry in entries}
        assert all(append.address in addresses for append in acknowledged)
        earliest_later = NEVER
        for append in reversed(found):
            assert append.begun < earliest_later
            earliest_later = min(earliest_later, append.acknowledged)


Rotation.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck))
TestRotation = Rotation.TestCase
