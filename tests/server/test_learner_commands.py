"""`tiltyard model learner` and `tiltyard model learn`."""

from __future__ import annotations

import json
import pickle
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from river import compose, linear_model, preprocessing

from core import events
from core.errors import Invalid, NotFound, TiltyardError
from core.events import Example
from core.values import START
from journal.reader import Reader
from server.cli import cli
from server.processes import LEARNING
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
        return [events.decode(entry.payload) for entry in reader.read(5000)]
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
    assert "labels that were not learnt: 0 late, 0 duplicates, 0 unknown, 0 expired, 0 unfit, 0 quarantined" in page
    assert json.loads(run("model", "learner", "river@1", "--json").output)["scores"] == {"Accuracy": 0.75}


def test_a_page_of_a_learner_that_has_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is right after the model was registered."""
    monkeypatch.setenv("TILTYARD_HOME", str(tmp_path))
    LearningWorld(World(tmp_path), tmp_path)
    page = run("model", "learner", "river").output
    assert page.startswith("river@1  beginning: 0 labels learnt, snapshot 0")
    assert "labels that were not learnt: 0 late, 0 duplicates, 0 unknown, 0 expired, 0 unfit, 0 quarantined" in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--from", "monday"), "--from: expected an RFC 3339 time"),
        (("--from", "2027-01-01T00:00:00Z", "--to", "2026-01-01T00:00:00Z"), "expected a time after --from 2027-01-01T00:00:00Z"),
        (("--into", "no name"), "--into: expected"),
    ],
)
def test_a_replay_that_cannot_be(learning: LearningWorld, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str) -> None:
    """Is wrong usage, and told in one line."""
    for name, value in LEARNING.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(cli, ["replay", "river", *options])
    assert (done.exit_code, message in done.stderr, done.stderr.count("\n")) == (2, True, 1)


def test_what_does_not_learn_is_not_waited_for(learning: LearningWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay of it says so, and not that its learner has not begun."""
    for name, value in LEARNING.items():
        monkeypatch.setenv(name, value)
    assert "does not learn" in fails("replay", "still@1").message


def test_orders(learning: LearningWorld) -> None:
    """One at a time."""
    assert run("model", "learner", "river", "--stop").output == "the learner of river@1 rests\n"
    assert run("model", "learner", "river", "--start").output == "the learner of river@1 goes on\n"
    for to in ("1", "river@1"):
        assert run("model", "learner", "river", "--rollback", to).output == "river@1 goes on from river@1\n"
    assert CliRunner().invoke(cli, ["model", "learner", "river", "--stop", "--start"]).exit_code == 2
    assert fails("model", "learner", "m").code == "learner-not-found"
    for far in ("9" * 20, "9" * 5000, "0"):
        assert fails("model", "learner", "river", "--rollback", far).field == "to"


def test_a_file_is_taught(learning: LearningWorld, tmp_path: Path) -> None:
    """By name, whatever the order of columns; further ones are left out, and a repeated row is."""
    path = tmp_path / "rows.csv"
    path.write_text("more,b,y,key,a\nx,2,true,1,1.5\nx,3,false,2,1\nx,3,false,2,1\n")
    said = json.loads(run("model", "learn", "river", path, "--label", "y", "--id", "key", "--json").output)
    assert said == {"accepted": 2, "duplicates": 1}
    found = [event for event in examples(learning) if isinstance(event, Example)]
    assert [(one.features, one.label, one.id) for one in found] == [({"a": 1.5, "b": 2.0}, True, "1"), ({"a": 1.0, "b": 3.0}, False, "2")]


def test_ids_are_taken_as_they_are_written(learning: LearningWorld, tmp_path: Path) -> None:
    """As they are over REST: each digit counts, and what looks like a number is a text. The column may be a feature as well."""
    path = tmp_path / "rows.csv"
    path.write_text("a,b,y,key\n007,2,true,1234567890123456789\n7,3,false,1234567890123456788\n8,1,true,x\n")
    for key, ids in (("a", ["007", "7", "8"]), ("key", ["1234567890123456789", "1234567890123456788", "x"])):
        assert "3 examples accepted, 0 duplicates" in run("model", "learn", "river", path, "--label", "y", "--id", key).output
        assert [(one.id, one.features["a"]) for one in examples(learning)[-3:]] == [*zip(ids, (7.0, 7.0, 8.0), strict=True)]


