"""Registration: from a model and a sample to a package. Brings in scikit-learn, skl2onnx, onnx and pyarrow.

Whatever the kind of model, it becomes a draft: the form to store, the signature, and the answers of the original to the sample.
"""

from __future__ import annotations

import platform
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from core.errors import Invalid, ModelFailed, Rejected, TiltyardError
from core.values import Output, Row, Value
from models import artefact, factory, golden, graph
from models import sample as samples
from models.artefact import Format, Source
from models.card import Card
from models.compile import TOLERANCES, Artefact, Compiled, compile_estimator
from models.draft import Draft
from models.estimator import Layout, describe, fitted_count, fitted_names, layouts, takes_text
from models.learner.settings import Learning
from models.onnx_runtime import OnnxRuntime
from models.package import Package, Tried, load
from models.parity import CLOSE, SAME, largest
from models.profile import profile
from models.runtime import whole
from models.sample import Sample
from models.signature import Feature, Signature, Task, infer, numbered, unseen
from models.sklearn_runtime import SklearnRuntime

NO_SAMPLE = "no sample: served natively, no parity, no golden rows, no profile"
NO_SAMPLE_ONNX = "no sample: no golden rows, no profile"
PACKAGES = ("numpy", "onnxruntime", "scikit-learn", "skl2onnx", "skops")
RIVER = ("river",)
PROBABLE = 1e-3
"""How far a row's probabilities may be from adding up to 1, before they are taken for scores of another kind."""


def build(path: Path, *, sample: Path | None, target: str | None, trust_pickle: bool, learning: Learning = None) -> Package:
    """Audits, compiles where parity holds, profiles and packages the model at `path`, then loads the package once.

    `path` is a model file, or a function in a Python file (`model.py:build`). `sample` is a CSV or Parquet file of rows that the
    model knows, `target` its column of true values. Raises Rejected where the model may not or cannot be served, Invalid or
    Malformed where the sample or what is asked of its learning will not do.
    """
    source = _made(path) if factory.is_factory(path) else artefact.read(path, trust_pickle=trust_pickle)
    table = None if sample is None else samples.read(sample)
    try:
        with warnings.catch_warnings(record=True) as caught:  # those of converters say nothing that parity does not
            warnings.simplefilter("always")
            draft = _draft(source, table, target, learning)
            return _finish(source, draft, [*draft.notes, *_older(caught)], _truths(table, target))
    except ModelFailed as error:
        tried = "a row of zeros; if it needs other values, give a sample" if table is None else "its own sample"
        raise Rejected(f"{source.name}: {error.message}, tried on {tried}") from error
    except Rejected as error:
        raise Rejected(f"{source.name}: {error.message}") from error


def _made(path: Path) -> Source:
    """What a function returns, as if it had come as a pickle."""
    made = factory.make(path)
    return Source(made.name, "pickle", made.data, artefact.digest(made.source), made.source)


def _draft(source: Source, table: Sample | None, target: str | None, learning: Learning) -> Draft:
    original = None if source.format == "onnx" else artefact.load_estimator(source.data, source.format)
    if _is_river(original):
        from models.river_building import from_river  # here, because it needs River, and most models do not

        return from_river(source, original, table, target, learning)
    if learning is not None:
        raise Invalid(f"learn: only a River model learns while it serves, and {source.name} holds none", field="learn")
    return _from_onnx(source, table, target) if original is None else _from_estimator(source, original, table, target)


def _is_river(model: Any) -> bool:
    """Whether it is River's: where nothing has imported River, it is not."""
    if "river" not in sys.modules:
        return False
    from models.learner.river_model import is_river

    return is_river(model)


def _from_estimator(source: Source, original: Any, table: Sample | None, target: str | None) -> Draft:
    task, classes = describe(original)
    if table is None and takes_text(original):
        raise Rejected("the model takes text, and which columns hold it is not known; give a sample")
    features, chosen, notes = _take(table, fitted_names(original), fitted_count(original), target)
    signature = Signature(features, task, classes, target)
    rows = chosen.rows() if chosen else [signature.blank()]
    data, form = _storable(source, original)
    fitted, *cheaper = layouts(original, signature)
    outputs = whole(SklearnRuntime(original, signature, fitted), rows)
    layout, apart = _layout(data, form, signature, [*cheaper, fitted], rows, outputs)
    if chosen is None:
        return Draft(data, form, layout, Compiled("native", NO_SAMPLE, None, 0), SAME, signature, None, [], [NO_SAMPLE, *notes])
    found = compile_estimator(original, signature, layout, rows, outputs)
    if isinstance(found, Artefact):
        return Draft(found.data, found.format, None, found.report, TOLERANCES[found.report.form], signature, chosen, outputs, notes)
    return Draft(data, form, layout, Compiled("native", found, apart, len(rows)), SAME, signature, chosen, outputs, notes)


