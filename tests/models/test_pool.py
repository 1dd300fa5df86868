"""The pool of loaded versions."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from core.errors import NotFound, Rejected
from core.ids import VersionId
from models.pool import KEEP_SECONDS, Pool

A, B, C = VersionId("credit", 1), VersionId("credit", 2), VersionId("fraud", 1)


class Shelf:
    """Loads versions, counts how often, and fails those that are said to be bad; its clock is a number."""

    def __init__(self):
        self.now = 1000.0
        self.loads = Counter()
        self.bad = {}
        self.pool = Pool(self.load, lambda: self.now)

    def load(self, version):
        self.loads[version] += 1
        if version in self.bad:
            raise self.bad[version]
        return f"loaded {version}"

    def holds(self, version):
        try:
            return self.pool.get(version) == f"loaded {version}"
        except NotFound:
            return False


@pytest.fixture
def shelf():
    return Shelf()


def test_a_version_is_loaded_once(shelf):
    """What is loaded is not loaded again."""
    assert shelf.pool.ensure([A, B]) == {}
    assert shelf.pool.ensure([B, A, A]) == {}
    assert shelf.pool.get(A) == "loaded credit@1"
    assert shelf.loads == {A: 1, B: 1}


def test_a_version_that_is_not_loaded_is_not_found(shelf):
    """With the stable code that the API promises."""
    with pytest.raises(NotFound, match="version credit@1 is not loaded") as caught:
        shelf.pool.get(A)
    assert caught.value.code == "version-not-loaded"


class Panic(BaseException):
    """What an extension written in Rust raises: no Exception."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Rejected("no good"), "no good"),
        (ZeroDivisionError("oops"), "ZeroDivisionError: oops"),
        (SystemExit(3), "SystemExit: 3"),
        (Panic("oh"), "Panic: oh"),
        (MemoryError("much"), "MemoryError: much"),
    ],
)
def test_a_failure_leaves_the_others_alone(shelf, error, reason):
    """The bad version is reported with its reason, those before and after it serve, and it is tried again later."""
    shelf.pool.ensure([A])
    shelf.bad[B] = error
    assert shelf.pool.ensure([A, B, C]) == {B: reason}
    assert (shelf.holds(A), shelf.holds(B), shelf.holds(C)) == (True, False, True)
    shelf.bad.clear()
    assert shelf.pool.ensure([B]) == {}
    assert shelf.holds(B)


def test_two_threads_load_a_version_once(shelf):
    """All who ask at once wait for the one load, and find it done."""
    entered, release = threading.Event(), threading.Event()
    quick = shelf.load

    def slow(version):
        entered.set()
        assert release.wait(60)
        return quick(version)

    pool = Pool(slow, lambda: 0.0)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append((pool.ensure([A]), pool.get(A)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert entered.wait(60)
    release.set()
    for thread in threads:
        thread.join(60)
    assert answers == [({}, "loaded credit@1")] * 4
    assert shelf.loads == {A: 1}


def test_a_loaded_version_answers_while_another_is_loaded():
    """`get` waits for nobody."""
    entered, release = threading.Event(), threading.Event()

    def load(version):
        if version == B:
            entered.set()
            assert release.wait(60)
        return str(version)

    pool = Pool(load, lambda: 0.0)
    pool.ensure([A])
    thread = threading.Thread(target=pool.ensure, args=([B],))
    thread.start()
    assert entered.wait(60)
    assert pool.get(A) == "credit@1"
    with pytest.raises(NotFound):
        pool.get(B)
    release.set()
    thread.join(60)
    assert pool.get(B) == "credit@2"


def test_an_unwanted_version_stays_a_minute(shelf):
    """Then it goes; a wanted one never does."""
    shelf.pool.ensure([A, B])
    shelf.pool.retain({A})
    shelf.now += KEEP_SECONDS - 0.1
    shelf.pool.retain({A})
    assert shelf.holds(B)
    shelf.now += 0.1
    shelf.pool.retain({A})
    assert (shelf.holds(A), shelf.holds(B)) == (True, False)


@pytest.mark.parametrize("want", [lambda shelf: shelf.pool.retain({A, B}), lambda shelf: shelf.pool.ensure([B])])
def test_a_version_wanted_again_starts_anew(shelf, want):
    """Its minute counts from when it was last wanted, by a plan or by a load."""
    shelf.pool.ensure([A, B])
    shelf.pool.retain({A})
    shelf.now += KEEP_SECONDS - 1
    want(shelf)
    shelf.now += 10
    shelf.pool.retain({A})
    assert shelf.holds(B)
    shelf.now += KEEP_SECONDS
    shelf.pool.retain({A})
    assert not shelf.holds(B)


def test_an_evicted_version_is_loaded_anew(shelf):
    """It can come back."""
    shelf.pool.ensure([A])
    shelf.pool.retain(set())
    shelf.now += KEEP_SECONDS
    shelf.pool.retain(set())
    assert not shelf.holds(A)
    shelf.pool.ensure([A])
    assert shelf.holds(A)
    assert shelf.loads == {A: 2}
