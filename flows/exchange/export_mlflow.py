"""Export: a version becomes a directory that MLflow loads: of the flavour onnx where it was compiled, else of sklearn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from core.clock import to_rfc3339
from core.errors import ModelFailed, Rejected
from core.values import Row
from flows.exchange import requirements
from flows.exchange.folder import fresh
from flows.exchange.stored import Stored, fetch
from models import artefact, factory
from models.card import Card
from models.linear import LinearRuntime
from models.onnx_runtime import OnnxRuntime
from models.parity import SAME, largest
from models.signature import Feature, Kind
from store.blobs import Blobs
from store.engine import Store

_COLUMNS: Mapping[Kind, str] = {"float": "double", "int": "long", "str": "string", "bool": "boolean"}
_TENSORS = {
    "tensor(double)": "float64",
    "tensor(float)": "float32",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(string)": "object",
    "tensor(bool)": "bool",
}
_EXAMPLE = "input_example.json"


class Parts(NamedTuple):
    """What the flavours differ in: files by name, MLflow's two descriptions, the inputs, an example, further requirements."""

    files: dict[str, bytes]
    flavour: dict[str, Any]
    function: dict[str, Any]
    inputs: list[dict[str, Any]]
    example: tuple[dict[str, Any], Any] | None
    requires: tuple[str, ...]


def export_mlflow(store: Store, blobs: Blobs, reference: str, directory: Path, at: float) -> Stored:
    """Write the version into `directory`, which is made as a whole or not at all; returns it.

    Raises Rejected where MLflow has nothing to load it with, Conflict where the directory holds anything.
    """
    found = fetch(store, blobs, reference)
    if found.card.format in ("river", "treelite"):
        raise Rejected(
            f"{found.version}: MLflow has no flavour for what is served by {found.card.format};"
            " `tiltyard model pull` writes it without MLflow"
        )
    parts = _native(found) if found.card.format in ("skops", "pickle") else _compiled(found)
    with fresh(directory) as folder:
        for name, content in {**parts.files, **_about(found, parts, at)}.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
    return found


def _compiled(found: Stored) -> Parts:
    """The flavour onnx. Its inputs are declared as the graph's own tensors, since MLflow hands them over unchanged."""
    data = _named(found) if found.card.format == "onnx" else _linear(found)
    inputs, columns = _tensors(data)
    flavour = {"data": "model.onnx", "onnx_version": _onnx(), "providers": ["CPUExecutionProvider"], "onnx_session_options": None}
    function = {"data": "model.onnx", "loader_module": "mlflow.onnx"}
    example = _frame(found, columns or found.card.signature.names)
    return Parts({"model.onnx": data}, {"onnx": {**flavour, "code": None}}, function, inputs, example, ("onnx", "onnxruntime", "numpy"))


def _named(found: Stored) -> bytes:
    """The graph, with the classes that its probabilities are of: the card knows them, who loads it elsewhere does not."""
    from models.graph import with_classes  # here, because it brings onnx in

    classes = found.card.signature.classes
    return found.artefact if classes is None else with_classes(found.artefact, classes)


def _linear(found: Stored) -> bytes:
    """A linear model as a graph, once that answers as the model does."""
    from models.linear_graph import linear_graph  # here, because it brings onnx in

    signature = found.card.signature
    data = linear_graph(found.artefact, signature)
    rows: Sequence[Row] = found.golden.rows if found.golden is not None else [signature.blank()]
    apart = largest(LinearRuntime(found.artefact, signature).predict(rows), OnnxRuntime(data, signature).predict(rows))
    if apart > SAME:
        raise ModelFailed(f"{found.version}: as an ONNX graph it differs by {apart:.3g}")
    return data


