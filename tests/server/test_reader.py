"""How a reader's process paces itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core import events
from core.events import Tick
from core.settings import Settings
from flows import housekeep
from flows.follow import RECORD, WATCH, Follower
from journal import segments
from journal.writer import Writer
from server import home, reader
from store import positions


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


@pytest.mark.parametrize("careful", [False, True])
def test_watch_stores_what_it_has_read_though_nothing_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, careful: bool) -> None:
    """Within a second or so it stands at the end of a journal to which nothing is added, and it sleeps between its looks."""
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        with place.store.read() as connection:
            row = positions.get(connection, WATCH)
        assert row is not None
        if row.position == segments.end(place.journal):
            raise Waits
        real_sleep(seconds)

    followers: list[Follower] = []

    def open_follower(*arguments: Any, **named: Any) -> Follower:
        followers.append(Follower(*arguments, **named))
        return followers[-1]

    place = home.create(Settings(home=str(tmp_path)))
    housekeep.begin_readers(place.store, place.journal)
    writer = Writer(place.journal)
    for at in range(20):
        writer.append(events.encode(Tick(float(at))))
    writer.close()
    real_sleep = reader.time.sleep
    monkeypatch.setattr(reader.time, "sleep", sleep)
    monkeypatch.setattr(reader, "Follower", open_follower)
    monkeypatch.setattr(reader.os, "nice", lambda _: None)
    with pytest.raises(Waits):
        reader._watch(place, careful=careful)
    followers[0].close()
    assert min(naps) >= reader.WATCH_PAUSE_SECONDS
    assert followers[0].at == 19.0
