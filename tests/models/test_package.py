"""Registering a model from its file, and loading it again."""

from __future__ import annotations

import hashlib
import warnings

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputClassifier, RegressorChain
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVR

from core.errors import Invalid, ModelFailed, NotFound, Rejected
from models import compile as compiling
from models.building import NO_SAMPLE, build
from models.package import load
from tests.models.model_zoo import data, fitted
from tests.models.workshop import reload


def log_of_sizes(values):
    """A step that only a pickle can hold, and no converter knows."""
    return np.log1p(np.abs(values))


def test_the_card_tells_all(workshop):
    """Signature, report, profile, digests, versions and source of a model registered with a sample."""
    package = workshop.build(fitted("logistic-named"), sample="cancer-named")
    card = package.card
    assert card.signature.names == tuple(data("cancer-named").features)
    assert (card.task, card.signature.classes, card.signature.target) == ("classification", (0, 1), "outcome")
    assert (card.format, card.runtime, card.layout, card.tolerance) == ("linear", "linear", None, 1e-9)
    assert card.compiled.max_difference < 1e-12
    assert {role: hashlib.sha256(content).hexdigest() for role, content in package.blobs.items()} == card.blobs
    assert card.source == "model.skops"
    assert card.source_digest == hashlib.sha256((workshop.folder / "model.skops").read_bytes()).hexdigest()
    assert card.profile.rows == 569
    assert card.profile.features["mean radius"].mean == pytest.approx(14.127, abs=1e-3)
    assert sum(card.profile.outputs["label"].top.values()) == 569
    assert card.profile.target.top == {"1": 357, "0": 212}
    assert (len(package.tried.outputs), sum(package.tried.truths)) == (569, 357)
    assert {"python", "scikit-learn", "scipy", "joblib", "onnxruntime", "skl2onnx", "numpy", "skops"} == set(card.versions)
    assert (card.parameters["logisticregression__C"], card.parameters["logisticregression__max_iter"]) == (1.0, 500)
    assert 0 < card.seconds_per_row < 0.01
    assert len(msgspec.json.encode(card)) < 50_000


def test_a_pickle_is_kept_compiled(workshop):
    """A trusted pickle that compiles is never loaded again."""
    package = workshop.build(fitted("ridge"), ".pkl", sample="diabetes", trust=True)
    assert (package.card.format, set(package.blobs)) == ("linear", {"artefact", "golden"})


def test_a_pickle_that_does_not_compile_is_kept_as_skops(workshop):
    """Where skops can hold it, so that it is audited at each load."""
    package = workshop.build(fitted("neighbours"), ".pkl", sample="iris", trust=True)
    assert (package.card.format, package.card.layout) == ("skops", "matrix")
    assert reload(package).predict([[5.1, 3.5, 1.4, 0.2]])[0].label == "setosa"


def test_what_nothing_else_can_hold_stays_a_pickle(workshop):
    """With its digest, by which the load knows that it is the one that was trusted."""
    given = data("diabetes")
    model = make_pipeline(FunctionTransformer(log_of_sizes), LinearRegression()).fit(given.given, given.target)
    package = workshop.build(model, ".pkl", sample="diabetes", trust=True)
    assert (package.card.format, package.card.compiled.form) == ("pickle", "native")
    assert reload(package).predict([given.given[0].tolist()])[0].value == pytest.approx(model.predict(given.given[:1])[0], abs=1e-9)
    with pytest.raises(Rejected, match="has changed since it was registered"):
        reload(package, artefact=package.blobs["artefact"] + b" ")


def test_a_pickle_needs_trust(workshop):
    """The refusal comes before anything else."""
    with pytest.raises(Rejected, match="--trust-pickle"):
        workshop.build(fitted("ridge"), ".pkl", sample="diabetes")


def test_without_a_sample_the_native_model_serves(workshop):
    """Nothing could be compared, so nothing is compiled; the card says so. Names come from the model."""
    package = workshop.build(fitted("logistic-named"))
    card = package.card
    assert (card.format, card.compiled.form, card.compiled.rows, card.profile) == ("skops", "native", 0, None)
    assert card.notes == (NO_SAMPLE,)
    assert card.signature.names == tuple(data("cancer-named").features)
    assert set(package.blobs) == {"artefact"}
    row = data("cancer-named").features.iloc[0].tolist()
    assert reload(package).predict([row])[0].label == 0


