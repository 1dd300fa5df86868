"""Hostile files: each is refused with its reason, and nothing in it has been executed."""

from __future__ import annotations

import pickle

import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, GradientBoostingClassifier, RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from core.errors import Rejected
from models import artefact, structure
from models.building import build
from tests.models import bombs
from tests.models.model_zoo import fitted


@pytest.fixture(scope="module")
def canary(tmp_path_factory):
    """What a bomb would create."""
    return tmp_path_factory.mktemp("bombs") / "canary"


@pytest.fixture(scope="module")
def files(canary):
    return bombs.bombs(canary)


def test_each_bomb_is_refused_and_none_goes_off(files, canary, tmp_path):
    """Where it is registered from a file, in this very process."""
    for name, bomb in files.items():
        path = tmp_path / f"model.{bomb.format}"
        path.write_bytes(bomb.data)
        with pytest.raises(Rejected, match=bomb.reason):
            build(path, sample=None, target=None, trust_pickle=False)
        assert not canary.exists(), name
    assert not list(tmp_path.glob("*canary*"))
    assert len(files) > 30


def test_the_canary_lives(files, canary):
    """The bomb is one: who does unpickle it creates the file."""
    pickle.loads(files["a pickle"].data)
    assert canary.exists()
    canary.unlink()


@pytest.mark.parametrize(
    "name",
    [
        "forest-classes",
        "boosting",
        "boosting-classes",
        "bagging",
        "adaboost",
        "histogram-classes",
        "histogram-categories",
        "neighbours",
        "stacking",
    ],
)
def test_honest_models_pass_the_same_looks(name):
    """No fitted estimator of scikit-learn's own is taken for one that was tampered with."""
    structure.check(fitted(name))


@pytest.mark.parametrize(
    "model",
    [
        VotingClassifier([("a", RandomForestClassifier(3)), ("b", RandomForestClassifier(3))]),
        StackingClassifier([("a", make_pipeline(StandardScaler(), RandomForestClassifier(3)))]),
        BaggingClassifier(make_pipeline(StandardScaler(), RandomForestClassifier(3)), n_estimators=3, max_features=2),
        GradientBoostingClassifier(n_estimators=2, init=RandomForestClassifier(2)),
        GradientBoostingClassifier(n_estimators=2, init="zero"),
        RandomForestClassifier(3, max_leaf_nodes=5),
    ],
    ids=repr,
)
def test_ensembles_of_ensembles_pass(model):
    """Forests and pipelines are sequences too: they are not taken for their members."""
    structure.check(model.fit(*load_iris(return_X_y=True)))


def test_a_type_that_the_operator_trusts_passes(monkeypatch):
    """And only that one: another stays refused, and without trust it is refused as well."""
    data = bombs.skops_io.dumps(fitted("ridge"))
    monkeypatch.setattr(artefact, "ALLOWED", ())
    assert artefact.load_estimator(data, "skops").coef_.shape == (10,)
    strange = bombs.archive(
        {"schema.json": bombs.schema(__class__="Fraction", __module__="fractions", __loader__="ObjectNode", __id__=1, content=None)}
    )
    with pytest.raises(Rejected, match=r"not allowed: fractions\.Fraction"):
        artefact.load_estimator(strange, "skops", ["fractions.Decimal"])
    assert artefact.unlisted(strange) == ("fractions.Fraction",)
