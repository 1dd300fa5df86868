"""Counts survive the workers that made them: deaths, compactions, damage, full disks."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Unavailable
from server.metrics import cells, compact, hot, scrape, totals
from server.metrics.families import FAMILIES
from server.metrics.hot import HotMetrics, NoMetrics, open_metrics
from tests.server.metrics_world import CORRUPT, REQUESTS_OF_CREDIT, count_requests, in_child, samples, suicide


def scrape_seconds(directory: Path) -> float:
    begin = time.perf_counter()
    scrape.scrape(directory)
    return time.perf_counter() - begin


def test_counters_are_monotone_over_a_hundred_deaths(directory: Path, metrics: HotMetrics) -> None:
    """Workers that exit or are killed, a survivor among them: no scrape sees a counter fall, and the sum is exact.

    The number of files and the time of a scrape do not grow with the deaths.
    """
    seen: list[float] = []
    for death in range(100):
        metrics.answered("credit", "treatment", 200, 0.003)
        in_child(lambda: count_requests(directory, 10), last=suicide if death % 2 else lambda: os._exit(0))
        seen.append(samples(directory)[REQUESTS_OF_CREDIT])
        compact.compact(directory)
        seen.append(samples(directory)[REQUESTS_OF_CREDIT])
    assert seen == sorted(seen)
    assert seen[-1] == 1100
    assert len(list(directory.iterdir())) == 3  # the survivor's, the dead's and the lock
    young = directory.parent / "young"
    compact.clear(young)
    in_child(lambda: count_requests(young, 10))
    compact.compact(young)
    # In turn, and the quickest of each: whatever else the machine does meets both.
    times = [(scrape_seconds(young), scrape_seconds(directory)) for _ in range(30)]
    assert min(old for _, old in times) < 3 * min(new for new, _ in times)


def test_scrapes_during_compactions_see_every_count_once(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scrapes that run while workers die and are compacted see a counter that only rises, and never above the truth."""
    for module in (compact, scrape, hot):
        monkeypatch.setattr(module, "PATIENCE", 60.0)  # on a busy machine the lock may be long in coming
    seen: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.append(samples(directory).get(REQUESTS_OF_CREDIT, 0))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(30):
        opened = open_metrics(directory)
        assert isinstance(opened, HotMetrics)
        opened.answered("credit", "treatment", 200, 0.003)
        opened.close()
        compact.compact(directory)
    done.set()
    watcher.join()
    assert seen == sorted(seen)
    assert samples(directory)[REQUESTS_OF_CREDIT] == 30