def test_without_a_sample_and_names_features_are_numbered(workshop):
    """x0, x1, …"""
    assert workshop.build(fitted("ridge")).card.signature.names == tuple(f"x{index}" for index in range(10))


def test_text_columns_need_a_sample(workshop):
    """A model whose columns' types cannot be known is refused with that advice."""
    with pytest.raises(Rejected, match="takes text, and which columns hold it is not known; give a sample"):
        workshop.build(fitted("columns-missing"))
    with pytest.raises(Rejected, match="does not say how many columns it takes; give a sample"):
        workshop.build(fitted("texts"))


def test_a_sample_the_model_cannot_read_is_refused(workshop):
    """Text where the model takes numbers."""
    path = workshop.folder / "bad.csv"
    pd.DataFrame({f"x{index}": ["low", "high"] for index in range(10)}).to_csv(path, index=False)
    with pytest.raises(Rejected, match=r"model\.skops: the model failed: .*, tried on its own sample"):
        workshop.build(fitted("ridge"), sample=path, target=None)


def test_columns_left_out_are_noted(workshop):
    """A sample may hold more than the model takes."""
    path = workshop.folder / "wide.csv"
    data("cancer-named").features.assign(id=range(569), when="2026").to_csv(path, index=False)
    card = workshop.build(fitted("logistic-named"), sample=path, target=None).card
    assert card.notes == ("columns of the sample that the model does not take: id, when",)
    with pytest.raises(Invalid, match="target: the sample has no column 'outcome'"):
        workshop.build(fitted("logistic-named"), sample=path)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LogisticRegression(), "the LogisticRegression is not fitted"),
        (KMeans(2, n_init=1).fit(np.eye(3)), "holds a KMeans; expected a fitted scikit-learn classifier or regressor"),
        ({"model": 1}, "holds a dict; expected"),
        (MultiOutputClassifier(LogisticRegression()).fit(np.eye(4), np.eye(4)[:, :2].astype(int)), "predicts several labels per row"),
        (LinearRegression().fit(np.eye(4), np.eye(4)[:, :2]), "the LinearRegression answers 2 outputs per row"),
        (RegressorChain(LinearRegression()).fit(np.eye(4), np.eye(4)[:, :2]), "answered 2 numbers where 1 were expected"),
    ],
)
def test_what_is_no_model_is_refused(workshop, model, message):
    """Unfitted, unsupervised, no estimator, several answers per row."""
    with pytest.raises(Rejected, match=rf"model\.skops: .*{message}"):
        workshop.build(model)


def test_a_compiled_model_that_differs_is_not_served(workshop, monkeypatch):
    """Where no graph agrees with the original, the original serves, and the report says by how much each missed."""
    right = compiling._convert
    other = LogisticRegression(C=1e-6).fit(data("iris").given, data("iris").target)
    monkeypatch.setattr(compiling, "_convert", lambda model, *more: right(other, *more))
    card = workshop.build(fitted("lda"), sample="iris").card
    assert (card.format, card.compiled.form) == ("skops", "native")
    assert card.compiled.reason.count("golden row 0 differs by") == 2


def test_labels_must_agree_on_every_row(workshop, monkeypatch):
    """One row of 150 that changes its label, or a number beyond the tolerance, is enough."""
    apart = iter([np.inf, 1.1e-4, 1.0])
    monkeypatch.setattr(compiling, "largest", lambda expected, answered: next(apart))
    card = workshop.build(fitted("lda"), sample="iris").card
    assert card.compiled.form == "native"
    assert "in float32: differs from the original by 0.00011" in card.compiled.reason


def test_float32_is_near_in_the_models_own_units(workshop):
    """A target in the hundred thousands is not served from float32, where 1e-4 cannot be kept."""
    given = data("diabetes")
    big = make_pipeline(StandardScaler(), SVR(C=1e5)).fit(given.given, given.target * 1000)
    card = workshop.build(big, sample="diabetes").card
    assert card.compiled.form == "native"
    assert "in float32: differs from the original by" in card.compiled.reason


