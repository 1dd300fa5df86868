"""River models of every kind, registered from a pickle and served."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest

from core.errors import ModelFailed, Rejected
from core.values import Output
from models.artefact import digest
from models.building import build
from models.golden import Golden
from models.learner.river_model import FARTHEST, RiverModel
from models.learner.settings import LearnerSettings
from models.package import Package, river_of
from models.river_building import LEARNS, STATIC
from models.river_runtime import RiverRuntime
from models.signature import Feature, Signature
from tests.models.river_zoo import CASES, Case, learn, phishing, write_pickle, write_sample
from tests.models.workshop import reload

ROOT = Path(__file__).parents[2]


def register(folder: Path, case: Case, model: object, **how: object) -> Package:
    """The model as a user registers it."""
    target = write_sample(folder / "sample.csv", case.rows())
    path = write_pickle(folder / "model.pkl", model)
    return build(path, sample=folder / "sample.csv", target=target, trust_pickle=True, **how)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_it_answers_as_river_does(name, trained, tmp_path):
    """Every row of the sample, from the stored form, as the model itself: trained or not, missing values left out, nulls as they are."""
    case = CASES[name]
    model = learn(case, case.make()) if trained else case.make()
    package = register(tmp_path, case, model)
    rows = [x for x, _ in case.rows()]
    present = [{name: value for name, value in x.items() if value is not None} for x in rows]
    loaded = reload(package)
    assert loaded.predict([list(x.values()) for x in rows]) == [RiverModel(model).answer(x) for x in present]


@pytest.mark.parametrize("name", CASES)
def test_the_card_says_what_it_is(name, tmp_path):
    """Task, kind, the kind of the labels, format, River's version; classes are open, since new labels may come."""
    case = CASES[name]
    card = register(tmp_path, case, case.make()).card
    assert (card.format, card.runtime, card.task, card.compiled, card.layout) == ("river", "river", case.task, None, None)
    assert (card.river.kind, card.river.label, card.river.code, card.river.learnt) == (case.kind, case.label, None, None)
    assert card.river.settings == LearnerSettings()
    assert card.signature.classes is None
    assert card.signature.names == tuple(case.rows()[0][0])
    assert card.versions["river"] == version("river")
    assert msgspec.json.decode(msgspec.json.encode(card), type=type(card)) == card


def test_what_has_learnt_nothing_answers_null(tmp_path):
    """As golden rows that are checked, and as missing in the profile."""
    package = register(tmp_path, CASES["bayes"], CASES["bayes"].make())
    golden = msgspec.json.decode(package.blobs["golden"], type=Golden)
    assert golden.outputs[0] == Output(label=None, probabilities={})
    assert (package.card.profile.outputs["label"].count, package.card.profile.outputs["label"].missing) == (60, 60)
    values = register(tmp_path, CASES["holt winters"], CASES["holt winters"].make()).card.profile.outputs["value"]
    assert (values.count, values.missing) == (60, 60)


def test_golden_rows_tell_another_state(tmp_path):
    """A pickle that has learnt more answers otherwise and is not served."""
    package = register(tmp_path, CASES["bayes"], CASES["bayes"].make())
    other = learn(CASES["bayes"], CASES["bayes"].make())
    changed = register(tmp_path, CASES["bayes"], other).blobs["artefact"]
    blobs = {package.card.blobs["artefact"]: changed, package.card.blobs["golden"]: package.blobs["golden"]}
    with pytest.raises(Rejected, match="has changed"):
        river_of(package.card, blobs.__getitem__)
    exchanged = msgspec.structs.replace(package.card, blobs=package.card.blobs | {"artefact": digest(changed)})
    with pytest.raises(ModelFailed, match="golden row 0"):
        reload(Package(exchanged, package.blobs | {"artefact": changed}))


def test_each_copy_of_the_registered_model_is_its_own(tmp_path):
    """What one learns the next does not know."""
    package = register(tmp_path, CASES["logistic"], CASES["logistic"].make())
    read = {package.card.blobs[role]: content for role, content in package.blobs.items()}.__getitem__
    first = river_of(package.card, read)
    learn(CASES["logistic"], first)
    x = phishing()[0][0]
    assert first.predict_proba_one(x) != river_of(package.card, read).predict_proba_one(x) == {False: 0.5, True: 0.5}


@pytest.mark.parametrize("source", ["own", "arms", "all"])
def test_the_card_says_what_it_learns_from(source, tmp_path):
    """In words: the feedback loop is to be seen where the version is looked at."""
    card = register(tmp_path, CASES["logistic"], CASES["logistic"].make(), learning=LearnerSettings(learns_from=source)).card
    assert card.notes == (LEARNS[source],)
    assert f"({source})" in LEARNS[source]


def test_a_model_may_be_kept_from_learning(tmp_path):
    """It is served as it is, has no settings and says so."""
    card = register(tmp_path, CASES["logistic"], CASES["logistic"].make(), learning="off").card
    assert (card.river.settings, card.notes) == (None, (STATIC,))


