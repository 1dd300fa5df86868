"""The learner alone: what it learns, forgets, quarantines, and how it goes on."""

from __future__ import annotations

import json
import pickle
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import base, linear_model, optim

from core.values import Output
from models.learner import pupil
from models.learner.fingerprint import fingerprint
from models.learner.learner import Learner, Lesson
from models.learner.settings import LearnerSettings, RiverCard
from tests.models.learner.zoo import BOOL, CASES, NUMBER, lesson, taught


class Moody(base.Classifier):
    """Changes itself in every call, also where it is only asked, and the row; raises midway where the row says so."""

    def __init__(self) -> None:
        self.rng = random.Random(5)
        self.weights = [0.0, 0.0]

    def predict_proba_one(self, x):
        self.weights[0] += self.rng.random()
        self._maybe(x, "ask")
        share = self.rng.random() if x.get("bad") != "nan" else float("nan")
        return {False: 1 - share, True: share}

    def learn_one(self, x, y):
        self.weights[0] -= x["size"]
        x["size"] = self.rng.random()
        self._maybe(x, "learn")
        self.weights[1] += self.rng.random() * y

    def _maybe(self, x, when):
        if x.get("bad") == when:
            raise ValueError("cannot take\nthis row")
        if x.get("bad") == f"{when} exit":
            raise SystemExit(3)


REASONS = {
    "ask": "ValueError: cannot take this row",
    "learn": "ValueError: cannot take this row",
    "ask exit": "SystemExit: 3",
    "learn exit": "SystemExit: 3",
    "nan": "the model answered a number that is not finite",
}


def moody(on_drift="alert"):
    return Learner(BOOL, LearnerSettings(on_drift=on_drift), Moody)


def rows(count, seed=0):
    rng = random.Random(seed)
    return [({"size": rng.random()}, rng.random() < 0.5) for _ in range(count)]


def state(learner):
    """All that a learner is."""
    return fingerprint(learner.model), json.dumps(learner.describe())


@pytest.mark.parametrize("name", CASES)
def test_going_on_from_a_dump_is_going_on(name):
    """After dumps and loads at odd places the model and all that is told are those of a learner that was never interrupted."""
    case = CASES[name]
    given = case.rows(500)
    straight = taught(case.learner(), given)
    resumed = case.learner()
    for begin, end in pairwise([0, 1, 77, 250, 251, 500]):
        taught(resumed, given[begin:end])
        model, kept = resumed.dump()
        resumed = Learner.load(case.card, LearnerSettings(), case.fresh, pickle.loads(model), kept)
    assert state(resumed) == state(straight)
    assert straight.labels == 500


@pytest.mark.parametrize("name", CASES)
def test_a_model_restored_from_its_rows_goes_on_as_it_was(name):
    """After a row that cannot be taken the model is taught again, and all that follows is as without that row."""
    case = CASES[name]
    given = case.rows(300)
    straight, hurt = taught(case.learner(), given), taught(case.learner(), given[:150])
    real, hurt._pupil._model.learn = hurt._pupil._model.learn, lambda x, y: 1 / 0
    assert hurt.take(lesson(dict(given[0][0]), given[0][1])) == "ZeroDivisionError: division by zero"
    assert hurt._pupil._model.learn is not real
    taught(hurt, given[150:])
    assert fingerprint(hurt.model) == fingerprint(straight.model)
    assert hurt.describe()["scores"] == straight.describe()["scores"]


@pytest.mark.parametrize("bad", REASONS)
def test_a_row_that_cannot_be_taken_leaves_no_trace(bad):
    """Whatever the model did before it raised, it is as if the row had never come; the reason is one line."""
    learner = moody()
    for x, y in rows(20):
        learner.take(lesson(x, y))
    before = state(learner)
    assert learner.take(lesson({"size": 1.0, "bad": bad}, True)) == REASONS[bad]
    told = json.loads(state(learner)[1])
    assert (state(learner)[0], told | {"quarantined": 0}) == (before[0], json.loads(before[1]))
    assert (learner.quarantined, learner.labels) == (1, 20)


class Steps:
    """Rows, bad rows, dumps and loads in any order; `expected` is what plain River would be."""

    def __init__(self):
        self.learner = moody()
        self.plain = Moody()
        self.good = self.bad = 0

    def take(self, seed, bad):
        x, y = rows(1, seed)[0]
        if bad is not None:
            self.bad += 1
            assert self.learner.take(lesson(x | {"bad": bad}, y)) == REASONS[bad]
            return
        self.good += 1
        assert self.learner.take(lesson(dict(x), y)) is None
        self.plain.predict_proba_one(x)
        self.plain.learn_one(x, y)

    def interrupt(self):
        model, kept = self.learner.dump()
        self.learner = Learner.load(BOOL, LearnerSettings(), Moody, pickle.loads(model), kept)


