"""The treelite runtime: what lies around the trees, and what it refuses to load."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from math import exp, log

import msgspec
import numpy as np
import pytest
from treelite.model_builder import Metadata, ModelBuilder, PostProcessorFunc, TreeAnnotation

from core.errors import ModelFailed, Rejected
from models.histogram import histogram_form
from models.links import logistic, softmax
from models.signature import Feature, Signature
from models.treelite_runtime import VALUES, Column, Ensemble, TreeliteRuntime
from tests.models.model_zoo import CASES, answers, fitted, rows
from tests.models.zoo_data import data

LEAVES = (-2.0, 1.5, 3.0)


def trees(scores=1, targets=1):
    """One tree per score, which answers one of three leaves: x0 missing or ≤ 0, x0 > 0 and x1 ≤ 10, x1 > 10; times the score's number."""
    each = [(target, score) for target in range(targets) for score in range(scores)]
    builder = ModelBuilder(
        threshold_type="float64",
        leaf_output_type="float64",
        metadata=Metadata(2, "kMultiClf" if scores > 1 else "kRegressor", False, targets, [scores] * targets, (1, 1)),
        tree_annotation=TreeAnnotation(len(each), [target for target, _ in each], [score for _, score in each]),
        postprocessor=PostProcessorFunc("identity"),
        base_scores=[0.0] * len(each),
    )
    for place in range(len(each)):
        builder.start_tree()
        _split(builder, 0, 0, 0.0, (1, 2), missing_left=True)
        _split(builder, 2, 1, 10.0, (3, 4), missing_left=False)
        for node, leaf in zip((1, 3, 4), LEAVES, strict=True):
            builder.start_node(node)
            builder.leaf(leaf * (place + 1))
            builder.end_node()
        builder.end_tree()
    return builder.commit().serialize_bytes()


def _split(builder, node, feature, threshold, children, missing_left):
    builder.start_node(node)
    left, right = children
    builder.numerical_test(feature, threshold, default_left=missing_left, opname="<=", left_child_key=left, right_child_key=right)
    builder.end_node()


def signature(classes=None):
    return Signature(
        (Feature("x0", "float", True), Feature("x1", "float", True)), "regression" if classes is None else "classification", classes
    )


def runtime(link="identity", classes=None, **more):
    scores = len(classes) if classes is not None and link != "logistic" else 1
    return TreeliteRuntime(msgspec.msgpack.encode(Ensemble(trees(scores, more.pop("targets", 1)), link, **more)), signature(classes))


@pytest.mark.parametrize(
    ("link", "value"),
    [
        ("identity", lambda score: score),
        ("exponential", exp),
        ("log1p-exponential", lambda score: log(1 + exp(score))),
        ("signed-square", lambda score: abs(score) * score),
        ("logistic", lambda score: 1 / (1 + exp(-score))),
    ],
)
def test_values_of_a_regression(link, value):
    """Each link of a score; a missing value goes where the trees say."""
    outputs = runtime(link).predict([[None, 5.0], [1.0, 10.0], [1.0, None]])
    assert [output.value for output in outputs] == pytest.approx([value(leaf) for leaf in LEAVES])


def test_every_link_of_a_value_is_tested():
    """None is left out above."""
    assert set(VALUES) == {"identity", "exponential", "log1p-exponential", "signed-square", "logistic"}


def test_probabilities_of_two_classes():
    """From one score times its scale; the more probable one is the label, the first of equals."""
    low, high = runtime("logistic", ("no", "yes"), scale=0.5).predict([[0.0, 0.0], [1.0, 0.0]])
    assert (low.label, high.label) == ("no", "yes")
    assert high.probabilities == pytest.approx({"no": 1 - 1 / (1 + exp(-0.75)), "yes": 1 / (1 + exp(-0.75))})
    assert runtime("logistic", ("no", "yes"), scale=0.0).predict([[1.0, 0.0]])[0].label == "no"


def test_probabilities_of_several_classes():
    """In float64: treelite's own are about 1e-8 apart."""
    [output] = runtime("softmax", (7, 8, 9)).predict([[1.0, 0.0]])
    powers = np.exp([1.5, 3.0, 4.5])
    assert output.label == 9
    assert list(output.probabilities.values()) == pytest.approx(list(powers / powers.sum()), abs=1e-15)


def test_the_largest_score_without_probabilities():
    """Where scores are no probabilities only the label is answered."""
    [output] = runtime("largest", ("a", "b")).predict([[0.0, 0.0]])
    assert (output.label, output.probabilities) == ("a", msgspec.UNSET)


def test_one_target_of_several():
    """The others are not answered."""
    assert [runtime(targets=2, target=target).predict([[1.0, 0.0]])[0].value for target in (0, 1)] == [1.5, 3.0]


def test_categories_stand_for_their_codes():
    """Text and numbers alike, in columns of any order; an unknown one is missing, and so is null."""
    columns = (Column(1, (False, True)), Column(0, ("low", "high")))
    model = TreeliteRuntime(msgspec.msgpack.encode(Ensemble(trees(), "identity", columns=columns)), signature())
    assert [output.value for output in model.predict([["low", False], ["low", True], ["other", True], ["low", None]])] == [
        -2.0,
        1.5,
        3.0,
        -2.0,
    ]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.form == "treelite"])
