"""Windows that were judged: the newest are kept, and of the older ones those that tell something."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.settings import Settings
from store import engine, watch
from store.engine import Store
from store.watch import MOST_WINDOWS, WindowRow


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty one."""
    engine.create(Settings(home=str(tmp_path)))
    return engine.open_existing(Settings(home=str(tmp_path)))


def window(number: int, *, alarm: bool = False, version: str = "m@1", kind: str = "rows") -> WindowRow:
    """A window."""
    return WindowRow("credit", version, kind, number, alarm, b"summary", b"detail")


def test_old_windows_go_and_alarms_stay(store: Store) -> None:
    """Of the newest the detail is kept as well; those of other versions and kinds are left alone."""
    with store.write() as connection:
        watch.add_windows(connection, [window(1, version="m@2"), window(1, kind="labels"), window(1, alarm=True)])
        watch.add_windows(connection, [window(number) for number in range(2, MOST_WINDOWS + 12)])
        found = watch.newest(connection, "credit", "m@1", "rows", 10_000)
        assert [row.number for row in found] == [*range(MOST_WINDOWS + 11, 11, -1), 1]
        assert [row.number for row in found if row.detail is not None] == [MOST_WINDOWS + 11]
        assert [row.number for row in watch.newest(connection, "credit", "m@1", "rows", 1, alarms=True)] == [1]
        for version, kind in (("m@2", "rows"), ("m@1", "labels")):
            assert [row.detail for row in watch.newest(connection, "credit", version, kind, 10)] == [b"detail"]


def test_a_window_that_is_stored_again_replaces_itself(store: Store) -> None:
    """As where a transaction was tried twice."""
    with store.write() as connection:
        for _ in range(2):
            watch.add_windows(connection, [window(1)])
        assert watch.newest(connection, "credit", "m@1", "rows", 10) == [window(1)]


def test_states_by_endpoint(store: Store) -> None:
    """The newest body of each version; of one endpoint, or of all."""
    with store.write() as connection:
        watch.save_states(connection, {("a", "m@1"): b"1", ("b", "m@1"): b"2"})
        watch.save_states(connection, {("a", "m@1"): b"3"})
        assert watch.states(connection, "a") == {("a", "m@1"): b"3"}
        assert watch.states(connection) == {("a", "m@1"): b"3", ("b", "m@1"): b"2"}


def test_a_version_is_forgotten(store: Store) -> None:
    """At every endpoint, and it alone."""
    with store.write() as connection:
        watch.save_states(connection, {("a", "m@1"): b"1", ("b", "m@1"): b"2", ("b", "m@11"): b"3"})
        watch.add_windows(connection, [window(1), window(1, kind="labels"), window(1, version="m@11")])
        watch.forget(connection, "m@1")
        assert watch.states(connection) == {("b", "m@11"): b"3"}
        found = [len(watch.newest(connection, "credit", version, kind, 9)) for version in ("m@1", "m@11") for kind in ("rows", "labels")]
        assert found == [0, 0, 1, 0]
