"""The document of a test as a whole, and as text: whatever the answers are, there is one."""

from __future__ import annotations

import warnings
from typing import Any

import msgspec
import numpy as np
import pytest

from experiments.batch.answers import Answers, Labelled, Valued
from experiments.batch.plots import pictures
from experiments.batch.report import report
from experiments.batch.slices import cut
from experiments.batch.table import compared_by, counted, table
from tests.experiments.batch.answered import asking, binary, several, values

DATA = {"file": "d.csv", "sha256": "0" * 64, "target": "y", "rows": 9, "tested": 9, "unlabelled": 0, "unanswered": 0, "unseen": {}}
AROUND: dict[str, Any] = {"id": 1, "version": "m@1", "against": "m@2", "passed": None, "data": DATA, "checks": [], "notes": []}
AROUND |= {"settings": {"alpha": 0.05, "resamples": 400, "seed": 0}, "latency": None, "memory": None}

CASES: dict[str, Answers] = {
    "binary": binary(80),
    "several": several(80),
    "values": values(80),
    "perfect": Labelled(("a", "b"), np.array([0, 1] * 5), np.array([0, 1] * 5), np.eye(2)[[0, 1] * 5], 1),
    "all wrong": Labelled(("a", "b"), np.array([0, 1] * 5), np.array([1, 0] * 5), np.eye(2)[[1, 0] * 5], 1),
    "one class": Labelled(("a", "b"), np.zeros(10, dtype=int), np.zeros(10, dtype=int), np.full((10, 2), 0.5), 1),
    "labels alone": binary(80)._replace(probabilities=None),
    "one row": binary(1),
    "one value": values(1),
    "constant": Valued(np.ones(10), np.ones(10)),
    "huge and equal": Valued(np.full(10, 1e308), np.zeros(10)),
    "large and equal": Valued(np.full(10, 1.7e18), np.arange(10.0)),
    "huge": Valued(np.array([1e308, -1e308, 0.0, 5e307]), np.array([-1e308, 1e308, 1.0, 0.0])),
}


@pytest.mark.parametrize("name", CASES)
def test_there_is_always_a_document(name: str) -> None:
    """Without a warning; JSON gives it back as it was, so that no figure is NaN or infinite; and text that fits a terminal."""
    answers = CASES[name]
    cuts = [cut("g", [k % 2 for k in range(answers.truth.size)])]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = report(answers, cuts, answers, asking())
    document = msgspec.json.decode(msgspec.json.encode(found.document))
    assert _same(msgspec.to_builtins(found.document), document)
    text = table({**AROUND, **document})
    assert max(map(len, text.splitlines())) <= 100
    assert "nan" not in text
    assert "inf" not in text


@pytest.mark.leaves_open("matplotlib keeps the fonts open that it has used")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["huge and equal", "large and equal"])
def test_pictures_of_equal_errors(name: str) -> None:
    """However large they are: the calibration, and the errors as one bar that holds all rows; R² has no value."""
    answers = CASES[name]
    document = msgspec.to_builtins(report(answers, [], None, asking()).document)
    assert [one.title for one in pictures({**AROUND, **document})] == ["Calibration", "Errors"]
    assert sum(document["errors"]["histogram"]["counts"]) >= 8
    assert document["metrics"]["r2"]["value"] is None


def _same(left: Any, right: Any) -> bool:
    """Tuples are lists, and nothing else differs: NaN and infinity would have become null."""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


def test_a_comparison_in_which_nothing_was_tested() -> None:
    """Says why."""
    a = binary(50)
    told = compared_by(report(a, [], a, asking()).document["comparison"])
    assert told.startswith("No difference could be tested: the models are right and wrong on the same rows")
    other = compared_by(report(a, [], binary(50, 3, 2.0, a.truth), asking()).document["comparison"])
    assert other.startswith("11 metrics were compared (accuracy by McNemar mid-p; ")


def test_what_was_left_out_is_said() -> None:
    """How many rows, and why."""
    assert counted(DATA) == "9 rows"
    assert counted({**DATA, "rows": 12, "unlabelled": 2, "unanswered": 1}) == (
        "9 rows of 12 (2 without a true value, 1 without an answer, left out)"
    )


def test_metrics_without_an_interval_are_told_by_reason() -> None:
    """Once for each reason."""
    document = msgspec.to_builtins(report(CASES["perfect"], [], None, asking()).document)
    text = " ".join(table({**AROUND, **document, "comparison": None}).split())
    assert "no interval of balanced_accuracy, precision_macro, f1_macro, f1, log_loss, brier: it is the same in all resamples" in text