def test_unknown_and_missing_categories_go_where_scikit_learn_sends_them(name):
    """In each column of the sample in turn, also numbers far out; the runtime never saw these rows."""
    given, model = data(CASES[name].data), fitted(name)
    served = TreeliteRuntime(histogram_form(model), _signature_of(name))
    for place, column in enumerate(given.features):
        for value in (None, "unheard of") if given.features[column].dtype == "category" else (None, -1e6, 1e6, 250.0):
            changed = [[*row[:place], value, *row[place + 1 :]] for row in rows(name)[:30]]
            asked = given.features.head(30).copy()
            asked[column] = [value] * 30 if value is None or isinstance(value, str) else float(value)
            if "label" in repr(served.predict(changed)[0]) and hasattr(model, "predict_proba"):
                expected = model.predict_proba(asked if given.named else asked.astype(float).to_numpy())
                answered = [list(output.probabilities.values()) for output in served.predict(changed)]
            else:
                expected = model.predict(asked)
                answered = [output.value for output in served.predict(changed)]
            np.testing.assert_allclose(answered, expected, rtol=1e-12, atol=1e-12)


def _signature_of(name):
    classes = getattr(fitted(name), "classes_", None)
    features = tuple(Feature(str(column), "float", True) for column in data(CASES[name].data).features)
    return Signature(features, "regression" if classes is None else "classification", None if classes is None else tuple(classes.tolist()))


def test_threads_do_not_disturb_each_other():
    """One model answers several threads at once."""
    served = TreeliteRuntime(histogram_form(fitted("histogram-codes")), _signature_of("histogram-codes"))
    asked = rows("histogram-codes")
    alone = [served.predict([row]) for row in asked[:200]]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda row: served.predict([row]), asked[:200])) == alone
    assert [one[0].label for one in alone] == answers("histogram-codes").answers[:200]


@pytest.mark.parametrize(
    ("made", "classes", "message"),
    [
        (lambda: b"", None, "treelite cannot load the trees"),
        (lambda: b"\xc1garbage", None, "treelite cannot load the trees"),
        (lambda: msgspec.msgpack.encode(Ensemble(b"no trees at all", "identity")), None, "treelite cannot load the trees"),
        (lambda: msgspec.msgpack.encode({"trees": b"", "link": "cubic"}), None, "Invalid enum value 'cubic'"),
        (lambda: msgspec.msgpack.encode(Ensemble(trees(), "identity", target=1)), None, "the trees have no target 1"),
        (lambda: msgspec.msgpack.encode(Ensemble(trees(), "identity", columns=(Column(0),))), None, "the trees take 2 columns, not 1"),
        (lambda: msgspec.msgpack.encode(Ensemble(trees(), "identity", columns=(Column(0), Column(2)))), None, "no feature 2"),
        (lambda: msgspec.msgpack.encode(Ensemble(trees(3), "softmax")), ("a", "b"), "3 scores cannot answer 2 classes"),
        (lambda: msgspec.msgpack.encode(Ensemble(trees(), "logistic")), ("a", "b", "c"), "1 scores cannot answer 3 classes"),
        (lambda: msgspec.msgpack.encode(Ensemble(trees(2), "identity")), None, "2 scores cannot answer a value"),
        (lambda: msgspec.msgpack.encode(Ensemble(trees(), "softmax")), None, "the link softmax answers no value"),
        (lambda: msgspec.msgpack.encode(Ensemble(trees(2), "identity")), ("a", "b"), "the link identity answers no label"),
    ],
)
def test_what_does_not_fit_the_signature_is_refused(made, classes, message):
    """Before it could read beyond a row, or answer with too few scores."""
    with pytest.raises(Rejected, match=message):
        TreeliteRuntime(made(), signature(classes))


@pytest.mark.parametrize("row", [[1.0], [1.0, 2.0, 3.0], ["text", 1.0]])
def test_what_it_cannot_take_is_its_failure(row):
    """The wrong number of values, or text."""
    with pytest.raises(ModelFailed, match="the model failed"):
        runtime().predict([row])


def test_a_value_beyond_all_numbers_is_its_failure():
    """Never an infinite answer."""
    with pytest.raises(ModelFailed, match="math range error"):
        runtime("exponential", scale=1e6).predict([[1.0, 0.0]])


def test_trees_of_another_kind_are_not_taken():
    """Gradient boosting of scikit-learn that is no histogram has a graph."""
    with pytest.raises(NotImplementedError, match="RandomForestClassifier is not among the models that treelite serves"):
        histogram_form(fitted("forest"))


def test_links_do_not_overflow():
    """Wherever the scores lie."""
    assert logistic(1000.0) == [0.0, 1.0]
    assert logistic(-1000.0) == [1.0, 0.0]
    assert softmax([1000.0, 0.0, -1000.0]) == [1.0, 0.0, 0.0]
