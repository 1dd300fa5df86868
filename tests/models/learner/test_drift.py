"""Drift: found where there is one and not where there is none, and what follows."""

from __future__ import annotations

import pickle
import random
from itertools import islice

import pytest
from river import base, linear_model
from river.datasets import synth

from core.errors import Invalid
from models.learner.drift import Detector, loss_of
from models.learner.fingerprint import fingerprint
from models.learner.learner import Learner
from models.learner.river_model import Asked
from models.learner.settings import LearnerSettings
from tests.models.learner.zoo import BOOL, NUMBER, ODD, Case, lesson, scaled, taught

DETECTORS = ("ADWIN", "DDM", "HDDMA", "HDDMW", "FHDDM")
SEA = Case(BOOL, lambda: scaled(linear_model.LogisticRegression()), lambda count: list(islice(_drifting(), count)))


def _drifting():
    """Two concepts: the second begins about row 2000 and is the first turned round."""
    first, second = synth.SEA(variant=0, seed=42), ((x, not y) for x, y in synth.SEA(variant=0, seed=43))
    yield from islice(first, 2000)
    yield from second


def detections(learner):
    """What is told of drift."""
    return learner.describe()["drift"]


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_drift_is_found_soon_after_it_begins(detector):
    """Not before row 2000, within 500 rows of it, and told with the journal time and the number of the label."""
    learner = SEA.learner(LearnerSettings(detector=detector))
    rows = SEA.rows(2500)
    taught(learner, rows[:2000])
    assert detections(learner)["detections"] == 0
    for number, (x, y) in enumerate(rows[2000:], start=2001):
        learner.take(lesson(x, y, at=1e9 + number))
    told = detections(learner)
    assert told["detections"] >= 1
    assert 2000 < told["last"]["label"] <= 2500
    assert told["last"]["at"] == 1e9 + told["last"]["label"]


def test_a_gradual_drift_of_a_seeded_stream_is_found():
    """River's own stream that goes over from one concept to another within 100 rows."""
    stream = synth.ConceptDriftStream(
        synth.SEA(seed=42, variant=0), synth.SEA(seed=42, variant=3), seed=1, position=3000, width=100, alpha=None
    )
    learner = SEA.learner(LearnerSettings(detector_parameters={"delta": 0.05}))
    rows = list(islice(stream, 6000))
    taught(learner, rows[:2900])
    before = detections(learner)["detections"]
    taught(learner, rows[2900:])
    assert (before, detections(learner)["detections"] >= 1) == (0, True)


@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_gets_better_does_not_drift(seed):
    """On a stationary stream the loss falls as the model learns: a change, and no drift."""
    learner = taught(SEA.learner(), list(synth.SEA(seed=seed).take(4000)))
    assert detections(learner)["detections"] == 0


def test_a_fall_of_the_loss_is_no_drift_though_the_detector_finds_a_change():
    """ADWIN itself cuts its window there."""
    found = []
    detector = Detector("classifier", LearnerSettings())
    original = detector._finds
    detector._finds = lambda loss: found.append(original(loss)) or found[-1]
    rng = random.Random(1)
    told = [detector.update(float(rng.random() < share), 0.0, n) for share in (0.5, 0.05) for n in range(1000)]
    assert (any(found), any(told)) == (True, False)


def test_a_reset_begins_again_with_the_registered_model():
    """After the drift the model is that of a learner which has seen the later rows alone; counts go on."""
    settings = LearnerSettings(on_drift="reset")
    learner, rows = SEA.learner(settings), SEA.rows(3000)
    first = None
    for number, (x, y) in enumerate(rows, start=1):
        learner.take(lesson(dict(x), y))
        if detections(learner)["detections"] and first is None:
            first = number
            assert fingerprint(learner.model) == fingerprint(SEA.fresh())
            assert detections(learner)["estimates"]["width"] == 0
    assert detections(learner)["detections"] == 1
    assert fingerprint(learner.model) == fingerprint(taught(SEA.learner(), rows[first:]).model)
    assert learner.labels == 3000


def test_a_challenger_learns_beside_and_is_handed_out_once():
    """It has learnt exactly the rows from the drift on, as many as are wanted; the old model has learnt all."""
    learner = SEA.learner(LearnerSettings(on_drift="challenger", fresh_labels=200))
    rows, handed, begun, at = SEA.rows(3000), [], None, 0
    for number, (x, y) in enumerate(rows):
        learner.take(lesson(dict(x), y))
        if detections(learner)["challenger"]["learning"] and begun is None:
            begun = number
        grown = learner.grown()
        if grown is not None:
            handed.append(grown)
            at = number
    assert len(handed) == 1
    assert at == begun + 199
    alone = SEA.fresh()
    for x, y in rows[begun : begun + 200]:
        alone.learn_one(x, y)
    assert fingerprint(handed[0]) == fingerprint(alone)
    assert fingerprint(learner.model) == fingerprint(taught(SEA.learner(), rows).model)
    assert detections(learner)["challenger"] == {"learning": False, "labels": 0, "of": 200, "failed": None}


