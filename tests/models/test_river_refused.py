"""River models and samples that are refused when they are registered, with a sentence that says why."""

from __future__ import annotations

import random

import pytest
from river import anomaly, base, cluster, compose, linear_model, multioutput, preprocessing

from core.errors import Invalid, Rejected
from models.building import build
from models.learner.settings import LearnerSettings
from models.river_building import NO_TARGET, RANDOM
from tests.models.model_zoo import fitted
from tests.models.river_zoo import CASES, phishing, season, write_pickle, write_sample

LOGISTIC = CASES["logistic"].make


@pytest.fixture
def register(tmp_path):
    """Registers a model with a sample of these rows."""

    def registered(model, rows=None, target="target", **how):
        write_sample(tmp_path / "sample.csv", rows or phishing())
        return build(write_pickle(tmp_path / "model.pkl", model), sample=tmp_path / "sample.csv", target=target, trust_pickle=True, **how)

    return registered


class Pickled(base.Classifier):
    """Can be pickled until it has learnt."""

    def learn_one(self, x, y):
        self.last = lambda: y

    def predict_one(self, x):
        return None


class Raising(base.Classifier):
    """Learns only what is true."""

    def learn_one(self, x, y):
        if not y:
            raise ValueError("cannot take that")

    def predict_one(self, x):
        return True


class Moody(base.Classifier):
    """Draws anew whenever it learns."""

    def __init__(self):
        self.share = 0.5

    def learn_one(self, x, y):
        self.share = random.random()

    def predict_proba_one(self, x):
        return {True: self.share}


class Remembering(base.Classifier):
    """Keeps something of what it learnt where no pickle looks."""

    def __init__(self):
        self.learnt = 0
        self.last = 0

    def __getstate__(self):
        return {"learnt": self.learnt, "last": 0}

    def learn_one(self, x, y):
        self.learnt += self.last
        self.last += 1

    def predict_proba_one(self, x):
        return {True: 0.5}


class Squaring(base.Regressor):
    """Its numbers run away."""

    def __init__(self):
        self.value = 1.0

    def learn_one(self, x, y):
        self.value = self.value * self.value * y

    def predict_one(self, x):
        return self.value


class Forgetful(base.Classifier):
    """Loses on the way to the disk half of what it knows."""

    def __init__(self):
        self.share = 0.5

    def __getstate__(self):
        return {"share": self.share / 2}

    def learn_one(self, x, y):
        pass

    def predict_proba_one(self, x):
        return {True: self.share}


def test_a_pickle_needs_trust(tmp_path):
    """A River model's as well."""
    with pytest.raises(Rejected, match="--trust-pickle"):
        build(write_pickle(tmp_path / "model.pkl", LOGISTIC()), sample=None, target=None, trust_pickle=False)


def test_a_sample_is_needed(tmp_path):
    """Nothing else says which features it takes."""
    with pytest.raises(Rejected, match=r"model\.pkl: a River model does not say which features it takes: give a sample"):
        build(write_pickle(tmp_path / "model.pkl", LOGISTIC()), sample=None, target=None, trust_pickle=True)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (cluster.KMeans(), "KMeans is no River classifier, regressor, forecaster or anomaly detector"),
        (preprocessing.StandardScaler(), "StandardScaler is no River classifier"),
        (anomaly.GaussianScorer(), "GaussianScorer needs the label to score a row"),
        (multioutput.ClassifierChain(linear_model.LogisticRegression()), "ClassifierChain predicts several values per row"),
    ],
)
def test_what_cannot_be_served(register, model, said):
    """The kind of model is named."""
    with pytest.raises(Rejected, match=said):
        register(model)


def test_a_lambda_cannot_be_kept(tmp_path):
    """It is found where a factory returns it: a file of your own is to name its functions."""
    write_sample(tmp_path / "sample.csv", phishing())
    (tmp_path / "model.py").write_text(
        "from river import compose, linear_model\n"
        "def build():\n"
        "    return compose.FuncTransformer(lambda x: x) | linear_model.LogisticRegression()\n"
    )
    with pytest.raises(Rejected, match=r"model\.py:build: the Pipeline cannot be pickled: .*Use named functions and classes"):
        build(tmp_path / "model.py:build", sample=tmp_path / "sample.csv", target="target", trust_pickle=False)


