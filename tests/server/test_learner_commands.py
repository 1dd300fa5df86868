"""`tiltyard model learner` and `tiltyard model learn`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from core import events
from core.errors import Invalid, NotFound, TiltyardError
from core.events import Example
from core.values import START
from journal.reader import Reader
from server.cli import cli
from tests.flows.flow_world import World
from tests.flows.learning.learning_world import LearningWorld, taught


@pytest.fixture
def learning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LearningWorld:
    """The home that commands work on: a model that has learnt 7 labels."""
    monkeypatch.setenv("TILTYARD_HOME", str(tmp_path))
    made = LearningWorld(World(tmp_path), tmp_path)
    served = {"e/control": {"labels": 6, "scores": {"Accuracy": 0.5}, "rolling": {"Accuracy": None}}}
    made.publish(3, taught(1), labels=7, scores={"Accuracy": 0.75}, served=served)
    return made


def run(*arguments: object) -> Result:
    """A command that succeeds."""
    done = CliRunner().invoke(cli, [*map(str, arguments)])
    assert done.exit_code == 0, done
    return done


def fails(*arguments: object) -> TiltyardError:
    """Why a command is refused."""
    done = CliRunner().invoke(cli, [*map(str, arguments)])
    assert isinstance(done.exception, TiltyardError), done
    return done.exception


def examples(learning: LearningWorld) -> list[Any]:
    """What stands in the journal."""
    reader = Reader(learning.journal, START)
    try:
        return [events.decode(entry.payload) for entry in reader.read(100)]
    finally:
        reader.close()


def test_a_page_for_people(learning: LearningWorld) -> None:
    """What has been learnt, how well, and how the answers were that users saw."""
    page = run("model", "learner", "river").output
    assert page.startswith("river@1  learning: 7 labels learnt, snapshot 3 (not every worker keeps up)")
    rows = [line.split() for line in page.splitlines()]
    assert ["before", "learning", "7", "Accuracy", "0.75", "-"] in rows
    assert ["as", "served", "by", "e/control", "6", "Accuracy", "0.5", "-"] in rows
    assert "0 detected by ADWIN" in page
    assert json.loads(run("model", "learner", "river@1", "--json").output)["scores"] == {"Accuracy": 0.75}


def test_orders(learning: LearningWorld) -> None:
    """One at a time."""
    assert run("model", "learner", "river", "--stop").output == "the learner of river@1 rests\n"
    assert run("model", "learner", "river", "--start").output == "the learner of river@1 goes on\n"
    for to in ("1", "river@1"):
        assert run("model", "learner", "river", "--rollback", to).output == "river@1 goes on from river@1\n"
    assert CliRunner().invoke(cli, ["model", "learner", "river", "--stop", "--start"]).exit_code == 2
    assert fails("model", "learner", "m").code == "learner-not-found"


def test_a_file_is_taught(learning: LearningWorld, tmp_path: Path) -> None:
    """By name, whatever the order of columns; further ones are left out, and a repeated row is."""
    path = tmp_path / "rows.csv"
    path.write_text("more,b,y,key,a\nx,2,true,1,1.5\nx,3,false,2,1\nx,3,false,2,1\n")
    said = json.loads(run("model", "learn", "river", path, "--label", "y", "--id", "key", "--json").output)
    assert said == {"accepted": 2, "duplicates": 1}
    found = [event for event in examples(learning) if isinstance(event, Example)]
    assert [(one.features, one.label, one.id) for one in found] == [({"a": 1.5, "b": 2.0}, True, "1"), ({"a": 1.0, "b": 3.0}, False, "2")]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a,b,y\n1,2,true\n1,x,true\n", "row 1: features.b"),
        ("a,b,y\n1,2,true\n1,,true\n", "row 2: features.b"),
        ("a,y\n1,true\n", "row 1: features.b"),
        ("a,b,y\n1,2,true\n1,2,\n", "row 2: label"),
        ("a,b\n1,2\n", "label: "),
    ],
)
def test_nothing_is_kept_of_a_file_that_is_wrong(learning: LearningWorld, tmp_path: Path, text: str, where: str) -> None:
    """The whole is checked first, and the row is named."""
    path = tmp_path / "rows.csv"
    path.write_text(text)
    error = fails("model", "learn", "river", path, "--label", "y")
    assert isinstance(error, Invalid)
    assert where in error.message
    assert not learning.journal.exists() or not examples(learning)


def test_only_what_learns_is_taught(learning: LearningWorld, tmp_path: Path) -> None:
    """Else the command says why not."""
    path = tmp_path / "rows.csv"
    path.write_text("a,b,y\n1,2,true\n")
    assert isinstance(fails("model", "learn", "nobody", path, "--label", "y"), NotFound)
    assert fails("model", "learn", "m", path, "--label", "y").code == "not-learning"