def test_a_changed_artefact_fails(workshop):
    """By its digest; and where the digest is made to fit, by its golden rows."""
    package = workshop.build(fitted("ridge"), sample="diabetes")
    given = data("diabetes")
    other = workshop.build(LinearRegression().fit(given.given, given.target), sample="diabetes")
    with pytest.raises(Rejected, match=r"the artefact .* has changed since it was registered"):
        reload(package, artefact=other.blobs["artefact"])
    forged = msgspec.structs.replace(package.card, blobs=package.card.blobs | {"artefact": other.card.blobs["artefact"]})
    blobs = {forged.blobs["artefact"]: other.blobs["artefact"], forged.blobs["golden"]: package.blobs["golden"]}
    with pytest.raises(ModelFailed, match="golden row 0 differs by"):
        load(forged, blobs.__getitem__)


def test_blobs_that_cannot_be_read_are_named(workshop):
    """A missing blob is a rejection and not a crash."""
    package = workshop.build(fitted("ridge"), sample="diabetes")

    def absent(digest):
        raise NotFound("no such blob")

    for read in (absent, {}.__getitem__):
        with pytest.raises(Rejected, match=r"the artefact [0-9a-f]{12} cannot be read"):
            load(package.card, read)
    with pytest.raises(Rejected, match="the card names no blob for its artefact"):
        load(msgspec.structs.replace(package.card, blobs={}), {}.__getitem__)


def test_a_value_that_was_never_missing_may_not_be(register):
    """A forest would answer something for a NaN it never saw: it is a failure instead, and named; others may be missing."""
    loaded = reload(register("histogram-missing"))
    row = data("cancer-missing").features.iloc[1].tolist()
    assert loaded.predict([[None, *row[1:3], None, *row[4:]]])[0].label in (0, 1)
    with pytest.raises(ModelFailed, match="feature 'mean texture' is missing, and the model never saw it missing"):
        loaded.predict([row, [row[0], None, *row[2:]]])


def test_a_native_model_fitted_on_a_frame_does_without_it(workshop):
    """Where a matrix gives the same answers, it is handed one, which is quicker, and warns of no missing names."""
    given = data("diabetes")
    package = workshop.build(
        TransformedTargetRegressor(Ridge(), transformer=StandardScaler()).fit(given.features, given.target), sample="diabetes"
    )
    assert (package.card.compiled.form, package.card.layout) == ("native", "matrix")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reload(package).predict([given.features.iloc[0].tolist()])


def test_columns_by_name_are_handed_over_by_name(register):
    """A column transformer gets a data frame."""
    assert register("columns-missing").card.layout == "frame"


@pytest.mark.parametrize("suffix", [".skops", ".pkl"])
def test_another_release_of_scikit_learn_is_noted(workshop, monkeypatch, suffix):
    """Parity cannot find what has changed between releases, because the original is asked in this one: so the card says it."""
    monkeypatch.setattr("sklearn.base.__version__", "1.5.2")
    path = workshop.save(fitted("ridge"), suffix)
    monkeypatch.undo()
    card = build(path, sample=workshop.sample("diabetes"), target="outcome", trust_pickle=True).card
    assert card.notes == (f"Ridge was fitted with scikit-learn 1.5.2, which is now {card.versions['scikit-learn']}",)


@pytest.mark.parametrize(("labels", "kind"), [([False, True], bool), ([0.0, 1.0], float), ([3, 5], int), (["a", "b"], str)])
@pytest.mark.parametrize("make", [LogisticRegression, lambda: RandomForestClassifier(5, random_state=0), KNeighborsClassifier])
def test_classes_of_every_type_come_back(workshop, labels, kind, make):
    """Booleans, floats, integers and text are answered as what they are, compiled or not."""
    X = np.array([[float(index % 7), float(index % 5)] for index in range(60)])
    y = np.array(labels)[(X[:, 0] > 3).astype(int)]
    path = workshop.folder / "sample.csv"
    pd.DataFrame(X, columns=["a", "b"]).to_csv(path, index=False)
    loaded = reload(workshop.build(make().fit(X, y), sample=path, target=None))
    outputs = loaded.predict([[6.0, 1.0], [0.0, 2.0]])
    assert [output.label for output in outputs] == [labels[1], labels[0]]
    assert {type(output.label) for output in outputs} == {kind}