@given(st.lists(st.one_of(st.just("dump"), st.tuples(st.integers(0, 99), st.sampled_from([None, None, None, *REASONS]))), max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_order_of_rows_bad_rows_and_restarts_is_the_good_rows_alone(steps):
    """The model is bit for bit River's own, which was asked and taught the good rows one after the other."""
    run = Steps()
    for step in steps:
        run.interrupt() if step == "dump" else run.take(*step)
    assert fingerprint(run.learner.model) == fingerprint(run.plain)
    assert (run.learner.labels, run.learner.quarantined) == (run.good, run.bad)


def test_what_is_kept_to_be_taught_again_is_bounded(monkeypatch):
    """Without anybody asking for a dump the pickle is renewed, and a row that cannot be taken is then still forgotten."""
    monkeypatch.setattr(pupil, "LESSONS", 10)
    monkeypatch.setattr(pupil, "MOST_LESSONS", 30)
    learner, plain = moody(), Moody()
    for number, (x, y) in enumerate(rows(200)):
        plain.predict_proba_one(x)
        plain.learn_one(dict(x), y)
        assert learner.take(lesson(x, y)) is None
        assert len(learner._pupil._since) <= 30
        if number % 7 == 0:
            learner.take(lesson({"size": 1.0, "bad": "learn"}, y))
    assert fingerprint(learner.model) == fingerprint(plain)


def test_bad_rows_in_a_row_restore_from_the_pickle_alone(monkeypatch):
    """The first one renews the pickle: the others teach nothing again."""
    learner = moody()
    for x, y in rows(50):
        learner.take(lesson(x, y))
    learner.take(lesson({"size": 1.0, "bad": "ask"}, True))
    assert learner._pupil._since == []
    before = learner._pupil._pickled
    learner.take(lesson({"size": 1.0, "bad": "ask"}, True))
    assert learner._pupil._pickled is before


def test_a_label_that_cannot_be_read_quarantines_the_row():
    """With what was expected and what came, and the model is not even asked."""
    learner = CASES["linear"].learner()
    assert learner.take(lesson({"time": 1}, "much")) == "label: expected a number, got the text 'much'"
    assert (learner.labels, learner.quarantined) == (0, 1)
    assert fingerprint(learner.model) == fingerprint(CASES["linear"].make())


def test_rows_that_are_not_declared_are_scored_and_not_learnt():
    """Served answers count at their place; the model stays as it was."""
    learner = CASES["logistic"].learner()
    for label in (True, False):
        answered = Output(label=True, probabilities={"False": 0.25, "True": 0.75})
        assert learner.take(Lesson(1.0, {"a": 1.0}, label, "shop/control", answered, False)) is None
    told = learner.describe()
    assert told["served"]["shop/control"] | {"rolling": {}} == {
        "labels": 2,
        "scores": {"LogLoss": pytest.approx(0.8369882), "Accuracy": 0.5},
        "rolling": {},
    }
    assert (told["labels"], told["scores"]) == (0, {"LogLoss": None, "Accuracy": None})
    assert fingerprint(learner.model) == fingerprint(CASES["logistic"].make())


def test_a_learner_goes_on_from_another_state():
    """The model is the one given; scores, served scores and detector begin anew, the counts go on."""
    case = CASES["logistic"]
    given = case.rows(400)
    learner, earlier = taught(case.learner(), given[:300]), taught(case.learner(), given[:100])
    learner.take(Lesson(1.0, dict(given[0][0]), True, "shop/a", Output(label=True), False))
    learner.restore(pickle.loads(pickle.dumps(earlier.model)))
    assert set(learner.describe()["scored"].values()) == {0}
    told = learner.describe()
    assert (told["labels"], told["served"], told["scores"]) == (300, {}, {"LogLoss": None, "Accuracy": None})
    assert told["drift"]["estimates"]["width"] == 0
    assert fingerprint(learner.model) == fingerprint(earlier.model)
    taught(learner, given[300:])
    assert fingerprint(learner.model) == fingerprint(taught(earlier, given[300:]).model)


def test_what_is_told_is_json_from_the_first_moment():
    """Before the first label each score is null, never NaN, and all are builtins."""
    for case in CASES.values():
        told = case.learner().describe()
        assert set(told) == {"labels", "quarantined", "broken", "scores", "scored", "rolling", "served", "drift"}
        assert json.loads(json.dumps(told, allow_nan=False)) == told
        assert (set(told["scores"].values()), set(told["scored"].values())) == ({None}, {0})
        assert told["broken"] == {"times": 0, "last": None, "reason": None}


def test_an_infinite_answer_is_not_learnt_from():
    """A regressor whose numbers ran away keeps the state before the row."""
    heavy = optim.initializers.Constant(1e300)
    learner = Learner(RiverCard(kind="regressor"), LearnerSettings(), lambda: linear_model.LinearRegression(initializer=heavy))
    taught(learner, [({"a": 1.0}, 2.0)] * 5)
    before = fingerprint(learner.model)
    assert learner.take(lesson({"a": 1e10}, 2.0)) == REASONS["nan"]
    assert fingerprint(learner.model) == before
    assert learner._card == NUMBER
