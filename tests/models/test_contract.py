"""One contract for all runtimes: each estimator of the zoo × each promise."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from skops import io as skops_io

from core.errors import ModelFailed
from models.artefact import ALLOWED
from models.card import Card
from models.estimator import layouts
from models.linear import LinearRuntime
from models.onnx_runtime import OnnxRuntime
from models.outputs import only
from models.package import load
from models.parity import largest
from models.sklearn_runtime import SklearnRuntime
from models.treelite_runtime import TreeliteRuntime
from tests.models.model_zoo import CASES, F32, F64, LINEAR, NATIVE, TREES, answers, fitted, rows
from tests.models.table import PATH, ROW, SERVED
from tests.models.zoo_data import data

COMPILED = {LINEAR: LinearRuntime, F64: OnnxRuntime, TREES: TreeliteRuntime, F32: OnnxRuntime}
DOCUMENTED = ROW.findall(PATH.read_text(encoding="utf-8"))
NAMES = {LINEAR: "linear", F64: "onnx", TREES: "treelite", F32: "onnx", NATIVE: "sklearn"}
RUNTIMES = [(name, runtime) for name, case in CASES.items() for runtime in dict.fromkeys(("sklearn", NAMES[case.form]))]


class Subject:
    """A runtime under test, the sample's rows, and what scikit-learn itself answers to them."""

    def __init__(self, name, runtime, register):
        case = CASES[name]
        package = register(name)
        self.card, blobs = package.card, package.blobs
        self.expected, self.rows = answers(name), rows(name)
        self.tolerance = 1e-4 if runtime == "onnx" and case.form == F32 else 1e-9
        if runtime == "sklearn":
            copy = skops_io.loads(skops_io.dumps(fitted(name)), trusted=list(ALLOWED))
            copy = copy if case.output is None else only(copy, case.output)
            self.runtime = SklearnRuntime(copy, self.card.signature, layouts(copy, self.card.signature)[0])
        else:
            self.runtime = COMPILED[case.form](blobs["artefact"], self.card.signature)


@pytest.fixture(params=RUNTIMES, ids=lambda pair: f"{pair[0]}-by-{pair[1]}")
def subject(request, register):
    return Subject(*request.param, register)


def test_online_answers_are_those_of_scikit_learn(subject):
    """predict and predict_proba agree with the original on every row: 1e-9 in float64 or native, 1e-4 in float32."""
    outputs = subject.runtime.predict(subject.rows)
    if subject.card.task == "regression":
        answered = [output.value for output in outputs]
        np.testing.assert_allclose(answered, subject.expected.answers, rtol=1e-12, atol=subject.tolerance)
        return
    assert [output.label for output in outputs] == subject.expected.answers
    if subject.expected.probabilities is not None:
        answered = [list(output.probabilities.values()) for output in outputs]
        np.testing.assert_allclose(answered, subject.expected.probabilities, rtol=0, atol=subject.tolerance)


def test_labels_are_of_the_classes_own_type(subject):
    """A label is a Python value of the class's type, and probabilities are keyed by str(label) in class order."""
    output = subject.runtime.predict(subject.rows[:1])[0]
    if subject.card.task == "regression":
        assert type(output.value) is float
        assert output.label is msgspec.UNSET
        return
    assert type(output.label) is type(subject.expected.answers[0])
    assert (output.probabilities is not msgspec.UNSET) == (subject.expected.probabilities is not None)
    if output.probabilities is not msgspec.UNSET:
        assert list(output.probabilities) == [str(label) for label in subject.card.signature.classes]


def test_a_row_alone_is_answered_as_in_a_batch(subject):
    """The size of a batch does not change an answer."""
    together = subject.runtime.predict(subject.rows[:5])
    alone = [subject.runtime.predict([row])[0] for row in subject.rows[:5]]
    assert largest(together, alone) <= subject.tolerance


def test_what_a_model_cannot_take_is_its_failure(subject):
    """A row of the wrong length raises ModelFailed, whatever the library underneath raises."""
    with pytest.raises(ModelFailed):
        subject.runtime.predict([[*subject.rows[0], 1.0, 2.0]] if len(subject.rows[0]) > 1 else [[]])


@pytest.mark.parametrize("name", CASES)
def test_the_form_is_the_one_documented(name, register):
    """Each estimator ends up compiled, or native, as the docs say, and differs by no more than they say."""
    card = register(name).card
    assert card.compiled.form == CASES[name].form
    assert card.runtime == NAMES[card.compiled.form]
    assert card.compiled.rows == len(data(CASES[name].data).features)
    _, _, served, shown = DOCUMENTED[list(CASES).index(name)]
    assert served == SERVED[card.compiled.form]
    assert (shown == "") == (card.compiled.form == NATIVE)
    assert not shown or card.compiled.max_difference <= 10.0 ** int(shown)


@pytest.mark.parametrize("name", CASES)
def test_a_package_survives_storage(name, register):
    """A card that went through JSON loads, passes its golden rows, and answers as scikit-learn does."""
    package = register(name)
    card = msgspec.json.decode(msgspec.json.encode(package.card), type=Card)
    assert card == package.card
    loaded = load(card, {card.blobs[role]: content for role, content in package.blobs.items()}.__getitem__)
    outputs = loaded.predict(rows(name)[:20])
    answered = [output.value if card.task == "regression" else output.label for output in outputs]
    expected = answers(name).answers[:20]
    assert answered == (pytest.approx(expected, abs=1e-4, rel=0) if card.task == "regression" else expected)
    assert loaded.seconds_per_row > 0