def test_a_parquet_file_is_taught(learning: LearningWorld, tmp_path: Path) -> None:
    """Ids of whole numbers keep every digit, 17.0 is 17, a day its text; decimals are numbers."""
    path = tmp_path / "rows.parquet"
    frame = {
        "a": [1.0, 2.0],
        "b": [Decimal("1.5"), Decimal("2.5")],
        "y": [Decimal("1.00"), Decimal("0.00")],
        "big": np.array([2**64 - 1, 2**64 - 2], dtype=np.uint64),
        "whole": [17.0, 18.0],
        "exact": [Decimal(2**60), Decimal(2**60 + 1)],
        "day": [date(2024, 5, 1), date(2024, 5, 2)],
    }
    pd.DataFrame(frame).to_parquet(path)
    for key, ids in (
        ("big", [str(2**64 - 1), str(2**64 - 2)]),
        ("whole", ["17", "18"]),
        ("exact", [str(2**60), str(2**60 + 1)]),
        ("day", ["2024-05-01", "2024-05-02"]),
    ):
        run("model", "learn", "river", path, "--label", "y", "--id", key)
        assert [(one.id, one.label, one.features) for one in examples(learning)[-2:]] == [
            (ids[0], 1.0, {"a": 1.0, "b": 1.5}),
            (ids[1], 0.0, {"a": 2.0, "b": 2.5}),
        ]
    error = fails("model", "learn", "river", path, "--label", "day")
    assert error.message == f"{path}, row 1: label: expected a number, a text, true or false, got date"


def test_what_is_a_text_to_the_model_is_one_in_the_file(learning: LearningWorld, tmp_path: Path) -> None:
    """A class, or a feature, whatever it looks like: a file of a few rows may hold only such that look like numbers or truth values."""
    model, known, path = tmp_path / "texts.pkl", tmp_path / "known.csv", tmp_path / "rows.csv"
    model.write_bytes(pickle.dumps(compose.Pipeline(preprocessing.OneHotEncoder(), linear_model.SoftmaxRegression())))
    known.write_text("zip,y\n0123A,true\n4567B,false\n89C,perhaps\n")
    run("model", "register", "texts", model, "--sample", known, "--target", "y", "--trust-pickle")
    path.write_text("zip,y\n0123,true\n0456,False\n")
    run("model", "learn", "texts", path, "--label", "y")
    assert [(one.features, one.label) for one in examples(learning)] == [({"zip": "0123"}, "true"), ({"zip": "0456"}, "False")]


def test_a_progress_bar_for_who_looks(learning: LearningWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On standard error, up to the last row; not where nobody does."""
    path = tmp_path / "rows.csv"
    path.write_text("a,b,y\n" + "1,2,true\n" * 1001)
    assert run("model", "learn", "river", path, "--label", "y").stderr == ""
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False)
    shown = run("model", "learn", "river", path, "--label", "y").stderr
    assert "writing" in shown
    assert " 99%" in shown
    assert "100%" in shown


def test_a_file_that_cannot_be_read_is_named(learning: LearningWorld, tmp_path: Path) -> None:
    """By the argument that named it."""
    path = tmp_path / "rows.csv"
    assert fails("model", "learn", "river", path, "--label", "y").message == f"path: {path}: no such file"
    path.write_bytes(b"a,b,y\n1,2,\xff\n")
    assert fails("model", "learn", "river", path, "--label", "y").message.startswith("path: rows.csv is not readable as CSV")
    path.write_text("a,b,y\n1,2,true\n")
    error = fails("model", "learn", "river", path, "--label", "y", "--id", "key")
    assert (error.message, error.field) == (f"id: {path} has no column 'key'", "id")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a,b,y\n1,2,true\n1,x,true\n", "row 1: features.b"),
        ("a,b,y\n1,2,true\n1,,true\n", "row 2: features.b"),
        ("a,y\n1,true\n", "row 1: features.b"),
        ("a,b,y\n1,2,true\n1,2,\n", "row 2: label"),
        ("a,b\n1,2\n", "label: "),
        ("a,b,y,key\n1,2,true,1\n1,2,true,\n", "row 2: id: it is missing"),
    ],
)
def test_nothing_is_kept_of_a_file_that_is_wrong(learning: LearningWorld, tmp_path: Path, text: str, where: str) -> None:
    """The whole is checked first, and the row is named."""
    path = tmp_path / "rows.csv"
    path.write_text(text)
    error = fails("model", "learn", "river", path, "--label", "y", *(["--id", "key"] if "key" in text else []))
    assert isinstance(error, Invalid)
    assert where in error.message
    assert not learning.journal.exists() or not examples(learning)


def test_only_what_learns_is_taught(learning: LearningWorld, tmp_path: Path) -> None:
    """Else the command says why not."""
    path = tmp_path / "rows.csv"
    path.write_text("a,b,y\n1,2,true\n")
    assert isinstance(fails("model", "learn", "nobody", path, "--label", "y"), NotFound)
    assert fails("model", "learn", "m", path, "--label", "y").code == "not-learning"
