"""Models that one row would break for good, that broke, and that fail as no Exception does."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise
from math import isfinite
from typing import ClassVar

import pytest
from river import base, linear_model, tree

from models.learner.fingerprint import fingerprint
from models.learner.learner import Learner
from models.learner.settings import LearnerSettings
from tests.models.learner.zoo import NUMBER, Case, Taught, chicks, learner_of, lesson, scaled, taught

PROBES = [dict(x) for x, _ in chicks(4)]
UNBROKEN = {"times": 0, "last": None, "reason": None}


class Panic(BaseException):
    """What an extension written in Rust raises where it panics: no Exception."""


class Stuck(base.Classifier):
    """Once it has learnt a row of a key it can learn no other any more, yet answers."""

    def __init__(self):
        self.key = None

    def predict_proba_one(self, x):
        return {True: 0.5}

    def learn_one(self, x, y):
        if self.key is not None:
            raise OverflowError("too large")
        self.key = x.get("key")


class Counts(base.Regressor):
    """Counts how often it was asked."""

    def __init__(self):
        self.asked = 0

    def predict_one(self, x):
        self.asked += 1
        return 0.0

    def learn_one(self, x, y):
        pass


def line():
    return scaled(linear_model.LinearRegression())


def state(learner):
    return fingerprint(learner.model), json.dumps(learner.describe())


@pytest.mark.parametrize("extreme", [1e101, -1e200, 10**400, float("inf")])
def test_an_outlier_costs_its_own_row_alone(extreme):
    """Once a scaler had learnt it no answer might ever be finite again, which shows only when the next row is learnt."""
    learner, without = learner_of(line, NUMBER, PROBES), learner_of(line, NUMBER, PROBES)
    taught(without, chicks(60))
    taught(learner, chicks(30))
    x, y = chicks(31)[30]
    assert learner.take(lesson({**x, "time": extreme}, y)) == "features.time: expected a number between -1e+100 and 1e+100 to learn from"
    taught(learner, chicks(60)[30:])
    assert fingerprint(learner.model) == fingerprint(without.model)
    assert (learner.labels, learner.quarantined, learner.describe()["broken"]) == (60, 1, UNBROKEN)
    assert all(map(isfinite, learner.describe()["scores"].values()))


def test_a_label_may_be_as_large_as_a_number_of_a_row():
    """And no larger: the model is not asked for such rows either."""
    learner = learner_of(Counts, NUMBER)
    taught(learner, [({"a": 1e100}, 2.0), ({"a": 1}, -1e100)])
    reason = "label: expected a number between -1e+100 and 1e+100 to learn from"
    assert [learner.take(lesson({"a": 1}, y)) for y in (-1e120, 3.0)] == [reason, None]
    assert (learner.model.asked, learner.labels, learner.quarantined) == (3, 3, 1)


def breaking():
    """Rows on which a model without a scaler runs away: from the 21st on each multiplies its weight, and none of them is extreme."""
    return [({"a": float(number % 7)}, float(number % 5)) for number in range(20)] + [({"a": 1e6}, 1.0)] * 40


def raw():
    return linear_model.LinearRegression(intercept_lr=0.0, clip_gradient=1.7e308)


def test_a_model_that_has_broken_begins_anew():
    """It is the registered one again from the row on at which that shows; told with the reason, once."""
    rows, probes = breaking(), [{"a": 1.0}, {"a": 2.0}]
    learner = learner_of(raw, NUMBER, probes)
    reasons = [learner.take(lesson(dict(x), y, at=float(number))) for number, (x, y) in enumerate(rows)]
    bad = [number for number, reason in enumerate(reasons) if reason is not None]
    assert bad, "the row broke nothing"
    assert len(bad) == learner.quarantined == 60 - learner.labels
    told = learner.describe()["broken"]
    assert told == {"times": 1, "last": {"at": float(bad[-1]), "label": bad[-1] - len(bad) + 1}, "reason": reasons[bad[-1]]}
    anew = taught(learner_of(raw, NUMBER, probes), rows[bad[-1] + 1 :])
    assert fingerprint(learner.model) == fingerprint(anew.model)


def test_a_broken_model_begins_anew_at_the_same_row_however_often_it_was_interrupted():
    """It follows from the lessons alone, so that a replay comes to the same."""
    rows, probes = breaking(), [{"a": 1.0}, {"a": 2.0}]
    straight, resumed = learner_of(raw, NUMBER, probes), learner_of(raw, NUMBER, probes)
    for begin, end in pairwise([0, 1, 20, *range(40, 56), 60]):
        for number in range(begin, end):
            x, y = rows[number]
            assert resumed.take(lesson(dict(x), y)) == straight.take(lesson(dict(x), y))
        model, kept = resumed.dump()
        resumed = Learner.load(NUMBER, LearnerSettings(), Case(NUMBER, raw, chicks).fresh, pickle.loads(model), kept, probes)
    assert straight.describe()["broken"]["times"] == 1
    assert state(resumed) == state(straight)


def test_a_model_that_can_only_be_asked_has_broken_too():
    """It would learn nothing any more, and nobody would notice."""
    learner = learner_of(Stuck, probes=[{"a": 1.0}])
    taught(learner, [({"a": 2.0}, True), ({"key": 7}, True)])
    assert learner.take(lesson({"a": 3.0}, True)) == "OverflowError: too large"
    assert learner.describe()["broken"] == {"times": 1, "last": {"at": 1.0, "label": 2}, "reason": "OverflowError: too large"}
    taught(learner, [({"a": 3.0}, True)])


def test_a_tree_that_an_outlier_has_stopped_begins_anew():
    """Its leaf tries to split by that number, and fails at each row that comes to it."""
    learner = learner_of(lambda: tree.HoeffdingTreeRegressor(grace_period=20), NUMBER, [{"a": 0.25}, {"a": 0.75}])
    rows = [({"a": number % 10 / 10}, float(number % 10)) for number in range(100)]
    for number, (x, y) in enumerate(rows):
        learner.take(lesson({"a": 1e200 if number == 10 else x["a"]}, y))
    assert learner.quarantined < 5
    assert learner.labels > 95


@pytest.mark.parametrize("probes", [(), [{"ask": ValueError("never")}]])
def test_probes_that_the_registered_model_cannot_answer_break_nothing(probes):
    """Nor does a model without probes begin anew."""
    learner = learner_of(Taught, probes=probes)
    taught(learner, [({"a": 1}, True)] * 3)
    for _ in range(3):
        assert learner.take(lesson({"ask": ValueError("no")}, True)) == "ValueError: no"
    assert (learner.model.learnt, learner.quarantined, learner.describe()["broken"]) == (3, 3, UNBROKEN)


def test_bad_rows_break_no_model_that_is_well():
    """However many come: the probes are answered."""
    learner = learner_of(Taught, probes=[{"a": 1}])
    for _ in range(20):
        taught(learner, [({"a": 1}, True)])
        assert learner.take(lesson({"learn": ValueError("no")}, True)) == "ValueError: no"
    assert (learner.model.learnt, learner.labels, learner.describe()["broken"]) == (20, 20, UNBROKEN)


@pytest.mark.parametrize("when", ["ask", "learn"])
@pytest.mark.parametrize(
    ("error", "told"), [(Panic("index out of bounds"), "Panic: index out of bounds"), (SystemExit(3), "SystemExit: 3")]
)
def test_what_is_no_exception_is_a_failure_of_the_model_all_the_same(when, error, told):
    """The row is quarantined, and the process goes on."""
    learner = learner_of(Taught, probes=[{"a": 1}])
    taught(learner, [({"a": 1}, True)] * 3)
    assert learner.take(lesson({when: error}, True)) == told
    assert (learner.model.learnt, learner.labels) == (3, 3)


@pytest.mark.parametrize("when", ["ask", "learn"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, GeneratorExit])
def test_what_is_none_of_the_models_doing_passes_through(when, error):
    """An interrupt ends the process, and so does the end of its memory: neither follows from the journal."""
    learner = learner_of(Taught)
    with pytest.raises(error):
        learner.take(lesson({when: error()}, True))
    assert learner.quarantined == 0


@pytest.mark.parametrize(("error", "told"), [(Panic("oh"), "Panic: oh"), (SystemExit(3), "SystemExit: 3")])
def test_a_challenger_and_a_detector_fail_alone(monkeypatch, error, told):
    """Neither costs the model its row, whatever they raise."""

    def fail(*given):
        raise error

    learner = learner_of(Taught, on_drift="challenger")
    monkeypatch.setattr(learner._kept.detector, "update", lambda loss, at, label: True)
    taught(learner, [({"a": 1}, True)])
    monkeypatch.undo()
    learner._kept.challenger._learning.learn = fail
    monkeypatch.setattr(learner._kept.detector._detector, "update", fail)
    taught(learner, [({"a": 1}, True)])
    drift = learner.describe()["drift"]
    assert (drift["failed"], drift["challenger"]["failed"]) == (told, told)


class Spoils(base.Regressor):
    """Changes the row that it learns, and remembers what it was given."""

    seen: ClassVar[list] = []

    def predict_one(self, x):
        return 0.0

    def learn_one(self, x, y):
        self.seen.append(dict(x))
        x["a"] = -1.0


def test_a_challenger_learns_the_row_as_it_came(monkeypatch):
    """And not what the first model made of it."""
    learner = learner_of(Spoils, NUMBER, on_drift="challenger")
    monkeypatch.setattr(learner._kept.detector, "update", lambda loss, at, label: True)
    taught(learner, [({"a": 7.0}, 1.0)])
    assert Spoils.seen == [{"a": 7.0}, {"a": 7.0}]


def test_what_was_found_is_told_after_going_back_too(monkeypatch):
    """Drifts and broken models are counted on: a counter never falls. The detector itself begins anew."""
    learner = learner_of(Stuck, probes=[{"a": 1.0}])
    monkeypatch.setattr(learner._kept.detector._detector, "update", lambda loss: 1 / 0)
    learner._kept.detector._detections = 3
    taught(learner, [({"a": 2.0}, True), ({"key": 7}, True)])
    learner.take(lesson({"a": 3.0}, True))
    learner.restore(Stuck())
    told = learner.describe()
    assert (told["drift"]["detections"], told["drift"]["failed"], told["broken"]["times"]) == (3, None, 1)
