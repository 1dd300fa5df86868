"""`tiltyard model register` with files of trees, and with one output of a model of several."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from skops import io as skops_io

from tests.models.boosters.answers import FOLDER
from tests.models.model_zoo import fitted
from tests.models.zoo_data import data
from tests.server.commands_world import Ended, Run


@pytest.fixture
def register(run: Run, tmp_path: Path) -> Run:
    """Register a file with a sample of that data and its true values."""

    def ended(path: Path, name: str, *more: object) -> Ended:
        given = data(name)
        target = given.target if given.target.ndim == 1 else given.target[:, 1]
        given.features.assign(truth=target).to_csv(tmp_path / "sample.csv", index=False)
        return run("model", "register", "some", path, "--sample", tmp_path / "sample.csv", "--target", "truth", *more)

    return ended


def test_a_file_of_trees_with_its_classes(register: Run) -> None:
    """The names become the labels, in the order of the file's numbers, with blanks around them or without."""
    done = register(FOLDER / "classes.txt", "iris", "--classes", "setosa, versicolor,virginica", "--json")
    assert (done.code, done.err) == (0, "")
    card = json.loads(done.out)
    assert (card["format"], card["compiled"]) == ("treelite", None)
    assert card["signature"]["classes"] == ["setosa", "versicolor", "virginica"]


def test_what_people_are_told_of_trees(register: Run) -> None:
    """Task, form and time of a row."""
    done = register(FOLDER / "labels.ubj", "cancer-missing")
    assert (done.code, done.err) == (0, "")
    assert "some@1  (classification, 30 features, served as treelite)" in done.out


def test_one_output_of_several(register: Run, tmp_path: Path) -> None:
    """Compiled like any other model, and noted."""
    skops_io.dump(fitted("outputs-forest"), tmp_path / "model.skops")
    done = register(tmp_path / "model.skops", "two-targets", "--output", 1, "--json")
    assert (done.code, done.err) == (0, "")
    card = json.loads(done.out)
    assert card["compiled"]["form"] == "onnx-f64"
    assert "answers output 1 of a model of several" in card["notes"]


@pytest.mark.parametrize(
    ("file", "name", "more", "code", "message"),
    [
        ("classes.txt", "iris", (), 1, "classes: the file numbers its 3 classes from 0"),
        ("classes.txt", "iris", ("--classes", "setosa"), 1, "classes: expected the names of 3 classes, got setosa"),
        ("values.txt", "diabetes-missing", ("--output", 3), 1, "output: expected a number below 1, got 3"),
        ("values.txt", "diabetes-missing", ("--output", "second"), 2, "'second' is not a valid integer"),
        ("values.txt", "diabetes-missing", ("--learn", "own"), 1, "learn: only a River model learns"),
        ("targets.ubj", "two-targets", (), 1, "targets.ubj: the model answers 2 values per row; choose one of them as output"),
        ("make.py", "iris", (), 1, "make.py: expected a file ending in .skops, .onnx, .json, .ubj, .txt"),
        ("answers.json", "iris", (), 1, "answers.json: not a readable XGBoost file"),
    ],
)
def test_what_will_not_do_ends_with_the_reason(
    register: Run, file: str, name: str, more: tuple[object, ...], code: int, message: str
) -> None:
    """2 where an option cannot be read, else 1; the reason is on standard error."""
    done = register(FOLDER / file, name, *more)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_options_of_other_models(register: Run, tmp_path: Path) -> None:
    """Neither is silently ignored."""
    skops_io.dump(fitted("ridge"), tmp_path / "model.skops")
    done = register(tmp_path / "model.skops", "diabetes", "--classes", "a,b")
    assert (done.code, "classes: only a file of trees numbers its classes" in done.err) == (1, True)
    done = register(tmp_path / "model.skops", "diabetes", "--output", 0)
    assert (done.code, "output: the Ridge has one output, so there is none to choose" in done.err) == (1, True)
