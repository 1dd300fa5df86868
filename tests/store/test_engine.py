"""The connections of a store: kept between transactions, never shared by two at once, never what a failure or a fork has left."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.settings import Settings
from store import engine
from store.engine import MOST_IDLE, Store


def descriptors(directory: Path) -> list[str]:
    """The descriptors that this process has on the store's database itself, in order."""
    found = [link for link in Path("/proc/self/fd").iterdir() if os.path.realpath(link) == str(directory / "store.db")]
    return sorted(link.name for link in found)


def number(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql("SELECT count(*) FROM noted").scalar_one())


@pytest.fixture
def noted(store: Store) -> Store:
    """A store with a table to write to."""
    with store.write() as connection:
        connection.exec_driver_sql("CREATE TABLE noted (n INTEGER)")
    return store


def note(store: Store) -> None:
    with store.write() as connection:
        connection.exec_driver_sql("INSERT INTO noted VALUES (1)")


def test_transactions_one_after_the_other_share_one_connection(noted: Store, tmp_path: Path) -> None:
    before = descriptors(tmp_path)
    for _ in range(10):
        note(noted)
        with noted.read() as connection:
            number(connection)
    assert descriptors(tmp_path) == before
    assert len(before) == 1


def test_transactions_at_once_have_one_each(noted: Store, tmp_path: Path) -> None:
    together = threading.Barrier(3 * MOST_IDLE)

    def read() -> None:
        with noted.read() as connection:
            assert number(connection) == 0
            together.wait(30)

    for _ in range(5):
        threads = [threading.Thread(target=read) for _ in range(together.parties)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not together.broken
    # SQLite closes no file while another connection of the process has it locked, but gives it to the next connection.
    assert len(descriptors(tmp_path)) == together.parties


def test_a_read_within_a_write_sees_what_was_there_before(noted: Store) -> None:
    with noted.write() as writer:
        writer.exec_driver_sql("INSERT INTO noted VALUES (1)")
        with noted.read() as reader:
            assert number(reader) == 0
    with noted.read() as reader:
        assert number(reader) == 1


def test_a_kept_connection_sees_what_others_have_written_since(noted: Store, tmp_path: Path) -> None:
    with noted.read() as connection:
        assert number(connection) == 0
    note(engine.open_existing(Settings(home=str(tmp_path))))
    with noted.read() as connection:
        assert number(connection) == 1


def test_a_connection_that_has_written_takes_no_lock_where_it_reads(noted: Store, tmp_path: Path) -> None:
    note(noted)
    other = engine.open_existing(Settings(home=str(tmp_path)))
    with other.write() as writer:
        writer.exec_driver_sql("INSERT INTO noted VALUES (2)")
        with noted.read() as connection:
            assert number(connection) == 1


@pytest.mark.parametrize("begin", [Store.read, Store.write])
def test_after_a_failure_the_connection_is_not_used_again(
    noted: Store, tmp_path: Path, begin: Callable[[Store], AbstractContextManager[sa.Connection]]
) -> None:
    with pytest.raises(sa.exc.OperationalError), begin(noted) as connection:
        connection.exec_driver_sql("SELECT * FROM nowhere")
    assert descriptors(tmp_path) == []
    note(noted)
    with noted.read() as connection:
        assert number(connection) == 1


def test_what_is_not_to_be_kept_is_not_seen_by_the_next(noted: Store) -> None:
    with noted.write(keep=False) as connection:
        connection.exec_driver_sql("INSERT INTO noted VALUES (1)")
    with noted.read() as connection:
        assert number(connection) == 0


def test_a_child_opens_its_own_and_leaves_its_parents_open(noted: Store, tmp_path: Path) -> None:
    before = descriptors(tmp_path)
    child = os.fork()
    if not child:
        code = 1
        try:
            note(noted)
            code = 0 if len(descriptors(tmp_path)) == len(before) + 1 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with noted.read() as connection:
        assert number(connection) == 1


def test_a_store_that_is_gone_leaves_nothing_open(tmp_path: Path) -> None:
    store = engine.create(Settings(home=str(tmp_path)))
    with store.read() as connection:
        connection.exec_driver_sql("SELECT 1")
    assert descriptors(tmp_path)
    del connection, store
    assert descriptors(tmp_path) == []
