"""`tiltyard model score`: what is told, how it ends, and what is wrong usage."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from server.cli import main
from tests.flows.flow_world import World
from tests.flows.scoring.scoring_world import Scoring, floats, linear
from tests.server.commands_world import Ended


@pytest.fixture
def scoring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scoring:
    """The home of the command: `sum@1`, and three rows of which one cannot be answered."""
    monkeypatch.setenv("TILTYARD_HOME", str(tmp_path))
    made = Scoring(World(tmp_path), tmp_path)
    made.add("sum", linear(floats("a", "b")))
    (tmp_path / "in.csv").write_text("id,a,b\n007,1,2\n008,,2\n009,3,4\n")
    return made


@pytest.fixture
def run(scoring: Scoring, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run the command in that home."""

    def ended(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["tiltyard", "model", "score", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        return Ended(cast(int, caught.value.code), *capsys.readouterr())

    return ended


def test_what_came_of_it_is_told(run: Callable[..., Ended], scoring: Scoring) -> None:
    """To people in two lines, to machines with every figure; a row without an answer is no failure of the command."""
    source, output = scoring.folder / "in.csv", scoring.folder / "out.csv"
    reason = "invalid: features.a: expected a number, got null"
    ended = run("sum@1", source, "-o", output, "--keep", "id")
    lines = [f"{output}: 3 rows by sum@1", f"  without an answer: 1 invalid; the first is row 1, {reason}"]
    assert (ended.code, ended.out.splitlines(), ended.err) == (0, lines, "")
    assert output.read_text().splitlines() == [
        '"row","id","value","error"',
        '0,"007",3,',
        f'1,"008",,"{reason}"',
        '2,"009",7,',
    ]
    found = json.loads(run("sum@1", source, "-o", output, "--json").out)
    assert found.pop("seconds") >= 0.0
    assert found == {
        "output": str(output),
        "version": "sum@1",
        "snapshot": 0,
        "rows": 3,
        "answered": 2,
        "errors": {"invalid": 1, "model-failed": 0},
        "first_error": {"row": 1, "error": reason},
        "resumed_at": 0,
    }


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("sum@1", "in.csv"), 2, "Missing option '-o'"),
        (("sum@1", "in.csv", "-o", "out.txt"), 2, "tiltyard: --output out.txt: expected a name that ends in .parquet or .csv"),
        (("sum@1", "in.csv", "-o", "out.csv", "--snapshot", "3"), 2, "'3' is not one of"),
        (("sum@1", "none.csv", "-o", "out.csv"), 1, "tiltyard: input: none.csv: no such file"),
        (("sum@2", "in.csv", "-o", "out.csv"), 1, "tiltyard: version: no version sum@2"),
        (("sum@1", "in.csv", "-o", "out.csv", "--keep", "key"), 1, "tiltyard: keep: in.csv has no column 'key'"),
        (("sum@1", "in.csv", "-o", "out.csv", "--strict"), 1, "tiltyard: row 1: invalid: features.a: expected a number, got null"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    run: Callable[..., Ended], scoring: Scoring, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, said: str
) -> None:
    """Wrong usage with 2, all else with 1; there is no output then."""
    monkeypatch.chdir(scoring.folder)
    ended = run(*words)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err.strip().splitlines()[-1]
    assert not list(scoring.folder.glob("out.*sv"))


def test_nothing_answered_is_a_failure(run: Callable[..., Ended], scoring: Scoring) -> None:
    """Of the command: a job that renamed a column's values is to be noticed. The output is there all the same."""
    (scoring.folder / "in.csv").write_text("a,b\nx,1\ny,2\n")
    ended = run("sum@1", scoring.folder / "in.csv", "-o", scoring.folder / "out.csv")
    assert ended.code == 1
    said = "tiltyard: none of the rows could be answered; the first: invalid: features.a: expected a number, got 'x'"
    assert ended.err.strip() == said
    assert len(scoring.rows("out.csv")) == 2
    (scoring.folder / "in.csv").write_text("a,b\n")
    assert run("sum@1", scoring.folder / "in.csv", "-o", scoring.folder / "out.csv").code == 0


def test_progress_is_told_where_it_is_wanted(run: Callable[..., Ended], scoring: Scoring) -> None:
    """On standard error, also where that is no terminal."""
    words = ("sum@1", scoring.folder / "in.csv", "-o", scoring.folder / "out.csv")
    assert run(*words).err == ""
    assert run(*words, "--progress").err == "100%  3 rows\n"


def test_what_was_scored_before_is_said(run: Callable[..., Ended], scoring: Scoring, monkeypatch: pytest.MonkeyPatch) -> None:
    """And Ctrl-C ends with one line that says how to go on."""
    from flows.scoring import score

    words = ("sum@1", scoring.folder / "in.csv", "-o", scoring.folder / "out.csv")

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(score, "_finish", interrupted)
        ended = run(*words)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "tiltyard: interrupted; the same command goes on where the last part of the output ended\n"
    assert run(*words).out.splitlines()[0] == f"{words[-1]}: 3 rows by sum@1 (3 of them were scored before)"
