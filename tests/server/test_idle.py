"""Work in an idle thread: each piece once and in order, whoever does it, and never without end."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from itertools import count

import pytest

from server import idle
from server.idle import Idle


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, the idle thread gets to its work, but where a test says otherwise."""
    monkeypatch.setattr(idle, "PATIENCE_SECONDS", 30.0)


def _who(found: list[str], pieces: int, seconds: float = 0.0) -> Iterator[int]:
    for number in range(pieces):
        found.append(f"{number} {threading.current_thread().name}")
        time.sleep(seconds)
        yield number


def test_work_is_done_by_a_thread_that_gives_way_to_everybody_and_its_owner_keeps_its_own_class() -> None:
    found: list[int] = []

    def look() -> Iterator[None]:
        found.append(os.sched_getscheduler(0))
        yield

    with Idle() as worker:
        worker.run(look())
    assert (found, os.sched_getscheduler(0)) == ([os.SCHED_IDLE], os.SCHED_OTHER)


def test_what_starves_its_owner_takes_over_each_piece_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "PATIENCE_SECONDS", 0.05)
    seconds = count()
    # It gets on until it has begun, and then no more.
    monkeypatch.setattr(idle, "clock_gettime", lambda _: 0 if found else next(seconds))
    owner, found = threading.current_thread().name, list[str]()
    with Idle() as worker:
        worker.run(_who(found, 60, 0.01))
    numbers, names = zip(*(each.split(" ", 1) for each in found), strict=True)
    assert numbers == tuple(map(str, range(60)))
    handed = names.index(owner)
    assert handed > 0
    assert set(names[:handed]) == {"idle"}
    assert set(names[handed:]) == {owner}


def test_work_that_takes_long_and_gets_on_is_left_to_the_idle_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "PATIENCE_SECONDS", 0.01)
    seconds = count()
    monkeypatch.setattr(idle, "clock_gettime", lambda _: next(seconds))
    found: list[str] = []
    with Idle() as worker:
        worker.run(_who(found, 10, 0.01))
    assert found == [f"{number} idle" for number in range(10)]


def test_what_the_idle_thread_has_not_even_begun_its_owner_does_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "PATIENCE_SECONDS", 0.01)
    starved = threading.Event()
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: starved.wait())
    owner, found = threading.current_thread().name, list[str]()
    with Idle() as worker:
        try:
            worker.run(_who(found, 2))
        finally:
            starved.set()
    assert found == [f"0 {owner}", f"1 {owner}"]


def test_after_that_the_owner_works_alone_for_a_while_and_then_the_idle_thread_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "PATIENCE_SECONDS", 0.01)
    now = [100.0]
    monkeypatch.setattr(idle, "monotonic", lambda: now[0])
    owner, found = threading.current_thread().name, list[str]()

    def slow() -> Iterator[None]:
        now[0] += 1.0
        time.sleep(0.5)
        yield

    with Idle() as worker:
        worker.run(slow())
        monkeypatch.setattr(idle, "PATIENCE_SECONDS", 30.0)
        now[0] += idle.REST_SECONDS - 0.1
        worker.run(_who(found, 1))
        now[0] += 0.1
        worker.run(_who(found, 1))
    assert found == [f"0 {owner}", "0 idle"]


def test_what_a_piece_raises_the_owner_raises_and_the_next_work_is_done() -> None:
    def broken() -> Iterator[None]:
        yield
        raise ValueError("no such row")

    found: list[str] = []
    with Idle() as worker:
        with pytest.raises(ValueError, match="no such row"):
            worker.run(broken())
        worker.run(_who(found, 2))
    assert found == ["0 idle", "1 idle"]


def test_what_the_piece_raises_that_was_begun_is_raised_when_it_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "PATIENCE_SECONDS", 0.01)
    begun, seconds = threading.Event(), count()
    monkeypatch.setattr(idle, "clock_gettime", lambda _: 0 if begun.is_set() else next(seconds))

    def failing() -> Iterator[None]:
        begun.set()
        time.sleep(0.5)
        raise ValueError("no such row")
        yield

    with Idle() as worker, pytest.raises(ValueError, match="no such row"):
        worker.run(failing())


def test_where_no_thread_can_be_started_the_owner_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    owner, found = threading.current_thread().name, list[str]()
    with Idle() as worker:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            worker.run(_who(found, 1))
        worker._own_until = 0.0
        worker.run(_who(found, 1))
    assert found == [f"0 {owner}", "0 idle"]


def test_what_a_piece_sets_for_its_thread_holds_for_the_next_whoever_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    number: ContextVar[int] = ContextVar("number", default=0)
    found: list[int] = []

    def change() -> Iterator[None]:
        number.set(number.get() + 1)
        found.append(number.get())
        yield

    with Idle() as worker:
        worker.run(change())
        worker._own_until = math.inf
        worker.run(change())
    assert (found, number.get()) == ([1, 2], 0)


def test_work_sees_the_context_of_its_owner() -> None:
    number: ContextVar[int] = ContextVar("number", default=0)
    number.set(7)
    found: list[int] = []

    def look() -> Iterator[None]:
        found.append(number.get())
        yield

    with Idle() as worker:
        worker.run(look())
    assert found == [7]


def test_where_the_class_is_forbidden_the_work_is_done_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", forbid)
    found: list[str] = []
    with Idle() as worker:
        worker.run(_who(found, 1))
    assert found == ["0 idle"]
