"""The file `MLmodel` of an MLflow directory, as MLflow 1 to 3 write it: which file holds the model, and what is said of it."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from core.errors import Invalid, Malformed, Rejected
from core.values import Label, Value
from models.about import MAX_ITEMS, About, check
from models.dependencies import installed, minor
from models.sample import Sample
from models.signature import Feature, Kind, numbered

if TYPE_CHECKING:
    import yaml

MOST_BYTES = 4 * 2**20
"""Of `MLmodel` and of an input example."""
MOST_DIGITS = 100
"""Of a number in `MLmodel`."""

KINDS: Mapping[str, Kind] = {
    "double": "float",
    "float": "float",
    "long": "int",
    "integer": "int",
    "string": "str",
    "boolean": "bool",
}
"""Of MLflow's columns those that a feature can be."""

_SAID = ("run_id", "model_id", "model_uuid", "mlflow_version", "utc_time_created")
_COMPARED = ("numpy", "onnxruntime", "pandas", "scikit-learn", "skops")
_PIN = re.compile(r"([A-Za-z0-9._-]+)\s*==\s*([0-9A-Za-z.+!-]+)")


class MlflowModel(NamedTuple):
    """What an MLflow directory holds: `file` is the model's file, of the flavour `sklearn` or `onnx`.

    `features`: what its signature says of the inputs, None where it names no columns. `example`: its input example as a sample, None
    where it has none that is a table. `notes`: what could not be kept, and where it asks for another release than the one that is here.
    """

    flavour: str
    file: Path
    features: tuple[Feature, ...] | None
    example: Sample | None
    about: About
    notes: tuple[str, ...]


def read(directory: Path) -> MlflowModel:
    """What the directory holds; raises Malformed, Invalid or Rejected where it is none of MLflow's, or of another flavour."""
    told = _load_yaml(directory)
    flavours = told.get("flavors")
    if not isinstance(flavours, dict):
        raise Malformed(f"{directory / 'MLmodel'}: expected flavors, as MLflow writes them", field="directory")
    for flavour, key in (("sklearn", "pickled_model"), ("onnx", "data")):
        if isinstance(flavours.get(flavour), dict):
            file = inside(directory, flavours[flavour].get(key), key)
            features = _features(told.get("signature"))
            example = _example(directory, told.get("saved_input_example_info"), features)
            about, left_out = _about(told, flavour)
            return MlflowModel(flavour, file, features, example, about, (*left_out, *_differs(directory)))
    raise Rejected(f"{directory}: its flavours are {', '.join(map(str, flavours))[:200]}; sklearn and onnx can be imported")


def inside(directory: Path, name: object, key: str) -> Path:
    """The file in `directory` that the key names; raises Rejected where it is none, or lies elsewhere."""
    if not isinstance(name, str) or not name:
        # Not what it is: lists that hold one another by aliases are endless when written out.
        raise Rejected(f"MLmodel: {key}: expected the name of a file, got {'nothing' if not name else type(name).__name__}")
    try:
        path = Path(os.path.realpath(directory / name))
        if not _within(directory, path):
            raise Rejected(f"MLmodel: {key}: {name[:200]!r} lies outside of the directory")
        there = path.is_file()
    except (OSError, ValueError):  # too long, or with a NUL
        raise Rejected(f"MLmodel: {key}: {name[:200]!r} cannot be the name of a file") from None
    if not there:
        raise Rejected(f"MLmodel: {key}: the directory has no file {name[:200]!r}")
    return path


def _within(directory: Path, path: Path) -> bool:
    """Whether `path` lies in the directory, once all links are followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory))


def _load_yaml(directory: Path) -> dict[str, Any]:
    import yaml  # here, because no other command needs it

    path = directory / "MLmodel"
    text = _text(directory, path)
    try:
        found = yaml.load(text, Loader=_plain())  # noqa: S506 - a safe loader
    except Exception as error:  # yaml's, and of dates and numbers that are none whatever Python says of them
        raise Malformed(f"{path}: not readable as YAML: {' '.join(str(error).split())[:200]}", field="directory") from None
    if not isinstance(found, dict):
        raise Malformed(f"{path}: expected a mapping, as MLflow writes it", field="directory")
    return found


def _plain() -> type[yaml.SafeLoader]:
    """YAML's safe loader without what makes much of little: merge keys (`<<`) copy what they name, long numbers take hours."""
    import yaml

    class Plain(yaml.SafeLoader):
        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            if any(key.tag.endswith(":merge") for key, _ in node.value):
                raise yaml.YAMLError("merge keys are not read")
            super().flatten_mapping(node)

        def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
            if node.tag.endswith((":int", ":float")) and len(node.value) > MOST_DIGITS:
                raise yaml.YAMLError(f"a number is longer than {MOST_DIGITS} characters")
            return super().construct_scalar(node)

    return Plain


