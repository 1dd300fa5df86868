"""One output of a model of several is answered alone as it is among the others."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import ensemble, linear_model, multioutput, neighbors, neural_network, pipeline, preprocessing, tree
from sklearn.cross_decomposition import PLSRegression
from sklearn.model_selection import GridSearchCV

from core.errors import Invalid, ModelFailed, Rejected
from models.building import build
from models.outputs import check, only
from tests.models.workshop import reload
from tests.models.zoo_data import data

VALUES = [
    linear_model.LinearRegression(),
    linear_model.LinearRegression(fit_intercept=False),
    linear_model.Ridge(),
    linear_model.RidgeCV(),
    linear_model.Lasso(0.1),
    linear_model.ElasticNet(0.1),
    linear_model.MultiTaskLasso(0.1),
    linear_model.MultiTaskElasticNetCV(cv=2),
    PLSRegression(),
    tree.DecisionTreeRegressor(random_state=0),
    ensemble.RandomForestRegressor(5, random_state=0),
    ensemble.ExtraTreesRegressor(5, random_state=0),
    neighbors.KNeighborsRegressor(),
    neural_network.MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=20, random_state=0),
    multioutput.MultiOutputRegressor(tree.DecisionTreeRegressor(random_state=0)),
    pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.Ridge()),
    GridSearchCV(linear_model.Ridge(), {"alpha": [0.1, 1.0]}, cv=2),
]
LABELS = [
    tree.DecisionTreeClassifier(random_state=0),
    ensemble.RandomForestClassifier(5, random_state=0),
    ensemble.ExtraTreesClassifier(5, random_state=0),
    neighbors.KNeighborsClassifier(),
    multioutput.MultiOutputClassifier(tree.DecisionTreeClassifier(random_state=0)),
]


def called(model):
    return type(model).__name__


@pytest.fixture
def values():
    return data("two-targets")


@pytest.fixture
def labels():
    return data("two-labels")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("model", VALUES, ids=called)
def test_a_value_is_that_of_its_column(model, values):
    """Within 1e-9, and the model itself still answers all of them."""
    fitted = model.fit(values.given, values.target)
    before = fitted.predict(values.given)
    for output in (0, 1):
        alone = only(fitted, output).predict(values.given)
        assert alone.shape == (len(values.given),)
        np.testing.assert_allclose(alone, before[:, output], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(fitted.predict(values.given), before)


@pytest.mark.parametrize("model", LABELS, ids=called)
def test_a_label_is_that_of_its_column(model, labels):
    """With the classes and the probabilities of that output: one has two, the other three."""
    fitted = model.fit(labels.given, labels.target)
    for output in (0, 1):
        alone = only(fitted, output)
        assert alone.predict(labels.given).tolist() == fitted.predict(labels.given)[:, output].tolist()
        np.testing.assert_allclose(alone.predict_proba(labels.given), fitted.predict_proba(labels.given)[output], atol=1e-12)
        assert alone.classes_.tolist() == np.unique(labels.target[:, output]).tolist()


def test_an_output_that_is_not_there(values):
    """Invalid names the field and what was expected."""
    fitted = linear_model.Ridge().fit(values.given, values.target)
    for output in (-1, 2):
        with pytest.raises(Invalid, match=f"output: expected a number from 0 to 1, got {output}") as raised:
            only(fitted, output)
        assert raised.value.field == "output"
    with pytest.raises(Invalid, match="the Ridge has one output, so there is none to choose"):
        only(linear_model.Ridge().fit(values.given, values.target[:, 0]), 0)
    with pytest.raises(Invalid, match="the KNeighborsRegressor has one output"):
        only(neighbors.KNeighborsRegressor().fit(values.given, values.target[:, 0]), 0)


def test_what_cannot_be_cut_is_refused(values):
    """A chain's second output is made of its first."""
    with pytest.raises(Rejected, match="one output of a RegressorChain cannot be served by itself"):
        only(multioutput.RegressorChain(linear_model.Ridge()).fit(values.given, values.target), 1)


def test_a_cut_that_answers_otherwise_is_not_served():
    """Whatever a release of scikit-learn makes of what was cut."""
    whole = np.array([[1.0, 2.0], [3.0, 4.0]])
    check([2.0, 4.0 + 1e-12], whole, 1)
    with pytest.raises(ModelFailed, match="output 1 by itself is answered otherwise"):
        check([2.0, 4.1], whole, 1)
    with pytest.raises(ModelFailed, match="output 0 by itself"):
        check(["a", "b"], np.array([["a", "x"], ["c", "x"]]), 0)


def test_several_outputs_are_refused_until_one_is_chosen(workshop, values, labels):
    """Rejected says how many there are, or that there are several, and how to choose."""
    several = pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.Ridge()).fit(values.given, values.target)
    with pytest.raises(Rejected, match="the Ridge answers 2 outputs per row; choose one of them as output, counted from 0"):
        workshop.build(several)
    with pytest.raises(Rejected, match="predicts several labels per row; choose one of them as output"):
        workshop.build(tree.DecisionTreeClassifier().fit(labels.given, labels.target))


def doubled(values):
    """A function that skops does not know."""
    return values * 2


NATIVE = {
    "skops": lambda: neighbors.KNeighborsRegressor(metric="correlation", algorithm="brute"),
    "pickle": lambda: pipeline.make_pipeline(preprocessing.FunctionTransformer(doubled), linear_model.Ridge()),
}


@pytest.mark.parametrize("form", NATIVE)
def test_what_is_stored_is_the_chosen_output(form, workshop, values):
    """Also where skops cannot hold the model: the file itself would answer all of them."""
    fitted = NATIVE[form]().fit(values.given, values.target)
    path = workshop.save(fitted, ".pkl")
    package = build(path, sample=None, target=None, trust_pickle=True, output=1)
    assert package.card.format == form
    answered = reload(package).predict([values.given[0].tolist()])[0].value
    assert answered == pytest.approx(fitted.predict(values.given[:1])[0, 1], rel=1e-9)
    assert "answers output 1 of a model of several" in package.card.notes
