"""How a reader's process paces itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.settings import Settings
from flows import housekeep
from flows.follow import RECORD, Follower
from journal.writer import Writer
from server import home, reader


class Waits(Exception):
    """The process was about to sleep."""


@pytest.mark.parametrize("careful", [False, True])
def test_record_sleeps_where_nothing_is_to_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, careful: bool) -> None:
    """Also after a crash, when it goes event by event: it would keep a processor busy until a thousand have come."""

    def sleep(seconds: float) -> None:
        raise Waits(seconds)

    writers: list[Writer] = []

    def open_writer(directory: Path) -> Writer:
        writers.append(Writer(directory))
        return writers[-1]

    place = home.create(Settings(home=str(tmp_path)))
    housekeep.begin_readers(place.store, place.journal)
    follower = Follower(place.store, place.journal, RECORD, careful=careful)
    monkeypatch.setattr(reader.time, "sleep", sleep)
    monkeypatch.setattr(reader, "Writer", open_writer)
    with pytest.raises(Waits):
        reader._record(place, follower)
    for each in (follower, *writers):
        each.close()