def _native(found: Stored) -> Parts:
    """The flavour sklearn, with the types that the audit let in, and the model's own file where it has one."""
    card, name = found.card, f"model.{'skops' if found.card.format == 'skops' else 'pkl'}"
    trusted = artefact.untrusted(found.artefact) if card.format == "skops" else None
    code = {} if found.code is None else {f"code/{factory.module_name(found.code)}.py": found.code}
    flavour: dict[str, Any] = {
        "pickled_model": name,
        "sklearn_version": card.versions.get("scikit-learn"),
        "serialization_format": "pickle",
    }
    flavour |= {"code": "code" if code else None}
    if trusted is not None:
        flavour |= {"serialization_format": "skops", "skops_trusted_types": list(trusted) or None}
    function = {"model_path": name, "loader_module": "mlflow.sklearn", "predict_fn": "predict", **({"code": "code"} if code else {})}
    inputs = [_column(feature) for feature in card.signature.features]
    if card.layout == "texts":
        inputs = [{"type": "tensor", "tensor-spec": {"dtype": "str", "shape": [-1]}}]
    example = None if card.layout == "texts" else _frame(found, card.signature.names)
    return Parts({name: found.artefact, **code}, {"sklearn": flavour}, function, inputs, example, ("pandas",))


def _column(feature: Feature) -> dict[str, Any]:
    """A column of MLflow's schema. Integers that may be missing are its doubles, since it has no others."""
    kind = "double" if feature.kind == "int" and feature.nullable else _COLUMNS[feature.kind]
    return {"type": kind, "name": feature.name, "required": not feature.nullable}


def _tensors(data: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    """The inputs of a graph in MLflow's schema, and their names where they are columns: a converter may have changed those."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it would optimise is nobody's news here
    inputs = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).get_inputs()
    columns = [one.name for one in inputs] if len(inputs) > 1 or len(inputs[0].shape) == 1 else []
    specs = [{"dtype": _TENSORS[one.type], "shape": [-1, *one.shape[1:]]} for one in inputs]
    named = [{"type": "tensor", "name": one.name, "tensor-spec": spec} for one, spec in zip(inputs, specs, strict=True)]
    return (named if columns else [{"type": "tensor", "tensor-spec": specs[0]}]), columns


def _frame(found: Stored, names: Sequence[str]) -> tuple[dict[str, Any], Any] | None:
    """The golden rows as a frame."""
    if found.golden is None:
        return None
    info = {"artifact_path": _EXAMPLE, "type": "dataframe", "pandas_orient": "split"}
    return info, {"columns": list(names), "data": found.golden.rows}


def _about(found: Stored, parts: Parts, at: float) -> dict[str, bytes]:
    """The files that say how to load it."""
    import yaml  # here, because no other command needs it

    card, needed = found.card, requirements.lines(found.card, *parts.requires, "mlflow")
    python = card.versions.get("python", "3.11")
    told: dict[str, Any] = {
        "flavors": {"python_function": {**parts.function, **_ENVIRONMENTS, "python_version": python}, **parts.flavour},
        "metadata": {"tiltyard": str(found.version), "source": card.source, "source_digest": card.source_digest},
        "model_uuid": uuid4().hex,
        "signature": {"inputs": json.dumps(parts.inputs), "outputs": None, "params": None},
        "utc_time_created": to_rfc3339(at),
    }
    files = {
        "requirements.txt": "\n".join([*needed, ""]).encode(),
        "python_env.yaml": yaml.safe_dump({"python": python, "dependencies": ["-r requirements.txt"]}).encode(),
        "conda.yaml": yaml.safe_dump(
            {"name": "mlflow-env", "channels": ["conda-forge"], "dependencies": [f"python={python}", "pip", {"pip": list(needed)}]}
        ).encode(),
    }
    if parts.example is not None:
        told["saved_input_example_info"] = parts.example[0]
        files[_EXAMPLE] = json.dumps(parts.example[1]).encode()
    return {**files, "MLmodel": yaml.safe_dump(told, sort_keys=True).encode()}


_ENVIRONMENTS = {"env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}}


def _onnx() -> str:
    from models.dependencies import installed

    return installed("onnx") or ""


def described(card: Card) -> str:
    """Which flavour a version of that card is exported as."""
    return "sklearn" if card.format in ("skops", "pickle") else "onnx"