def _text(directory: Path, path: Path) -> str:
    """What a file in the directory holds; raises Invalid, Malformed or Rejected. No device is read, nor more than the limit."""
    if not _within(directory, path):
        raise Rejected(f"{path}: lies outside of the directory")
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Rejected(f"{path}: expected a file")
        with path.open("rb") as file:
            found = file.read(MOST_BYTES + 1)
        if len(found) > MOST_BYTES:
            raise Rejected(f"{path}: longer than {MOST_BYTES} bytes")
        return found.decode("utf-8")
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror or error}; expected a directory that MLflow has written", field="directory") from None
    except UnicodeDecodeError:
        raise Malformed(f"{path}: expected UTF-8", field="directory") from None


def _features(signature: object) -> tuple[Feature, ...] | None:
    """The columns that the signature names; None where it speaks of tensors, or of what no feature can be."""
    columns = _json(signature.get("inputs")) if isinstance(signature, dict) else None
    if not isinstance(columns, list) or not columns:
        return None
    found = [_feature(column) for column in columns]
    return None if None in found else tuple(one for one in found if one is not None)


def _feature(column: object) -> Feature | None:
    if not isinstance(column, dict) or not isinstance(column.get("name"), str):
        return None
    kind = KINDS.get(str(column.get("type")))
    return None if kind is None else Feature(column["name"], kind, nullable=column.get("required") is False)


def _example(directory: Path, info: object, features: Sequence[Feature] | None) -> Sample | None:
    """The input example, or the one for serving, as columns; None where it is no table."""
    if not isinstance(info, dict):
        return None
    for key in ("artifact_path", "serving_input_path"):
        if info.get(key):
            table = _table(_json(_text(directory, inside(directory, info[key], key))), features)
            if table is not None:
                return table
    return None


def _table(example: Any, features: Sequence[Feature] | None) -> Sample | None:
    """Columns of the forms in which MLflow writes frames, matrices, named arrays and records."""
    if isinstance(example, dict) and not {"dataframe_split", "inputs"}.isdisjoint(example):
        return _table(example.get("dataframe_split", example.get("inputs")), features)
    if isinstance(example, dict) and isinstance(example.get("data"), list):
        return _of_rows(example["data"], example.get("columns"), features)
    if isinstance(example, list) and example and all(isinstance(row, dict) for row in example):
        return _checked({name: [row.get(name) for row in example] for name in example[0]})
    if isinstance(example, list):
        return _of_rows(example, None, features)
    if isinstance(example, dict) and all(isinstance(values, list) for values in example.values()):
        return _checked({name: [_only(value) for value in values] for name, values in example.items()})
    return None


def _of_rows(rows: list[Any], names: Any, features: Sequence[Feature] | None) -> Sample | None:
    width = len(rows[0]) if rows and isinstance(rows[0], list) else 0
    if not width or any(not isinstance(row, list) or len(row) != width for row in rows):
        return None
    known = [feature.name for feature in features or ()]
    chosen = names if isinstance(names, list) and len(names) == width else known if len(known) == width else numbered(width)
    return _checked(dict(zip(map(str, chosen), map(list, zip(*rows, strict=True)), strict=True)))


def _checked(columns: dict[str, list[Any]]) -> Sample | None:
    """A sample where all values can be a feature's and all columns are as long."""
    values = [value for column in columns.values() for value in column]
    fits = bool(values) and len({len(column) for column in columns.values()}) == 1
    if not fits or any(not isinstance(value, int | float | str | bool | None) for value in values):
        return None
    return Sample({name: [_missing(value) for value in column] for name, column in columns.items()})


def _missing(value: Value) -> Value:
    return None if value != value else value


def _only(value: Any) -> Any:
    """Columns of a named array come as lists of one value."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _json(text: object) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None


def _about(told: Mapping[str, Any], flavour: str) -> tuple[About, tuple[str, ...]]:
    """What MLflow says of the model, as parameters: its own keys under `mlflow.`, those of its metadata under `metadata.`.

    And a note of what cannot be a parameter: long texts, names with blanks.
    """
    parameters: dict[str, Label] = {"mlflow.flavour": flavour}
    parameters.update({f"mlflow.{key}": told[key] for key in _SAID if isinstance(told.get(key), str)})
    metadata = told.get("metadata")
    if isinstance(metadata, dict):
        parameters.update({f"metadata.{key}": value for key, value in metadata.items() if isinstance(value, str | int | float | bool)})
    kept = dict([one for one in parameters.items() if _fits(*one)][:MAX_ITEMS])
    left = [name[:60] for name in parameters if name not in kept]
    notes = (f"cannot be parameters of a version and are left out: {', '.join(left)[:500]}",) if left else ()
    return About(tags=("mlflow",), parameters=kept), notes


def _fits(name: str, value: Label) -> bool:
    try:
        check(About(parameters={name: value}))
    except Invalid:
        return False
    return True


def _differs(directory: Path) -> tuple[str, ...]:
    path = directory / "requirements.txt"
    pins = _PIN.findall(_text(directory, path)) if path.is_file() else []
    return tuple(
        f"the directory asks for {name} {release}, here is {installed(name.lower()) or 'none'}"
        for name, release in pins
        if name.lower() in _COMPARED and minor(release) != minor(installed(name.lower()))
    )
