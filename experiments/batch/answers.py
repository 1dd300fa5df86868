"""Answers to a labelled data set as arrays: one entry for each row, all rows independent."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from experiments.losses import LARGEST, LEAST_PROBABILITY
from experiments.methods.summary import FloatArray

IntArray: TypeAlias = NDArray[np.intp]
BoolArray: TypeAlias = NDArray[np.bool_]


class Labelled(NamedTuple):
    """Answers of a classifier. `truth` and `said` (rows,) are places in `classes`; `probabilities` is (rows, classes), None without.

    `positive`: the place of the class that precision, recall and ROC AUC are of, None where there are more than two.
    """

    classes: tuple[str, ...]
    truth: IntArray
    said: IntArray
    probabilities: FloatArray | None = None
    positive: int | None = None

    @property
    def right(self) -> BoolArray:
        """Whether each row was answered with its true label."""
        found: BoolArray = self.truth == self.said
        return found


class Valued(NamedTuple):
    """Answers of a model that answers values, in the target's units."""

    truth: FloatArray
    said: FloatArray

    @property
    def errors(self) -> FloatArray:
        """Value less truth, at most 1e150 either way, so that squares can be added up."""
        with np.errstate(over="ignore"):
            return np.clip(self.said - self.truth, -LARGEST, LARGEST)


Answers: TypeAlias = Labelled | Valued


def rows_of(answers: Answers) -> int:
    """How many rows there are."""
    return int(answers.truth.size)


def part(answers: Answers, chosen: BoolArray) -> Answers:
    """The answers to the rows that are `chosen` (rows,)."""
    if isinstance(answers, Valued):
        return Valued(answers.truth[chosen], answers.said[chosen])
    probabilities = None if answers.probabilities is None else answers.probabilities[chosen]
    return answers._replace(truth=answers.truth[chosen], said=answers.said[chosen], probabilities=probabilities)


def losses(answers: Answers) -> dict[str, FloatArray]:
    """The loss of each row, by the name of the metric that is its mean; an entry is (rows,).

    `log_loss`: −ln of the true class's probability, in nats, clipped at 1e-15 (Good 1952). `brier`: the squared distance of the
    probabilities from the truth (Brier 1950): of the positive class alone where there is one, else summed over the classes. Both only with
    probabilities. Of values: `mse` and `mae`.
    """
    if isinstance(answers, Valued):
        return {"mse": answers.errors**2, "mae": np.abs(answers.errors)}
    shares = answers.probabilities
    if shares is None:
        return {}
    true = shares[np.arange(answers.truth.size), answers.truth]
    if answers.positive is None:
        brier = (shares**2).sum(axis=1) - 2.0 * true + 1.0
    else:
        brier = (shares[:, answers.positive] - (answers.truth == answers.positive)) ** 2
    return {"log_loss": -np.log(np.clip(true, LEAST_PROBABILITY, 1.0)) + 0.0, "brier": np.maximum(brier, 0.0)}
