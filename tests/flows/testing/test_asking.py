"""Asking a whole data set: labels of any type find their class, and what is kept is the same however the rows are cut into chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from core.errors import Invalid
from core.values import Label, Output, Row
from experiments.batch.answers import Labelled, Valued
from flows.testing import asking, gathering
from flows.testing.asking import Contestant, Wanted, ask
from flows.testing.classes import MOST, NONE, Classes
from models.package import Loaded
from models.signature import Task
from tests.flows.flow_world import card

Answer = Callable[[Row], Output]


class Model:
    """Answers each row by a function."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        """One output per row."""
        return [self._answer(row) for row in rows]


def contestant(answer: Answer, task: Task = "classification", classes: tuple[Label, ...] | None = None) -> Contestant:
    """A version that takes the number `x`."""
    from msgspec.structs import replace

    made = card("x", task=task)
    made = replace(made, signature=replace(made.signature, classes=classes))
    return asking.contestant("m@1", Loaded(made, Model(answer), 0.0))


def sure(label: Any, p: float = 0.75, other: Any = "other") -> Output:
    """An answer with probabilities."""
    return Output(label=label, probabilities={str(label): p, str(other): 1.0 - p})


def asked(folder: Path, text: str, *contestants: Contestant, slices: Sequence[str] = (), seed: int = 0) -> asking.Gathered:
    """All that comes of a CSV file."""
    (folder / "d.csv").write_text(text)
    return ask(contestants, Wanted(folder / "d.csv", "y", slices), np.random.default_rng(seed))


@pytest.fixture(autouse=True, params=[2, 10_000])
def rows_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows at a time, or all."""
    monkeypatch.setattr(asking, "ROWS", request.param)


@pytest.mark.parametrize(
    ("classes", "truth"),
    [
        ((0, 1), "0,1,1.0,true"),
        ((False, True), "False,true,1,TRUE"),
        (("no", "yes"), "no,yes,yes,yes"),
        (("0", "1"), "0,1,1,1"),
        ((0.0, 1.0), "0,1,1.0,1"),
    ],
)
def test_labels_find_their_class(tmp_path: Path, classes: tuple[Label, ...], truth: str) -> None:
    """Of whatever type the model's classes are, and as a CSV file spells them."""
    one = contestant(lambda row: Output(label=classes[1], probabilities={str(classes[0]): 0.2, str(classes[1]): 0.8}), classes=classes)
    found = asked(tmp_path, "x,y\n" + "".join(f"1,{each}\n" for each in truth.split(",")), one)
    (answers,) = found.answers
    assert isinstance(answers, Labelled)
    assert answers.truth.tolist() == [0, 1, 1, 1]
    assert answers.said.tolist() == [1] * 4
    assert answers.probabilities.tolist() == [[0.2, 0.8]] * 4
    assert (answers.positive, found.unseen) == (1, {})


def test_two_models_with_classes_of_their_own(tmp_path: Path) -> None:
    """In another order, or one more: both are brought to the same places."""
    left = contestant(lambda row: Output(label="b", probabilities={"a": 0.4, "b": 0.6}), classes=("a", "b"))
    right = contestant(lambda row: Output(label="c", probabilities={"b": 0.1, "c": 0.9}), classes=("b", "c"))
    ours, theirs = asked(tmp_path, "x,y\n1,a\n2,b\n", left, right).answers
    assert isinstance(ours, Labelled)
    assert isinstance(theirs, Labelled)
    assert ours.classes == theirs.classes == ("a", "b", "c")
    assert ours.probabilities.tolist() == [[0.4, 0.6, 0.0]] * 2
    assert theirs.probabilities.tolist() == [[0.0, 0.1, 0.9]] * 2
    assert ours.positive is None


