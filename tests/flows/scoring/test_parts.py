"""Parts: going on where scoring was interrupted, never on what is another job, and one scorer at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.errors import Conflict, Invalid, Unavailable
from flows.scoring import parts as module
from flows.scoring import score as flow
from flows.scoring.parts import Part, Parts, locked
from flows.scoring.score import Order, Progress
from tests.flows.scoring.scoring_world import Scoring, floats, linear

ROWS = 3000


@pytest.fixture
def path(scoring: Scoring) -> Path:
    """Rows of which one cannot be answered."""
    return scoring.table("in.csv", a=[0.1 * n if n != 1234 else None for n in range(ROWS)], b=[float(n) for n in range(ROWS)])


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a few chunks."""
    monkeypatch.setattr(flow, "PART_ROWS", 1000)


class Stopped(BaseException):
    """As if the process died here."""


def interrupt(scoring: Scoring, path: Path, output: str = "out.parquet", after: int = 2000, **order: Any) -> None:
    """Score until so many rows are answered, and die; what does not make a whole part is lost."""

    def tell(progress: Progress) -> None:
        if progress.rows >= after:
            raise Stopped

    with pytest.raises(Stopped):
        flow.score(scoring.place, Order("sum@1", path, scoring.folder / output, **order), tell)


@pytest.mark.parametrize("output", ["out.parquet", "out.csv"])
@pytest.mark.parametrize("after", [1, 2000, 3000])
def test_the_same_call_goes_on(scoring: Scoring, path: Path, output: str, after: int) -> None:
    """Only what is missing is scored, and the output is the same to the byte as without an interruption."""
    scoring.score("sum@1", path, f"whole-{output}", keep=("b",))
    interrupt(scoring, path, output, after, keep=("b",))
    assert not (scoring.folder / output).exists()
    found = scoring.score("sum@1", path, output, keep=("b",))
    assert found["resumed_at"] == after // 1000 * 1000
    assert (found["rows"], found["errors"]["invalid"], found["first_error"]["row"]) == (ROWS, 1, 1234)
    assert (scoring.folder / output).read_bytes() == (scoring.folder / f"whole-{output}").read_bytes()
    assert scoring.left() == []


def mortal(call: Callable[..., Any], left: list[int], *, late: bool) -> Callable[..., Any]:
    """The function; when none of the calls that are `left` is, it dies before it does anything, or after."""

    def called(*given: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and not late:
            raise Stopped
        found = call(*given, **options)
        if left[0] == 0:
            raise Stopped
        return found

    return called


@pytest.mark.parametrize("late", [False, True])
def test_it_may_die_at_every_step(scoring: Scoring, path: Path, monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    """Before or after any file gets its name or is removed: going on makes the same output."""
    scoring.score("sum@1", path, "whole.parquet")
    whole = (scoring.folder / "whole.parquet").read_bytes()
    for step in count(1):
        left = [step]
        with monkeypatch.context() as patch:
            for name in ("replace", "unlink"):
                patch.setattr(Path, name, mortal(getattr(Path, name), left, late=late))
            try:
                scoring.score("sum@1", path)
                break
            except Stopped:
                pass
        assert scoring.score("sum@1", path)["rows"] == ROWS
        assert (scoring.folder / "out.parquet").read_bytes() == whole
        assert scoring.left() == []
        (scoring.folder / "out.parquet").unlink()
    assert step > 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": "sum@2"}, "another version: it was sum@1, now it is sum@2"),
        ({"keep": ("b", "a")}, "another --keep: it was b, now it is b, a"),
        ({"keep": ()}, "another --keep: it was b, now it is none"),
        ({"in_batches": True}, "another --in-batches: it was false, now it is true"),
        ({"asked": "registered"}, "another --snapshot: it was newest, now it is registered"),
    ],
)
def test_another_job_does_not_go_on(scoring: Scoring, path: Path, change: dict[str, Any], said: str) -> None:
    """It says what is otherwise, and begins anew where that is asked for."""
    scoring.add("sum", linear(floats("a", "b")))
    interrupt(scoring, path, keep=("b",))
    given = {"version": "sum@1", "keep": ("b",), **change}
    with pytest.raises(Conflict, match=f"{said}; give --restart to begin anew"):
        scoring.score(path=path, **given)
    assert scoring.score(path=path, restart=True, **given)["resumed_at"] == 0