@pytest.mark.parametrize("step", ["before the write", "before the replacement", "after the replacement", "between the deletions"])
def test_a_kill_during_compaction_neither_loses_nor_doubles(directory: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Wherever a compaction is killed, a scrape tells the same, and the next compaction finishes the work."""
    for number in (1, 20, 300):
        in_child(lambda number=number: count_requests(directory, number))

    def killed_compaction() -> None:
        unlink = Path.unlink

        def unlink_once(path: Path, missing_ok: bool = False) -> None:
            unlink(path, missing_ok)
            suicide()

        if step == "before the write":
            monkeypatch.setattr(Path, "write_bytes", lambda *_: suicide())
        elif step == "before the replacement":
            monkeypatch.setattr(Path, "replace", lambda *_: suicide())
        elif step == "after the replacement":
            monkeypatch.setattr(Path, "unlink", lambda *_, **__: suicide())
        else:
            monkeypatch.setattr(Path, "unlink", unlink_once)
        compact.compact(directory)

    assert os.WTERMSIG(in_child(killed_compaction)) == signal.SIGKILL
    assert samples(directory)[REQUESTS_OF_CREDIT] == 321
    for _ in range(2):
        compact.compact(directory)
        assert samples(directory)[REQUESTS_OF_CREDIT] == 321
        assert totals.worker_files(directory) == []


def damage(path: Path, how: str) -> None:
    whole = path.read_bytes()
    match how:
        case "empty":
            path.write_bytes(b"")
        case "truncated":
            path.write_bytes(whole[:100])
        case "foreign":
            path.write_bytes(b"\x7fELF" + whole[4:])
        case "too long":
            path.write_bytes(whole[:8] + b"\xff" * 8 + whole[16:])
        case "not a number":
            path.write_bytes(whole.replace(whole[16 + 8 + 48 : 16 + 8 + 56], b"\xff" * 8, 1))
        case "unknown family":
            path.write_bytes(whole.replace(b"tiltyard_requests", b"tiltyard_reqvests"))


@pytest.mark.parametrize("how", ["empty", "truncated", "foreign", "too long", "not a number", "unknown family"])
def test_a_damaged_file_is_counted_and_passed_over(directory: Path, metrics: HotMetrics, how: str) -> None:
    """A damaged file fails neither scrape nor compaction; it counts once, and the other workers' counts stay."""
    metrics.answered("credit", "treatment", 200, 0.003)
    own = totals.worker_files(directory)
    in_child(lambda: count_requests(directory, 5))
    (dead,) = set(totals.worker_files(directory)) - set(own)
    damage(dead, how)
    for _ in range(2):
        found = samples(directory)
        assert found[CORRUPT] == 1
        assert found[REQUESTS_OF_CREDIT] in {1, 6}  # with or without what stood before the damage
        compact.compact(directory)
    assert totals.worker_files(directory) == own
    metrics.answered("credit", "treatment", 200, 0.003)
    assert samples(directory)[REQUESTS_OF_CREDIT] == found[REQUESTS_OF_CREDIT] + 1


@given(st.binary(max_size=200))
def test_no_bytes_fail_the_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever a file holds, reading it answers rows of known families or says that it is damaged."""
    path = tmp_path_factory.mktemp("cells") / "1-a.cells"
    path.write_bytes(cells.MAGIC + data)
    rows, _ = cells.read(path)
    assert all(key[0] in FAMILIES for key in rows)


def test_a_damaged_sum_of_the_dead_begins_anew(directory: Path, metrics: HotMetrics) -> None:
    """Damage to the dead's sums costs their counts, is counted, and stops nothing."""
    in_child(lambda: count_requests(directory, 5))
    compact.compact(directory)
    (directory / "dead.msgpack").write_bytes(b"\x93rubbish")
    metrics.answered("credit", "treatment", 200, 0.003)
    in_child(lambda: count_requests(directory, 2))
    for _ in range(2):
        assert samples(directory)[REQUESTS_OF_CREDIT] == 3
        assert samples(directory)[CORRUPT] == 1
        compact.compact(directory)


def test_a_living_worker_is_never_compacted(directory: Path, metrics: HotMetrics) -> None:
    """Compaction leaves the file of a living process alone, however often it runs."""
    metrics.answered("credit", "treatment", 200, 0.003)
    before = totals.worker_files(directory)
    compact.compact(directory)
    assert totals.worker_files(directory) == before
    metrics.answered("credit", "treatment", 200, 0.003)
    assert samples(directory)[REQUESTS_OF_CREDIT] == 2


def test_a_start_clears(directory: Path, metrics: HotMetrics) -> None:
    """A server's start leaves no counts of a former run."""
    metrics.answered("credit", "treatment", 200, 0.003)
    compact.clear(directory)
    assert REQUESTS_OF_CREDIT not in samples(directory)


def test_nobody_waits_for_a_stopped_holder_of_the_lock(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody sits on the lock, a scrape says so, a worker starts without metrics, and compaction lets it be."""
    for module in (compact, scrape, hot):
        monkeypatch.setattr(module, "PATIENCE", 0.02)
    in_child(lambda: count_requests(directory, 5))
    with (directory / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Unavailable):
            scrape.scrape(directory)
        assert isinstance(open_metrics(directory), NoMetrics)
        compact.compact(directory)
    assert len(totals.worker_files(directory)) == 1
    assert samples(directory)[REQUESTS_OF_CREDIT] == 5


def test_a_full_disk_stops_no_worker(directory: Path, metrics: HotMetrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room for its file a worker serves uncounted; without room for a row only that row goes uncounted."""
    metrics.answered("credit", "treatment", 200, 0.003)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    in_child(lambda: None)
    late = open_metrics(directory)
    late.answered("credit", "treatment", 200, 0.003)
    assert isinstance(late, NoMetrics)
    for number in range(3000):
        metrics.observed(f"metric-{number}", 1)
    metrics.answered("credit", "treatment", 200, 0.003)
    compact.compact(directory)
    assert samples(directory)[REQUESTS_OF_CREDIT] == 2
    assert len(totals.worker_files(directory)) == 1