def test_another_river_is_named_where_it_cannot_be_loaded(tmp_path, monkeypatch):
    """Which one made it and which one is here; a version that loads is served, whatever made it."""
    package = register(tmp_path, CASES["logistic"], CASES["logistic"].make())
    older = msgspec.structs.replace(package.card, versions=package.card.versions | {"river": "0.1.0"})
    assert reload(Package(older, package.blobs)).predict([list(phishing()[0][0].values())])[0].label is False
    monkeypatch.delattr("river.linear_model.log_reg.LogisticRegression")
    with pytest.raises(Rejected, match=rf"made with River 0\.1\.0; here is River {version('river')}"):
        reload(Package(older, package.blobs))
    with pytest.raises(Rejected, match="cannot be loaded: AttributeError") as raised:
        reload(package)
    assert "made with" not in raised.value.message


def raising(error):
    """Raises it, whatever it is given."""

    def fail(*given):
        raise error

    return fail


class TestAnswers:
    """How they are served; what cannot be is a failure of the model, which control then answers for."""

    @pytest.fixture
    def answering(self, monkeypatch):
        from river import dummy

        def runtime(label=None, shares=None):
            model = dummy.PriorClassifier()
            monkeypatch.setattr(dummy.PriorClassifier, "predict_one", lambda self, x: label, raising=False)
            monkeypatch.setattr(dummy.PriorClassifier, "predict_proba_one", lambda self, x: shares)
            return RiverRuntime(model, Signature((Feature("x", "float"),), "classification"))

        return runtime

    @pytest.mark.parametrize("share", [float("nan"), float("inf")])
    def test_a_probability_that_is_not_finite(self, answering, share):
        """Of any class."""
        with pytest.raises(ModelFailed, match="not finite"):
            answering("a", {"a": 0.5, "b": share}).predict([[1.0]])

    def test_a_label_that_cannot_be_sent(self, answering):
        """A tuple is none."""
        with pytest.raises(ModelFailed, match="a tuple"):
            answering((1, 2), {}).predict([[1.0]])

    def test_labels_and_shares_of_numpy_are_plain_ones(self, answering):
        """So that they can be written to the journal."""
        import numpy as np

        [answered] = answering(np.int64(3), {3: np.float64(0.25)}).predict([[1.0]])
        assert (type(answered.label), answered.label) == (int, 3)
        assert msgspec.json.encode(answered) == b'{"label":3,"probabilities":{"3":0.25}}'

    @pytest.mark.parametrize(
        ("met", "shown"),
        [([True, False], ["False", "True"]), ([10, 2], ["2", "10"]), (["b", "a"], ["a", "b"]), (["b", 1], ["1", "b"])],
    )
    def test_classes_are_in_their_own_order(self, answering, met, shown):
        """Not in that in which they were met: as scikit-learn has them, so that scores of two models can be compared."""
        [answered] = answering(met[0], dict.fromkeys(met, 0.5)).predict([[1.0]])
        assert list(answered.probabilities) == shown

    def test_whatever_it_raises(self, answering):
        """With what it said."""
        with pytest.raises(ModelFailed, match="TypeError: 'float'"):
            answering("a", shares=3.5).predict([[1.0]])

    @pytest.mark.parametrize("error", [SystemExit(3), BaseException("panic"), MemoryError("much")])
    def test_what_is_no_exception_too(self, answering, monkeypatch, error):
        """A worker goes on, and control answers."""
        runtime = answering("a", {})
        monkeypatch.setattr(runtime._model, "_ask", raising(error))
        with pytest.raises(ModelFailed, match=f"the model failed: {type(error).__name__}: "):
            runtime.predict([[1.0]])

    def test_an_interrupt_passes_through(self, answering, monkeypatch):
        """It is none of the model's doing."""
        runtime = answering("a", {})
        monkeypatch.setattr(runtime._model, "_ask", raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            runtime.predict([[1.0]])

    def test_a_value_that_is_not_finite(self):
        """A regression that has run away."""
        from river import linear_model

        model = linear_model.LinearRegression(initializer=None)
        model.intercept = float("inf")
        with pytest.raises(ModelFailed, match="not finite"):
            RiverRuntime(model, Signature((Feature("x", "float"),), "regression")).predict([[1.0]])

    def test_a_forecast_too_far_ahead(self):
        """It would keep the process busy for as long as the client likes: nothing is said of it."""
        model = learn(CASES["holt winters"], CASES["holt winters"].make())
        runtime = RiverRuntime(model, Signature((Feature("horizon", "int"),), "forecast"))
        assert isinstance(runtime.predict([[FARTHEST]])[0].value, float)
        assert runtime.predict([[FARTHEST + 1]])[0].value is None


def test_nobody_imports_river_without_need(tmp_path):
    """Neither the modules of a worker nor the serving of another model."""
    program = (
        "import sys, models.package, flows.register, server.cli.model.register, server.worker\n"
        "from tests.models.workshop import Workshop, reload\n"
        "assert 'river' not in sys.modules, 'imported by a module'\n"
        "from pathlib import Path\n"
        "from tests.models.model_zoo import fitted\n"
        f"package = Workshop(Path({str(tmp_path)!r})).build(fitted('ridge'), sample='diabetes')\n"
        "reload(package)\n"
        "assert 'river' not in sys.modules, 'imported by a model of another kind'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