def test_a_model_that_learns_its_classes(tmp_path: Path) -> None:
    """Its classes are those of data and answers; no answer is a wrong one, and probabilities may be of some classes only."""
    told = {1.0: Output(label=None, probabilities={}), 2.0: sure("b", 0.7, "a"), 3.0: sure("a", 1.0, "b")}
    found = asked(tmp_path, "x,y\n1,a\n2,a\n3,a\n", contestant(lambda row: told[row[0]]))
    (answers,) = found.answers
    assert isinstance(answers, Labelled)
    by_name = dict(zip(answers.classes, range(3), strict=True))
    assert answers.said.tolist() == [by_name[NONE], by_name["b"], by_name["a"]]
    assert answers.right.tolist() == [False, False, True]
    assert answers.probabilities[:, by_name["a"]].tolist() == pytest.approx([0.0, 0.3, 1.0])
    assert found.unseen == {}


@pytest.mark.parametrize("labels", [(False, True), (2, 10), ("a", "b"), (0, "b")])
def test_the_positive_one_of_classes_that_are_not_declared(tmp_path: Path, labels: tuple[Label, Label]) -> None:
    """Is the last in their own order, not in that of the file."""
    text = f"x,y\n1,{labels[1]}\n2,{labels[0]}\n3,{labels[0]}\n"
    told = {1.0: Output(label=None), 2.0: Output(label=labels[0]), 3.0: Output(label=labels[1])}
    (answers,) = asked(tmp_path, text, contestant(lambda row: told[row[0]])).answers
    assert isinstance(answers, Labelled)
    assert answers.classes[answers.positive or 0] == str(labels[1])


def test_an_answer_without_probabilities(tmp_path: Path) -> None:
    """One row without them leaves none: metrics of a part would be taken for those of the whole."""
    told = {1.0: sure("a"), 2.0: sure("a"), 3.0: Output(label="a")}
    (answers,) = asked(tmp_path, "x,y\n1,a\n2,a\n3,a\n", contestant(lambda row: told[row[0]])).answers
    assert isinstance(answers, Labelled)
    assert answers.probabilities is None


def test_values_and_rows_without_them(tmp_path: Path) -> None:
    """A row to which one of two models has nothing to say is left out for both, in slices too, and counted."""
    left = contestant(lambda row: Output(value=None if row[0] == 2.0 else row[0]), "regression")
    right = contestant(lambda row: Output(value=2.0 * row[0]), "regression")
    found = asked(tmp_path, "x,y,z\n1,1,a\n2,2,b\n3,,c\n4,5,d\n", left, right, slices=["z"])
    assert [(one.truth.tolist(), one.said.tolist()) for one in found.answers if isinstance(one, Valued)] == [
        ([1.0, 5.0], [1.0, 4.0]),
        ([1.0, 5.0], [2.0, 8.0]),
    ]
    assert (found.rows, found.unlabelled, found.unanswered, found.slices) == (4, 1, 1, {"z": ["a", "d"]})


def test_nothing_to_say_at_all(tmp_path: Path) -> None:
    """Is no test."""
    with pytest.raises(Invalid, match="learnt too little"):
        asked(tmp_path, "x,y\n1,1\n", contestant(lambda row: Output(value=None), "forecast"))


def test_rows_are_named_by_their_number(tmp_path: Path) -> None:
    """In the file, whatever was left out before."""
    with pytest.raises(Invalid, match="data: row 4, column x: expected a number, got 'q'"):
        asked(tmp_path, "x,y\n1,a\n2,\n3,a\nq,a\n", contestant(lambda row: sure("a")))


def test_a_sample_of_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row has the same chance to be in it, and both models see the same rows, in the file's order."""
    monkeypatch.setattr(gathering, "MOST_ROWS", 4)
    text = "x,y\n" + "".join(f"{k},a\n" for k in range(20))
    seen = np.zeros(20)
    for seed in range(150):
        one, two = asked(tmp_path, text, *[contestant(lambda row: sure("a"))] * 2, seed=seed).samples
        assert one == two
        chosen = [int(row[0]) for row in one]
        assert chosen == sorted(set(chosen))
        assert len(chosen) == 4
        seen[chosen] += 1
    assert stats.chisquare(seen).pvalue > 0.001


def test_too_many_classes() -> None:
    """A target of numbers without end is no class: said before the table takes all memory."""
    classes = Classes()
    classes.add(range(MOST))
    assert classes.place(5) == 5
    with pytest.raises(Invalid, match="at most 200 classes"):
        classes.place("one more")
