"""Positions move by compare-and-set, crashes are counted, what could not be read is remembered."""

from __future__ import annotations

from contextlib import suppress

import pytest

from core.errors import Conflict
from core.values import Position
from store import positions
from store.engine import Store
from store.positions import PositionRow

READER = "record"
HERE, THERE, FAR = Position(1, 0), Position(1, 50), Position(2, 24)


@pytest.fixture
def begun(store: Store) -> Store:
    """A store in which the reader stands at the beginning."""
    with store.write() as connection:
        positions.begin(connection, READER, HERE, 5.0)
    return store


def where(store: Store) -> PositionRow | None:
    """Where the reader stands."""
    with store.read() as connection:
        return positions.get(connection, READER)


def test_a_reader_that_never_began(store: Store) -> None:
    """It has no position, cannot be moved, and cannot be started."""
    assert where(store) is None
    with store.write() as connection, pytest.raises(Conflict):
        positions.advance(connection, READER, HERE, THERE, 1.0)
    with store.write() as connection, pytest.raises(Conflict, match="never began"):
        positions.count_start(connection, READER)


def test_beginning_again_moves_nothing(begun: Store) -> None:
    """A reader that has a position keeps it."""
    with begun.write() as connection:
        positions.begin(connection, READER, FAR, 9.0)
    assert where(begun) == PositionRow(HERE, 0, 5.0)


def test_compare_and_set(begun: Store) -> None:
    """Only who knows where the reader stands can move it; a stale process is told so and changes nothing."""
    with begun.write() as connection:
        positions.advance(connection, READER, HERE, THERE, 6.0)
    for stale in (HERE, Position(2, 50)):
        with begun.write() as connection, pytest.raises(Conflict) as caught:
            positions.advance(connection, READER, stale, FAR, 7.0)
        assert caught.value.code == "stale-reader"
    assert where(begun) == PositionRow(THERE, 0, 6.0)


def test_a_rolled_back_transaction_moves_nothing(begun: Store) -> None:
    """Position and effect are stored together or not at all."""
    with suppress(RuntimeError), begun.write() as connection:
        positions.advance(connection, READER, HERE, THERE, 6.0)
        raise RuntimeError("crash")
    assert where(begun) == PositionRow(HERE, 0, 5.0)


def test_crashes_are_counted_until_progress(begun: Store) -> None:
    """Every start counts as a crash of the one before, and progress clears the count."""
    for crashes in range(3):
        with begun.write() as connection:
            assert positions.count_start(connection, READER).crashes == crashes
    with begun.write() as connection:
        positions.advance(connection, READER, HERE, THERE, 6.0)
    with begun.write() as connection:
        assert positions.count_start(connection, READER).crashes == 0


def test_what_was_put_aside(begun: Store) -> None:
    """Events put aside are counted by reader, each once."""
    with begun.write() as connection:
        for position in (HERE, THERE, HERE):
            positions.put_aside(connection, READER, position, "crashed", 1.0)
        assert positions.aside(connection) == {READER: 2}


def test_dropping(begun: Store) -> None:
    """A reader that is done is forgotten."""
    with begun.write() as connection:
        assert list(positions.every(connection)) == [READER]
        positions.drop(connection, READER)
    assert where(begun) is None
