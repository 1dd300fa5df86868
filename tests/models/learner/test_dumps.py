"""What a learner is stored as: of a model that outgrows its pickle, and of a state that another release wrote."""

from __future__ import annotations

import pickle

import pytest

from core.errors import ModelFailed, Rejected
from models.learner import learner as learners
from models.learner import pupil
from models.learner.learner import Learner
from models.learner.settings import LearnerSettings
from tests.models.learner.zoo import BOOL, Taught, learner_of, lesson, taught


@pytest.fixture
def few(monkeypatch):
    """Pickles are renewed after 10 lessons, and 30 are kept at most."""
    monkeypatch.setattr(pupil, "LESSONS", 10)
    monkeypatch.setattr(pupil, "MOST_LESSONS", 30)
    monkeypatch.setattr(pupil, "SHARE", 0)


def test_a_model_that_outgrows_its_pickle_learns_on(few):
    """From the old pickle it is restored all the same; whoever asks for a dump is told; once it can be pickled again all is well."""
    learner = learner_of(Taught)
    taught(learner, [({"a": 1}, True)] * 15 + [({"hold": 1}, True)] + [({"a": 1}, True)] * 9)
    with pytest.raises(ModelFailed, match=r"the model cannot be pickled: .*lambda"):
        learner.dump()
    for _ in range(2):
        assert learner.take(lesson({"learn": ValueError("no")}, True)) == "ValueError: no"
        assert (learner.model.learnt, learner.model.held()) == (25, True)
    taught(learner, [({"free": 1}, True)] + [({"a": 1}, True)] * 50)
    assert pickle.loads(learner.dump()[0]).learnt == learner.labels == 76


def test_a_model_that_is_never_pickled_again_is_refused_rows_in_the_end(few):
    """So that no more is kept than can be; another state helps it."""
    learner = learner_of(Taught)
    taught(learner, [({"hold": 1}, True)] + [({"a": 1}, True)] * 29)
    for _ in range(5):
        assert learner.take(lesson({"a": 1}, True)) == "the model can no longer be pickled, and has learnt 30 rows since it could"
    assert (learner.labels, learner.quarantined, len(learner._pupil._since)) == (30, 5, 30)
    learner.restore(Taught())
    taught(learner, [({"a": 1}, True)] * 50)
    assert pickle.loads(learner.dump()[0]).learnt == 50


class Renamed:
    """A class that a state names and that is gone by the time it is read."""


def test_a_state_that_cannot_be_read_is_rejected(monkeypatch):
    """Whatever it was that changed since it was written: a class that is gone, other parts, or something else altogether."""
    model, state = learner_of(Taught).dump()
    with monkeypatch.context() as patched:
        patched.delattr(learners, "_Kept")
        assert_rejected(model, state, "cannot be read: AttributeError")
    with monkeypatch.context() as patched:
        patched.setattr(learners, "_LAYOUT", 2)
        assert_rejected(model, state, "is of layout 1; here it is 2")
    assert_rejected(model, pickle.dumps((1, Renamed())), "is of layout 1")
    assert_rejected(model, pickle.dumps(7), "cannot be read: TypeError")
    assert_rejected(model, state[:-9], "cannot be read: ")


def assert_rejected(model, state, said):
    with pytest.raises(Rejected, match=said):
        Learner.load(BOOL, LearnerSettings(), Taught, pickle.loads(model), state)