def _older(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """A note where scikit-learn warned that an estimator comes from another release."""
    from sklearn.exceptions import InconsistentVersionWarning

    found = [one.message for one in caught if isinstance(one.message, InconsistentVersionWarning)]
    return [
        f"{one.estimator_name} was fitted with scikit-learn {one.original_sklearn_version}, which is now {one.current_sklearn_version}"
        for one in found[:1]
    ]


def _from_onnx(source: Source, table: Sample | None, target: str | None) -> Draft:
    model = graph.parse(source.data)
    described = graph.describe(model)
    names = tuple(feature.name for feature in described.features) if described.named else None
    features, chosen, notes = _take(table, names, len(described.features), target)
    task: Task = "classification" if described.classifies else "regression"
    signature = Signature(features if chosen else described.features, task, described.classes, target)
    rows = chosen.rows() if chosen else [signature.blank()]
    outputs, left_out = _answers(model, signature, rows)
    notes = [*([] if chosen else [NO_SAMPLE_ONNX]), *left_out, *notes]
    tolerance = SAME if graph.is_double(model) else CLOSE
    return Draft(model.SerializeToString(), "onnx", None, None, tolerance, signature, chosen, outputs, notes)


def _take(
    table: Sample | None, names: Sequence[str] | None, count: int | None, target: str | None
) -> tuple[tuple[Feature, ...], Sample | None, list[str]]:
    """The features of a model that was fitted on `names` or on `count` columns, and its part of the sample."""
    if table is None:
        if names is None and count is None:
            raise Rejected("the model does not say how many columns it takes; give a sample")
        return unseen(names or numbered(count or 0)), None, []
    chosen, extra = samples.select(table, names=names, count=count, target=target)
    notes = [f"columns of the sample that the model does not take: {', '.join(extra)[:500]}"] if extra else []
    return infer(chosen.columns), chosen, notes


def _storable(source: Source, original: Any) -> tuple[bytes, Format]:
    """The native form to keep: skops wherever it can hold the model, so that no pickle is loaded again."""
    if source.format == "skops":
        return source.data, "skops"
    data = artefact.dump_skops(original)
    return (source.data, "pickle") if data is None else (data, "skops")


def _layout(
    data: bytes, form: Format, signature: Signature, candidates: Sequence[Layout], rows: Sequence[Row], expected: Sequence[Output]
) -> tuple[Layout, float]:
    """The first layout in which the stored form, loaded again, answers like the original; and how far it is apart."""
    failure: TiltyardError | None = None
    for layout in candidates:
        try:
            apart = largest(expected, whole(SklearnRuntime(artefact.load_estimator(data, form), signature, layout), rows))
        except ModelFailed as error:
            failure = error
            continue
        if apart <= SAME:
            return layout, apart
        failure = ModelFailed(f"saved and loaded again it answers otherwise (difference {apart:.3g})")
    raise failure or ModelFailed("no layout")


def _answers(model: Any, signature: Signature, rows: Sequence[Row]) -> tuple[list[Output], list[str]]:
    """What a foreign graph answers, scores that are no probabilities taken out of it, in place, with a note."""
    note = "the graph does not name its classes, so their probabilities are left out"
    if signature.task == "regression" or signature.classes is not None:
        outputs = whole(OnnxRuntime(model.SerializeToString(), signature), rows)
        if all(map(_probable, outputs)):
            return outputs, []
        note = "the graph's scores are no probabilities and are left out"
    had = len(model.graph.output)
    graph.only_label(model)
    return whole(OnnxRuntime(model.SerializeToString(), signature), rows), [note] if len(model.graph.output) < had else []


def _probable(output: Output) -> bool:
    """Whether its probabilities, where it has any, can be ones."""
    if not isinstance(output.probabilities, dict):
        return True
    shares = output.probabilities.values()
    return min(shares) >= -PROBABLE and abs(sum(shares) - 1) <= PROBABLE


def _truths(table: Sample | None, target: str | None) -> list[Value] | None:
    """The true values of the sample's rows, where they are known."""
    return None if table is None or target is None else table.columns[target]


def _finish(source: Source, draft: Draft, notes: Sequence[str], truths: list[Value] | None) -> Package:
    """The package, once it has been loaded as a worker will load it."""
    contents = {"artefact": draft.data}
    if source.code is not None and draft.format in ("pickle", "river"):
        contents["code"] = source.code
    if draft.sample is not None:
        contents["golden"] = msgspec.json.encode(golden.choose(draft.sample.rows(), draft.outputs))
    blobs = {role: artefact.digest(content) for role, content in contents.items()}
    card = Card(
        signature=draft.signature,
        format=draft.format,
        layout=draft.layout,
        blobs=blobs,
        compiled=draft.compiled,
        profile=profile(draft.signature, draft.sample.columns, draft.outputs, truths) if draft.sample else None,
        tolerance=draft.tolerance,
        versions={"python": platform.python_version(), **{name: version(name) for name in (*PACKAGES, *(RIVER if draft.river else ()))}},
        source=source.name,
        source_digest=source.digest,
        seconds_per_row=0.0,
        notes=tuple(notes),
        river=draft.river,
    )
    loaded = load(card, {blobs[role]: content for role, content in contents.items()}.__getitem__)
    tried = None if truths is None else Tried(draft.outputs, truths)
    return Package(msgspec.structs.replace(card, seconds_per_row=loaded.seconds_per_row), contents, tried)