def test_what_cannot_be_pickled_once_it_has_learnt(register):
    """It is learnt on trial; where it is not to learn, it may be served."""
    with pytest.raises(Rejected, match="the Pickled cannot be pickled"):
        register(Pickled())
    assert register(Pickled(), learning="off").card.river.settings is None


def test_what_cannot_learn_the_first_row(register):
    """The row is the sample's first that has a label; later ones it may leave out, as the learner will."""
    with pytest.raises(Rejected, match="cannot learn the sample's first labelled row: ValueError: cannot take that"):
        register(Raising(), [({"x": 1.0}, False), ({"x": 2.0}, True)])
    assert register(Raising(), [({"x": 0.0}, None or ""), ({"x": 1.0}, True), ({"x": 2.0}, False)]).card.format == "river"


def test_what_answers_otherwise_when_it_is_loaded(register):
    """The stored form is compared with the original on the whole sample."""
    with pytest.raises(Rejected, match="saved and loaded again it answers otherwise"):
        register(Forgetful())


def test_randomness_is_noted(register):
    """A replay cannot be exact, which the card says; models with seeds have no such note."""
    assert RANDOM in register(Moody()).card.notes
    assert RANDOM not in register(CASES["forest"].make()).card.notes


def test_what_no_pickle_keeps_is_noted(register):
    """A learner that goes on from its snapshot would not be the one that a replay makes."""
    assert RANDOM in register(Remembering()).card.notes


def test_a_model_that_runs_away_is_noted(register):
    """It may be served: control answers for what is not finite."""
    rows = [({"x": 1.0}, 100.0)] * 60
    notes = register(Squaring(), rows).card.notes
    assert "having learnt 60 rows of the sample: the model answered a number that is not finite" in notes
    assert len(register(Squaring(), rows[:2]).card.notes) == 1


def test_a_missing_target_is_noted(register):
    """What is learnt is not known then; its column is taken for a feature."""
    card = register(LOGISTIC(), target=None).card
    assert NO_TARGET in card.notes
    assert (card.river.label, card.signature.names[-1]) == (None, "target")


@pytest.mark.parametrize(
    ("name", "rows", "target", "field"),
    [
        ("logistic", [({}, True)], "target", "sample"),
        ("logistic", None, "nope", "target"),
        ("linear", [({"x": 1.0}, "red")], "target", "target"),
        ("holt winters", [({"horizon": 1.5}, 1.0)], "target", "horizon"),
        ("holt winters", [({"horizon": 0}, 1.0)], "target", "horizon"),
    ],
)
def test_a_sample_that_will_not_do(register, name, rows, target, field):
    """No features, no such target, text where numbers are learnt, no steps ahead."""
    with pytest.raises(Invalid) as raised:
        register(CASES[name].make(), rows, target)
    assert raised.value.field == field


def test_horizon_is_a_feature_like_others_to_other_models(register):
    """Only a forecaster reads it in a way of its own."""
    model = compose.Select("horizon") | linear_model.LinearRegression()
    assert register(model, [({"horizon": 1.5}, y) for _, y in season()]).card.signature.features[0].kind == "float"


@pytest.mark.parametrize("learning", [LearnerSettings(), "off"])
def test_only_a_river_model_learns(tmp_path, learning):
    """Asking it of another is an error, whatever is asked."""
    with pytest.raises(Invalid, match=r"only a River model learns while it serves, and model\.pkl holds none") as raised:
        build(write_pickle(tmp_path / "model.pkl", fitted("ridge")), sample=None, target=None, trust_pickle=True, learning=learning)
    assert raised.value.field == "learn"


def test_a_class_of_a_script_is_not_found(tmp_path):
    """A pickle holds its name only; the reason says what to do."""
    content = write_pickle(tmp_path / "model.pkl", Raising()).read_bytes().replace(b"Raising", b"Missing")
    (tmp_path / "model.pkl").write_bytes(content)
    with pytest.raises(Rejected, match=r"register a function of its file as FILE\.py:FUNCTION"):
        build(tmp_path / "model.pkl", sample=None, target=None, trust_pickle=True)