def test_another_input_does_not_go_on(scoring: Scoring, path: Path) -> None:
    """By size, time of its last change, and its first and last bytes; a copy that kept its time is the same."""
    interrupt(scoring, path)
    stat, content = path.stat(), path.read_bytes()
    for changed, at in ((content + b"1,2\n", 0), (content, 1), (content[:-3] + b"9.0"[: len(content[-3:])], 0)):
        path.write_bytes(changed)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + at))
        with pytest.raises(Conflict, match="another input file: it has changed"):
            scoring.score("sum@1", path)
    copy = scoring.folder / "copy.csv"
    copy.write_bytes(content)
    os.utime(copy, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert scoring.score("sum@1", copy)["resumed_at"] == 2000


def test_an_input_that_changes_meanwhile_makes_no_output(scoring: Scoring, path: Path) -> None:
    """Rows of two files would stand in one."""

    def tell(progress: Progress) -> None:
        if progress.rows == 1000:
            with path.open("a") as file:
                file.write("1,2\n")

    with pytest.raises(Conflict, match="the file has changed while it was read"):
        flow.score(scoring.place, Order("sum@1", path, scoring.folder / "out.parquet"), tell)
    assert not (scoring.folder / "out.parquet").exists()


def test_a_new_output_replaces_an_old_one(scoring: Scoring, path: Path) -> None:
    """Which stands until then."""
    output = scoring.folder / "out.parquet"
    output.write_text("old")
    interrupt(scoring, path)
    assert output.read_text() == "old"
    scoring.score("sum@1", path)
    assert len(scoring.rows()) == ROWS


def test_one_scorer_at_a_time(scoring: Scoring, path: Path) -> None:
    """A second one is told so; one for another output is let through; the first goes on."""

    def tell(progress: Progress) -> None:
        if progress.rows == 1000:
            with pytest.raises(Conflict, match="another process is scoring into"):
                scoring.score("sum@1", path)
            scoring.score("sum@1", path, "other.parquet")

    flow.score(scoring.place, Order("sum@1", path, scoring.folder / "out.parquet"), tell)
    assert scoring.rows() == scoring.rows("other.parquet")


def test_the_lock_is_of_the_directory_that_stands(scoring: Scoring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waited while the holder removed the directory takes the lock of a new one, not of what is gone."""
    output, lock, first = scoring.folder / "out.parquet", module.fcntl.flock, [True]

    def late(descriptor: int, how: int) -> None:
        if first.pop() if first else False:
            directory = scoring.folder / "out.parquet.parts"
            (directory / "lock").unlink()
            directory.rmdir()
        lock(descriptor, how)

    monkeypatch.setattr(module.fcntl, "flock", late)
    with locked(output), pytest.raises(Conflict), locked(output):
        pass
    assert scoring.left() == []


def test_parts_end_at_a_gap(tmp_path: Path) -> None:
    """What comes after one is not joined."""
    names = ["000000000000-000000000010.parquet", "000000000010-000000000015.parquet", "000000000016-000000000020.parquet", "x.parquet"]
    for name in names:
        (tmp_path / name).touch()
    assert Parts(tmp_path).whole() == [Part(0, 10, tmp_path / names[0]), Part(10, 15, tmp_path / names[1])]
    Parts(tmp_path).clear()
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_damaged_parts_are_named(scoring: Scoring, path: Path) -> None:
    """And a new beginning is offered."""
    interrupt(scoring, path)
    directory = scoring.folder / "out.parquet.parts"
    part = next(directory.glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(Invalid, match=r"what is scored so far cannot be read .* give --restart"):
        scoring.score("sum@1", path)
    (directory / "job.json").write_bytes(b"{")
    with pytest.raises(Invalid, match=r"job\.json cannot be read .* give --restart"):
        scoring.score("sum@1", path)
    assert scoring.score("sum@1", path, restart=True)["rows"] == ROWS


def test_slow_rows_are_kept_sooner(scoring: Scoring, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part ends by time as well."""
    monkeypatch.setattr(flow, "PART_ROWS", 10**9)
    made: list[tuple[int, int]] = []
    add = Parts.add
    monkeypatch.setattr(Parts, "add", lambda self, first, end, table: (made.append((first, end)), add(self, first, end, table))[1])
    times = iter(range(0, 1000, 3))
    flow.score(scoring.place, Order("sum@1", path, scoring.folder / "out.parquet"), lambda progress: None, lambda: float(next(times)))
    assert made == [(first, first + 200) for first in range(0, ROWS, 200)]


def test_an_output_that_cannot_be_written_keeps_what_there_is(scoring: Scoring, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk: the reason is said, and the same call goes on later."""
    add = Parts.add

    def full(self: Parts, first: int, end: int, table: Any) -> None:
        if first >= 1000:
            raise OSError(28, "No space left on device")
        add(self, first, end, table)

    with monkeypatch.context() as patch:
        patch.setattr(Parts, "add", full)
        with pytest.raises(Unavailable, match="No space left on device"):
            scoring.score("sum@1", path)
    assert scoring.score("sum@1", path)["resumed_at"] == 1000


def test_the_job_is_kept_in_words(scoring: Scoring, path: Path) -> None:
    """Who looks into the directory sees of what the parts are."""
    interrupt(scoring, path, keep=("b",))
    found = msgspec.json.decode((scoring.folder / "out.parquet.parts" / "job.json").read_bytes())
    assert (found["version"], found["keep"], found["input"]["size"]) == ("sum@1", ["b"], path.stat().st_size)
