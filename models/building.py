"""Registration: from a model and a sample to a package. Brings in scikit-learn, skl2onnx, onnx and pyarrow.

Whatever the kind of model, it becomes a draft: the form to store, the signature, and the answers of the original to the sample.
"""

from __future__ import annotations

import pickle
import platform
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec

from core.errors import Invalid, ModelFailed, Rejected, TiltyardError
from core.values import Output, Row, Value
from models import artefact, factory, golden, graph, provenance
from models import sample as samples
from models.artefact import Format, Source, TreeFormat
from models.card import Card
from models.compile import TOLERANCES, Artefact, Compiled, compile_estimator
from models.draft import UNCHECKED, Draft, take
from models.estimator import Layout, arranger, describe, fitted_count, fitted_names, layouts, takes_text
from models.learner.settings import Learning
from models.onnx_runtime import OnnxRuntime
from models.outputs import check, only, refuse_several
from models.package import Package, Tried, load
from models.parity import CLOSE, SAME, largest
from models.profile import profile
from models.remote.description import NO_OUTPUTS, Role
from models.remote.registering import Wanted, from_remote, is_remote
from models.remote.servers import NONE, Remotes
from models.runtime import whole
from models.sample import Sample
from models.signature import Signature, Task
from models.sklearn_runtime import SklearnRuntime

NO_SAMPLE = "no sample: served natively, no parity, no golden rows, no profile"
PACKAGES = ("numpy", "onnxruntime", "scikit-learn", "skl2onnx", "skops")
"""What every version is made or served with."""
PROBABLE = 1e-3
"""How far a row's probabilities may be from adding up to 1, before they are taken for scores of another kind."""


def build(
    path: Path,
    *,
    sample: Path | None,
    target: str | None,
    trust_pickle: bool,
    learning: Learning = None,
    output: int | None = None,
    classes: Sequence[str] | None = None,
    remotes: Remotes = NONE,
    remote_outputs: Mapping[Role, str] = NO_OUTPUTS,
) -> Package:
    """Audits, compiles where parity holds, profiles and packages the model at `path`, then loads the package once.

    `path` is a model file, a function in a Python file (`model.py:build`), or a model on one of the servers `remotes`
    (`remote:staging/credit`), of which `remote_outputs` may say which output is what. `sample` is a CSV or Parquet file of rows that the
    model knows, `target` its column of true values. `output` chooses among the outputs of a model of several, counted from 0; `classes`
    names the classes of a file of trees in the order of their numbers. Raises Rejected where the model may not or cannot be served,
    Invalid or Malformed where the sample or what is asked of the model will not do.
    """
    source = _source(path, trust_pickle)
    table = None if sample is None else samples.read(sample)
    try:
        with warnings.catch_warnings(record=True) as caught:  # those of converters say nothing that parity does not
            warnings.simplefilter("always")
            draft = _draft(source, table, target, Asked(learning, output, classes, remote_outputs), remotes)
            return _finish(source, draft, [*draft.notes, *_older(caught)], _truths(table, target), remotes)
    except ModelFailed as error:
        tried = "a row of zeros; if it needs other values, give a sample" if table is None else "its own sample"
        raise Rejected(f"{source.name}: {error.message}, tried on {tried}") from error
    except Rejected as error:
        raise Rejected(f"{source.name}: {error.message}") from error


def _source(path: Path, trust_pickle: bool) -> Source:
    if is_remote(path):
        return Source(str(path), "remote", b"", "")
    return _made(path) if factory.is_factory(path) else artefact.read(path, trust_pickle=trust_pickle)


def _made(path: Path) -> Source:
    """What a function returns, as if it had come as a pickle."""
    made = factory.make(path)
    return Source(made.name, "pickle", made.data, artefact.digest(made.source), made.source)


class Asked(NamedTuple):
    """What is asked of a model beyond serving it, each of one kind of model only."""

    learning: Learning
    output: int | None
    classes: Sequence[str] | None
    remote_outputs: Mapping[Role, str]


def _draft(source: Source, table: Sample | None, target: str | None, asked: Asked, remotes: Remotes) -> Draft:
    if source.format == "remote":
        _only(source, asked._replace(remote_outputs=NO_OUTPUTS))
        return from_remote(source.name, table, target, Wanted(remotes, asked.remote_outputs))
    if source.format in get_args(TreeFormat):
        from models.tree_building import from_trees  # here, because it needs treelite, and most models do not

        _only(source, asked._replace(output=None, classes=None))
        return from_trees(source, table, target, asked.output, asked.classes)
    original = None if source.format == "onnx" else artefact.load_estimator(source.data, source.format)
    if _is_river(original):
        from models.river_building import from_river  # here, because it needs River, and most models do not

        _only(source, asked._replace(learning=None))
        river = from_river(source, original, table, target, asked.learning)
        return river._replace(packages=("river", *provenance.packages(original)))
    _only(source, asked if original is None else asked._replace(output=None))
    if original is None:
        return _from_onnx(source, table, target)
    draft = _from_estimator(source, original, table, target, asked.output)
    pandas = ("pandas",) if draft.layout == "frame" else ()
    return draft._replace(parameters=provenance.parameters(original), packages=(*provenance.packages(original), *pandas))


