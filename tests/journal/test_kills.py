"""Writers, rotators and readers in processes of their own, killed at random, while what was read is deleted.

`TILTYARD_CHAOS` is the number of kills, at least (default 40).
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from core.ids import Address, format_prediction_id, parse_prediction_id
from core.values import START
from journal.lookup import Lookup
from journal.reader import Entry, Reader
from journal.rotation import rotate
from journal.segments import end, expire, segments
from journal.writer import Writer

KILLS = int(os.environ.get("TILTYARD_CHAOS", "40"))
LANES = 4
"""Writers at a time."""
SIZES = [0, 10, 300, 300, 5_000, 100_000]

fork = multiprocessing.get_context("fork")


def write(directory: Path, diary: Path, name: int) -> None:
    """Append numbered payloads of very different sizes, and note each one that append has acknowledged; die in mid-write."""
    rng = random.Random(name)
    doom = rng.randrange(20, 400)
    writer = Writer(directory)
    noted = os.open(diary, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for count in itertools.count():
        payload = b"%d %d " % (name, count) + bytes([count % 256]) * rng.choice(SIZES)
        if count == doom:
            die_writing(rng)
        address = writer.append(payload)
        os.write(noted, f"{count} {len(payload)} {format_prediction_id(address)}\n".encode())
        time.sleep(0.0003)  # the reader of the test is to keep up


def die_writing(rng: random.Random) -> None:
    """Let the next write of this process take only a part, and be the last thing that it does."""
    real = os.write

    def torn(fd: int, data: bytes) -> int:
        real(fd, data[: rng.randrange(len(data))])
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("outlived its death")

    os.write = torn


def turn(directory: Path) -> None:
    """Rotate again and again."""
    while True:
        time.sleep(0.002)
        rotate(directory, end(directory).segment)


def follow(directory: Path) -> None:
    """Read everything again and again, and so help rotators that died."""
    while True:
        reader = Reader(directory, START)
        while reader.read(50):
            pass
        reader.close()


def started(target: Callable[..., None], *arguments: object) -> BaseProcess:
    process = fork.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def killed(process: BaseProcess) -> None:
    """Its end, which is a kill in any case: no exception may have ended it before."""
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    process.close()


def chaos(directory: Path, diaries: Path) -> list[Entry]:
    """Let them run and kill them; what a reader that lived through it has read."""
    rng = random.Random(5)
    names = itertools.count()

    def writer() -> BaseProcess:
        name = next(names)
        return started(write, directory, diaries / str(name), name)

    make = {f"writer {lane}": writer for lane in range(LANES)}
    make["rotator"] = lambda: started(turn, directory)
    make["reader"] = lambda: started(follow, directory)
    live = Reader(directory, START)
    read: list[Entry] = []
    running = {what: begin() for what, begin in make.items()}
    kills = 0
    while kills < KILLS or not enough(live, diaries):
        kills += 1
        deadline = time.monotonic() + rng.uniform(0.01, 0.09)
        while time.monotonic() < deadline:
            read += checked(live.read(100))
        victim = rng.choice(list(running))
        for what, process in running.items():
            if what == victim or not process.is_alive():
                killed(process)
                running[what] = make[what]()
        expire(directory, live.position, time.time())
    for process in running.values():
        killed(process)
    while entries := live.read(1000):
        read += checked(entries)
    assert live.torn > 0
    assert live.overtaken == 0
    live.close()
    return read


def enough(live: Reader, diaries: Path) -> bool:
    """Whether the run was long enough to show something: a slow machine needs more time for as much."""
    return live.torn > 0 and live.position.segment > 3 and len(acknowledged(diaries)) > 10 * KILLS


def checked(entries: list[Entry]) -> list[Entry]:
    """Each payload found whole, then cut to its name and number: the run is larger than memory should hold."""
    cut = []
    for entry in entries:
        name, count, filling = entry.payload.split(b" ", 2)
        assert filling == bytes([int(count) % 256]) * len(filling)
        assert len(filling) in SIZES
        cut.append(entry._replace(payload=name + b" " + count))
    return cut


def acknowledged(diaries: Path) -> dict[bytes, tuple[Address, int]]:
    """Name and number → address and length, of all whole lines that the writers noted."""
    found = {}
    for diary in diaries.iterdir():
        for line in diary.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                count, length, address = line.split()
                found[f"{diary.name} {count}".encode()] = (parse_prediction_id(address)[0], int(length))
    return found


def by_writer(names: list[bytes]) -> dict[bytes, list[int]]:
    """Writer → the numbers of its payloads, in the order given."""
    numbers: dict[bytes, list[int]] = {}
    for name in names:
        writer, count = name.split()
        numbers.setdefault(writer, []).append(int(count))
    return numbers


def test_kills(tmp_path: Path) -> None:
    """What was acknowledged is read exactly once, under its address and in its writer's order; besides, each writer may have left
    one whole record that it did not live to acknowledge, and nothing else is ever read."""
    directory, diaries = tmp_path / "journal", tmp_path / "diaries"
    diaries.mkdir()
    read = chaos(directory, diaries)
    said = acknowledged(diaries)
    assert len(said) > 10 * KILLS

    places = {entry.payload: entry.address for entry in read}
    assert {name: places.get(name) for name in said} == {name: address for name, (address, _) in said.items()}
    noted = by_writer(list(said))
    for writer, numbers in by_writer([entry.payload for entry in read]).items():
        assert numbers == list(range(len(numbers)))
        assert len(numbers) - len(noted.get(writer, [])) <= 1

    lookup = Lookup(directory)
    kept = {name: whole for name, whole in said.items() if whole[0].segment >= segments(directory)[0]}
    for name, (address, length) in kept.items():
        payload = lookup.get(address)
        assert payload.startswith(name + b" ")
        assert len(payload) == length
    assert end(directory).segment > 3