def test_a_challenger_outlives_a_restart():
    """In the midst of learning, and when it waits to be handed out."""
    settings = LearnerSettings(on_drift="challenger", fresh_labels=200)
    straight, resumed, rows = SEA.learner(settings), SEA.learner(settings), SEA.rows(2600)
    taught(straight, rows)
    for begin in range(0, 2600, 50):
        taught(resumed, rows[begin : begin + 50])
        model, state = resumed.dump()
        resumed = Learner.load(BOOL, settings, SEA.fresh, pickle.loads(model), state)
    assert fingerprint(resumed.grown()) == fingerprint(straight.grown())
    assert resumed.grown() is None
    assert resumed.describe() == straight.describe()


class Brittle(base.Classifier):
    """Says the same for ever; a fresh one can learn no more than five rows once `broken`."""

    broken = False

    def __init__(self) -> None:
        self.learnt = 0

    def predict_proba_one(self, x):
        return {True: 1.0}

    def learn_one(self, x, y):
        self.learnt += 1
        if self.learnt == 5 and Brittle.broken:
            raise RuntimeError("too\nmuch")


def test_a_second_drift_begins_the_challenger_again(monkeypatch):
    """The one that was learning is gone; only the newest is counted."""
    learner = Learner(BOOL, LearnerSettings(on_drift="challenger", fresh_labels=10), Brittle)
    monkeypatch.setattr(learner._kept.detector, "update", lambda loss, at, label: label in (3, 8))
    for number in range(1, 18):
        learner.take(lesson({"a": 1}, True))
        assert (learner.grown() is not None) == (number == 17)


def test_a_challenger_that_raises_costs_the_model_nothing(monkeypatch):
    """It is dropped with its reason, and no row is quarantined."""
    learner = Learner(BOOL, LearnerSettings(on_drift="challenger"), Brittle)
    taught(learner, [({"a": 1}, True)] * 20)
    monkeypatch.setattr(Brittle, "broken", True)
    monkeypatch.setattr(learner._kept.detector, "update", lambda loss, at, label: label in (25, 41))
    taught(learner, [({"a": 1}, True)] * 20)
    assert detections(learner)["challenger"] == {"learning": False, "labels": 0, "of": 1000, "failed": "RuntimeError: too much"}
    assert (learner.labels, learner.quarantined, learner.model.learnt) == (40, 0, 40)
    taught(learner, [({"a": 1}, True)])
    assert detections(learner)["challenger"] == {"learning": True, "labels": 1, "of": 1000, "failed": None}


def test_a_learner_that_goes_on_from_another_state_has_no_challenger(monkeypatch):
    """What was found of the state that is left is of no use to the other."""
    learner = Learner(BOOL, LearnerSettings(on_drift="challenger"), Brittle)
    monkeypatch.setattr(learner._kept.detector, "update", lambda loss, at, label: True)
    taught(learner, [({"a": 1}, True)])
    assert detections(learner)["challenger"]["learning"]
    learner.restore(Brittle())
    assert not detections(learner)["challenger"]["learning"]


def test_a_detector_that_fails_is_told_and_left_out(monkeypatch):
    """The model learns on."""
    learner = SEA.learner()
    monkeypatch.setattr(learner._kept.detector._detector, "update", lambda loss: 1 / 0)
    taught(learner, SEA.rows(20))
    assert detections(learner)["failed"] == "ZeroDivisionError: division by zero"
    assert detections(learner)["estimates"] == {}


def test_without_a_detector_nothing_is_looked_for():
    """Even where the whole world turns round."""
    told = detections(taught(SEA.learner(LearnerSettings(detector="")), SEA.rows(2500)))
    assert (told["detector"], told["detections"], told["estimates"]) == ("", 0, {})


def test_a_detector_with_chance_finds_the_same_each_time():
    """One that draws its seed from the operating system by default gets a seed, so that a replay finds what was found."""
    losses = [random.Random(2).random() + (n > 600) * 0.1 * random.Random(n).random() for n in range(2000)]

    def found():
        detector = Detector("regressor", LearnerSettings(detector="KSWIN", detector_parameters={"alpha": 0.01}))
        return [n for n, loss in enumerate(losses) if detector.update(loss, 0.0, n)]

    assert found() == found() == found()


BAD = [
    (BOOL, "ADVIN", {}, "detector"),
    (BOOL, "binary", {}, "detector"),
    (NUMBER, "DDM", {}, "detector"),
    (BOOL, "ADWIN", {"delat": 0.1}, "detector_parameters"),
]


@pytest.mark.parametrize(("card", "name", "parameters", "field"), BAD)
def test_a_detector_that_cannot_be_made_is_refused(card, name, parameters, field):
    """Naming the field."""
    with pytest.raises(Invalid, match=f"^{field}: ") as caught:
        Detector(card.kind, LearnerSettings(detector=name, detector_parameters=parameters))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("card", "truth", "asked", "loss"),
    [
        (BOOL, True, Asked(False, {False: 1.0}), 1.0),
        (BOOL, True, Asked(True), 0.0),
        (BOOL, True, Asked(None, {}), None),
        (NUMBER, 2.0, Asked(-1.5), 3.5),
        (NUMBER, 1e300, Asked(-1.5), 1e150),
        (NUMBER, 2.0, Asked(None), None),
        (ODD, True, Asked(0.25, None, 0.25), 0.25),
    ],
)
def test_what_a_detector_is_told(card, truth, asked, loss):
    """Right or wrong, the absolute error within what can be squared, or the score."""
    assert loss_of(card.kind, truth, asked) == loss
