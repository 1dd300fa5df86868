"""Group commit: who waits is told the truth, and shares the fsync with the others."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.errors import JournalError
from journal.commit import GroupCommit
from journal.writer import Writer, call

ROOT = Path(__file__).parents[2]
NEVER = 3600.0
PATIENCE = 60.0
"""Seconds that something may take on a busy machine before it counts as not happening."""


class Disk:
    """An fsync that waits for the test, is counted, and may fail."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.entered = threading.Semaphore(0)
        self.let = threading.Semaphore(0)
        self.failing = False
        self.synced = 0
        patch.setattr(os, "fsync", self._fsync)

    def _fsync(self, fd: int) -> None:
        self.entered.release()
        assert self.let.acquire(timeout=PATIENCE)
        self.synced += 1
        if self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


class Clients:
    """Threads that append, taking turns, and wait."""

    def __init__(self, writer: Writer, commit: GroupCommit) -> None:
        self.turn = threading.Lock()
        self.answers: list[str] = []
        self._do = (writer, commit)
        self._threads: list[threading.Thread] = []

    def send(self, count: int) -> None:
        started = [threading.Thread(target=self._append_and_wait) for _ in range(count)]
        for thread in started:
            thread.start()
        self._threads += started

    def join(self) -> list[str]:
        for thread in self._threads:
            thread.join(PATIENCE)
        return self.answers

    def _append_and_wait(self) -> None:
        writer, commit = self._do
        with self.turn:
            writer.append(b"x")
        try:
            commit.wait()
            self.answers.append("durable")
        except JournalError as error:
            self.answers.append(error.message)


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def writer(directory: Path) -> Iterator[Writer]:
    writer = Writer(directory)
    yield writer
    writer.close()


@pytest.fixture
def commit(writer: Writer) -> Iterator[GroupCommit]:
    """A group commit that flushes only when asked."""
    commit = GroupCommit(writer, call, NEVER)
    commit.start()
    yield commit
    commit.stop()


def waiting(commit: GroupCommit) -> int:
    """How many have joined the round that has not begun."""
    return len(commit._next._cond._waiters)


def test_callers_share_the_next_fsync(writer, commit) -> None:
    """Twenty who come while an fsync is under way are served by one more, and not before that one."""
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch)
        clients = Clients(writer, commit)
        clients.send(1)
        disk.entered.acquire(timeout=PATIENCE)
        clients.send(20)
        until(lambda: waiting(commit) == 20)
        disk.let.release()
        disk.entered.acquire(timeout=PATIENCE)
        assert clients.answers in ([], ["durable"])
        disk.let.release()
        assert clients.join() == ["durable"] * 21
        assert disk.synced == 2


def test_an_fsync_under_way_does_not_count(writer, commit) -> None:
    """Who appended after an fsync began is not told that it is durable when that one ends."""
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch)
        clients = Clients(writer, commit)
        clients.send(1)
        disk.entered.acquire(timeout=PATIENCE)
        clients.send(1)
        until(lambda: waiting(commit) == 1)
        disk.let.release()
        disk.entered.acquire(timeout=PATIENCE)
        until(lambda: len(clients.answers) == 1)
        time.sleep(0.05)
        assert clients.answers == ["durable"]
        disk.let.release()
        clients.join()


def test_failure_reaches_everybody_in_the_round(writer, commit, directory) -> None:
    """All who shared a failed fsync get the error, nobody after them does, and the journal goes on in a new segment."""
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch)
        clients = Clients(writer, commit)
        clients.send(1)
        disk.entered.acquire(timeout=PATIENCE)
        clients.send(5)
        until(lambda: waiting(commit) == 5)
        disk.let.release()
        disk.entered.acquire(timeout=PATIENCE)
        until(lambda: clients.answers == ["durable"])
        disk.failing = True
        patch.setattr("journal.writer.rotate", lambda directory, expected: None)  # so that only the segment's fsync is met here
        disk.let.release()
        answers = clients.join()
    assert answers[1:] == [f"journal: the fsync of segment 1 failed: {os.strerror(errno.EIO)}"] * 5
    writer.flush()  # leaves the segment
    assert writer.append(b"after").segment == 2
    commit.wait()


