"""From a scikit-learn estimator to a form that gives the same answers without it, or the reason why there is none.

Small linear models come first, then ONNX in float64, then treelite, which takes four times as long and knows splits by category: all
three are equal to about 1e-15. Only what has no float64 form is tried in float32.
A form counts when the labels agree on every row of the sample and the numbers agree within its tolerance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from core.errors import ModelFailed
from core.values import Output, Row
from models import golden
from models.estimator import Layout, parts
from models.linear import LinearRuntime, linear_form
from models.onnx_runtime import OnnxRuntime
from models.parity import CLOSE, SAME, largest
from models.runtime import Runtime, whole
from models.signature import Signature

Form: TypeAlias = Literal["linear", "onnx-f64", "treelite", "onnx-f32", "native"]
Width: TypeAlias = Literal[64, 32]

TOLERANCES: dict[Form, float] = {"linear": SAME, "onnx-f64": SAME, "treelite": SAME, "onnx-f32": CLOSE, "native": SAME}

ATTEMPTS: tuple[tuple[Width, Form], ...] = (
    (64, "linear"),
    (64, "onnx-f64"),
    (64, "treelite"),
    (32, "onnx-f32"),
    (64, "onnx-f32"),
)
"""The last one is for graphs that take doubles and compute some step in float32: where scaling comes before a forest, they
find the right leaf more often than those that take floats."""

Stored: TypeAlias = Literal["linear", "onnx", "treelite"]

_STORED: dict[Form, Stored] = {"linear": "linear", "onnx-f64": "onnx", "treelite": "treelite", "onnx-f32": "onnx"}
_SHOWN: dict[Stored, str] = {"linear": "linear", "onnx": "ONNX", "treelite": "treelite"}


class Compiled(msgspec.Struct, frozen=True):
    """The report of compiling: the form that serves, why that one, and how it compares with the original on `rows` rows.

    `max_difference` is None where there were no rows to compare.
    """

    form: Form
    reason: str
    max_difference: float | None
    rows: int


class Artefact(NamedTuple):
    """A compiled model and its report."""

    data: bytes
    format: Stored
    report: Compiled


def compile_estimator(
    estimator: Any, signature: Signature, layout: Layout, rows: Sequence[Row], expected: Sequence[Output]
) -> Artefact | str:
    """The first form that answers `rows` as `expected`, else a sentence that says why each failed."""
    failures: list[str] = []
    for width, form in ATTEMPTS:
        stored = _STORED[form]
        try:
            data = _made(estimator, signature, layout, stored, width)
            runtime = _loaded(data, stored, signature)
            golden.check(runtime, golden.choose(rows, expected), TOLERANCES[form])  # row by row, as it will serve
            apart = largest(expected, whole(runtime, rows))
            if apart > _allowed(form, expected):
                raise ModelFailed(f"differs from the original by {apart:.3g}")
        except Exception as error:  # a converter that lacks a case raises anything
            if stored != "onnx" and isinstance(error, NotImplementedError):
                continue  # most estimators are neither linear nor for treelite: that is no failure to tell
            failures.append(_clipped(f"{_SHOWN[stored]} in float{width}: {error}"))
        else:
            reason = "; ".join([*failures, f"{_SHOWN[stored]} in float{width}: equal to the original on the whole sample"])
            return Artefact(data, stored, Compiled(form, reason, apart, len(rows)))
    return "; ".join(dict.fromkeys(failures))


def _made(estimator: Any, signature: Signature, layout: Layout, stored: Stored, width: Width) -> bytes:
    """The estimator in that form; raises NotImplementedError where it has none."""
    if stored == "linear":
        return linear_form(estimator)
    if stored == "treelite":
        from models.histogram import histogram_form  # here, because treelite is large and few models need it

        return histogram_form(estimator)
    return _convert(estimator, signature, layout, width)


def _loaded(data: bytes, stored: Stored, signature: Signature) -> Runtime:
    if stored == "linear":
        return LinearRuntime(data, signature)
    if stored == "treelite":
        from models.treelite_runtime import TreeliteRuntime  # see above

        return TreeliteRuntime(data, signature)
    return OnnxRuntime(data, signature)


def _clipped(text: str) -> str:
    """One line of at most 200 characters that says where it was cut."""
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:199] + "…"


def _allowed(form: Form, expected: Sequence[Output]) -> float:
    """The largest relative difference: float32 may be 1e-4 apart in the model's own units, however large its values are."""
    values = [abs(output.value) for output in expected if isinstance(output.value, float)]
    return TOLERANCES[form] / max([1.0, *values]) if form == "onnx-f32" else TOLERANCES[form]


def _convert(estimator: Any, signature: Signature, layout: Layout, width: Width) -> bytes:
    """The graph of `estimator` with inputs of that width, with probabilities as a matrix, or none where it has none."""
    from skl2onnx import convert_sklearn  # here, because nothing but registering compiles

    from models.graph import only_label
    from models.trees import converters, declare, shapes

    model = convert_sklearn(
        estimator,
        initial_types=_initial_types(signature, layout, width),
        options=_options(estimator),
        custom_conversion_functions=converters(),
        custom_shape_calculators=shapes(),
    )
    declare(model)
    if signature.task == "classification" and not hasattr(estimator, "predict_proba"):
        only_label(model)
    data: bytes = model.SerializeToString()
    return data


def _options(estimator: Any) -> dict[Any, Any] | None:
    """Probabilities as a matrix; where there are none, linear classifiers give raw scores, which alone they can in float64.

    How a vote's `transform` answers is not served, and its converter wants it otherwise than it is by default.
    """
    from sklearn.linear_model import Perceptron, RidgeClassifier, RidgeClassifierCV, SGDClassifier
    from sklearn.svm import LinearSVC

    for part in parts(estimator):
        if hasattr(part, "flatten_transform"):
            part.flatten_transform = False
    if hasattr(estimator, "predict_proba"):
        return {"zipmap": False}
    linear = [part for part in parts(estimator) if type(part) in (LinearSVC, RidgeClassifier, RidgeClassifierCV, Perceptron, SGDClassifier)]
    return {id(part): {"raw_scores": True} if type(part) is LinearSVC else {"raw_scores": True, "zipmap": False} for part in linear} or None


def _initial_types(signature: Signature, layout: Layout, width: Width) -> list[tuple[str, Any]]:
    """One matrix where that is what the estimator takes, else one column per feature."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType

    number = DoubleTensorType if width == 64 else FloatTensorType
    if layout == "matrix":
        return [("X", number([None, len(signature.features)]))]
    if layout in {"objects", "texts"}:
        return [("X", StringTensorType([None, len(signature.features)]))]
    return [(one.name, (StringTensorType if one.kind == "str" else number)([None, 1])) for one in signature.features]