def _only(source: Source, asked: Asked) -> None:
    """Raises Invalid where something is asked that the kind of model cannot do."""
    if asked.learning is not None:
        raise Invalid(f"learn: only a River model learns while it serves, and {source.name} holds none", field="learn")
    if asked.output is not None:
        raise Invalid(
            f"output: only one of scikit-learn's or a file of trees has several outputs, and {source.name} is none", field="output"
        )
    if asked.classes is not None:
        raise Invalid(f"classes: only a file of trees numbers its classes, and {source.name} is none", field="classes")
    if asked.remote_outputs:
        raise Invalid(
            f"remote_output: only a model on another server has outputs to name, and {source.name} is none", field="remote_output"
        )


def _is_river(model: Any) -> bool:
    """Whether it is River's: where nothing has imported River, it is not."""
    if "river" not in sys.modules:
        return False
    from models.learner.river_model import is_river

    return is_river(model)


def _from_estimator(source: Source, given: Any, table: Sample | None, target: str | None, output: int | None) -> Draft:
    original = given if output is None else only(given, output)
    task, classes = describe(original)
    refuse_several(original)
    if table is None and takes_text(original):
        raise Rejected("the model takes text, and which columns hold it is not known; give a sample")
    features, chosen, notes = take(table, fitted_names(original), fitted_count(original), target)
    signature = Signature(features, task, classes, target)
    rows = chosen.rows() if chosen else [signature.blank()]
    fitted, *cheaper = layouts(original, signature)
    data, form = _storable(source, original, cut=output is not None)
    outputs = whole(SklearnRuntime(original, signature, fitted), rows)
    if output is not None:
        asked = arranger(signature, fitted)(rows)
        check(original.predict(asked), given.predict(asked), output)
        notes = [f"answers output {output} of a model of several", *notes]
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
    features, chosen, notes = take(table, names, len(described.features), target)
    task: Task = "classification" if described.classifies else "regression"
    signature = Signature(features if chosen else described.features, task, described.classes, target)
    rows = chosen.rows() if chosen else [signature.blank()]
    outputs, left_out = _answers(model, signature, rows)
    notes = [*([] if chosen else [UNCHECKED]), *left_out, *notes]
    tolerance = SAME if graph.is_double(model) else CLOSE
    return Draft(model.SerializeToString(), "onnx", None, None, tolerance, signature, chosen, outputs, notes)


def _storable(source: Source, original: Any, *, cut: bool) -> tuple[bytes, Format]:
    """The native form to keep: skops wherever it can hold the model, so that no pickle is loaded again.

    What was `cut` to one output is not what stands in the file.
    """
    if source.format == "skops" and not cut:
        return source.data, "skops"
    data = artefact.dump_skops(original)
    if data is not None:
        return data, "skops"
    return (pickle.dumps(original) if cut else source.data), "pickle"


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


def _finish(source: Source, draft: Draft, notes: Sequence[str], truths: list[Value] | None, remotes: Remotes) -> Package:
    """The package, once it has been loaded as a worker will load it."""
    contents = {"artefact": draft.data}
    if source.code is not None and draft.format in ("pickle", "river"):
        contents["code"] = source.code
    if draft.sample is not None:
        contents["golden"] = msgspec.json.encode(golden.choose(draft.sample.rows(), draft.outputs))
    blobs = {role: artefact.digest(content) for role, content in contents.items()}
    packages = {*PACKAGES, *draft.packages, *(("treelite",) if draft.format == "treelite" else ())}
    card = Card(
        signature=draft.signature,
        format=draft.format,
        layout=draft.layout,
        blobs=blobs,
        compiled=draft.compiled,
        profile=profile(draft.signature, draft.sample.columns, draft.outputs, truths) if draft.sample else None,
        tolerance=draft.tolerance,
        versions={"python": platform.python_version(), **provenance.versions_of(packages)},
        source=source.name,
        source_digest=source.digest or blobs["artefact"],
        seconds_per_row=0.0,
        notes=tuple(notes),
        river=draft.river,
        parameters=draft.parameters,
    )
    loaded = load(card, {blobs[role]: content for role, content in contents.items()}.__getitem__, remotes)
    tried = None if truths is None else Tried(draft.outputs, truths)
    return Package(msgspec.structs.replace(card, seconds_per_row=loaded.seconds_per_row), contents, tried)