def test_background_flush(writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody waits for is made durable after the interval all the same, once, and nothing is done where nothing was appended."""
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(time.monotonic()))
    commit = GroupCommit(writer, call, 0.02)
    commit.start()
    time.sleep(0.1)
    assert synced == []
    writer.append(b"x")
    until(lambda: len(synced) == 1)
    time.sleep(0.1)
    assert len(synced) == 1
    commit.stop()


def test_stop_flushes(writer, commit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopping makes durable what is left, and afterwards nobody waits in vain."""
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    writer.append(b"x")
    commit.stop()
    assert len(synced) == 1
    with pytest.raises(JournalError, match="does not run"):
        commit.wait()


def test_not_started(writer) -> None:
    """Waiting for a group commit that was never started is an error, not a wait for ever."""
    with pytest.raises(JournalError, match="does not run"):
        GroupCommit(writer, call, NEVER).wait()


def test_a_broken_offload_is_a_failure(writer, caplog: pytest.LogCaptureFixture) -> None:
    """Where the flush cannot even be tried, the waiter is told so; the next round makes up for it."""
    tried = []

    def offload(work: Callable[[], None]) -> None:
        tried.append(work)
        if len(tried) == 1:
            raise RuntimeError("no threads left")
        work()

    commit = GroupCommit(writer, offload, NEVER)
    commit.start()
    writer.append(b"x")
    with pytest.raises(JournalError, match="no threads left"):
        commit.wait()
    commit.wait()
    commit.stop()
    assert len(tried) == 2
    assert "the flush failed" in caplog.text


UNDER_GEVENT = """
import gevent.monkey
gevent.monkey.patch_all()
import gevent, json, os, sys, time
from pathlib import Path
from core.errors import JournalError
from journal.commit import GroupCommit
from journal.writer import Writer

sleep, real, counts = gevent.monkey.get_original("time", "sleep"), os.fsync, {"fsyncs": 0, "turns": 0, "asked": 0, "stuck": 0}

def slow(fd):
    # As slow as it takes for all clients to come, and the hub to turn; where the hub stands still for it, it gives up at last.
    counts["fsyncs"] += 1
    turns, until = counts["turns"], time.monotonic() + 30
    while counts["asked"] < 51 or counts["turns"] < turns + 20:
        if time.monotonic() > until:
            counts["stuck"] += 1
            break
        sleep(0.01)
    real(fd)

def turn():
    while True:
        gevent.sleep(0.002)
        counts["turns"] += 1

def client(writer, commit):
    writer.append(b"x" * 500)
    counts["asked"] += 1
    commit.wait()
    return "durable"

writer = Writer(Path(sys.argv[1]))
commit = GroupCommit(writer, gevent.get_hub().threadpool.apply, 3600)
commit.start()
os.fsync = slow
turning = gevent.spawn(turn)
first = gevent.spawn(client, writer, commit)
while not counts["fsyncs"]:
    gevent.sleep(0.01)
others = [gevent.spawn(client, writer, commit) for _ in range(50)]
gevent.joinall([first, *others], timeout=100, raise_error=True)
counts["durable"] = sum(one.value == "durable" for one in [first, *others])
turning.kill()
commit.stop()
writer.close()
print(json.dumps(counts))
"""


def test_under_gevent(directory) -> None:
    """Fifty-one greenlets share two fsyncs, and the hub turns while the disk is slow."""
    ran = subprocess.run(
        [sys.executable, "-c", UNDER_GEVENT, str(directory)], cwd=ROOT, capture_output=True, text=True, timeout=200, check=True
    )
    counts = json.loads(ran.stdout)
    assert counts["durable"] == 51
    assert counts["fsyncs"] == 2
    assert counts["stuck"] == 0
