"""Registration of a model on another server: what it takes its metadata says, what it answers is seen when it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import replace

from core.errors import Invalid, ModelFailed, Rejected
from core.values import Label, Row
from models import sample as samples
from models.draft import Draft
from models.parity import CLOSE
from models.remote import roles
from models.remote.description import KINDS, Description, Input, Role
from models.remote.reference import PREFIX, Reference, parse
from models.remote.roles import Said
from models.remote.runtime import Reading, ask
from models.remote.servers import Remotes
from models.remote.tensors import Tensor
from models.remote.transport import Client, reason_of
from models.sample import Sample
from models.signature import Feature, Kind, Signature, infer, numbered, unseen

NO_SAMPLE = "no sample: no golden rows, no profile; what it answers later is not compared with anything"
LIVE = "golden rows are asked at each load: the remote server counts them as requests"
MATRIX = Input("input-0", "FP64")
"""What a server is sent whose metadata names no inputs."""

_ROWS = 25
"""Asked at once while registering: all but slow servers answer so many within the limit."""


class Wanted(NamedTuple):
    """What is asked of a registration beside the sample: the servers that there are, and which output is what, where that is said."""

    remotes: Remotes
    outputs: Mapping[Role, str]


_Part: TypeAlias = tuple[Mapping[str, Tensor], int]
"""An answer's tensors, and the number of its rows."""


class _Metadata(msgspec.Struct, frozen=True):
    """What a V2 server tells of a model."""

    platform: str = ""
    inputs: list[_Told] = []
    outputs: list[_Told] = []


class _Told(msgspec.Struct, frozen=True):
    name: str
    datatype: str
    shape: list[int] = []
    parameters: dict[str, Any] | None = None


class _Taken(NamedTuple):
    """What the model takes: its tensors, the features that they hold, and the sample's part of them."""

    inputs: tuple[Input, ...]
    matrix: bool
    features: tuple[Feature, ...]
    chosen: Sample | None
    notes: list[str]


def is_remote(path: object) -> bool:
    """Whether `path` names no file but `remote:SERVER/MODEL[@VERSION]`."""
    return str(path).startswith(PREFIX)


def from_remote(name: str, table: Sample | None, target: str | None, wanted: Wanted) -> Draft:
    """The draft of the model that `remote:SERVER/MODEL[@VERSION]` names, which is asked all rows of the sample.

    Raises Invalid where the name or the sample will not do, Rejected where the server is not known, has no such model or answers
    nothing that can be served, ModelFailed where it fails.
    """
    reference = parse(name.removeprefix(PREFIX))
    client = Client(wanted.remotes.server(reference.server))
    try:
        return _draft(client, reference, table, target, wanted.outputs)
    finally:
        client.close()


def _draft(client: Client, reference: Reference, table: Sample | None, target: str | None, outputs: Mapping[Role, str]) -> Draft:
    told = _metadata(client, reference)
    tiltyard = told.platform == "tiltyard"
    taken = _take(told, table, target, tiltyard)
    described = Description(
        server=reference.server,
        model=reference.model,
        version=reference.version,
        tiltyard=tiltyard,
        inputs=taken.inputs,
        matrix=taken.matrix,
        outputs=dict(outputs),
        ask=bool(outputs),
    )
    blank = Signature(taken.features, "regression").blank()
    rows = taken.chosen.rows() if taken.chosen else [blank]
    truth = [] if table is None or target is None else [label for label in table.columns[target] if label is not None]
    parts, slowly = _ask(client, described, rows)
    found = roles.find(roles.seen(parts), outputs, Said(_classes(told), truth))
    description = replace(described, outputs=found.outputs)
    signature = Signature(taken.features, found.task, found.classes, target)
    read = Reading(description, signature)
    answers = [output for tensors, count in parts for output in read.outputs(tensors, count)]
    notes = [_shown(description), LIVE if taken.chosen else NO_SAMPLE, *slowly, *found.notes, *taken.notes]
    data = msgspec.json.encode(description)
    return Draft(data, "remote", None, None, CLOSE, signature, taken.chosen, answers if taken.chosen else [], notes)


def _metadata(client: Client, reference: Reference) -> _Metadata:
    answered = client.ask("GET", reference.path)
    if answered.status != 200:
        raise Rejected(f"the server {reference.server!r} says of {reference.path}: {reason_of(answered)}")
    try:
        told = msgspec.json.decode(answered.body, type=_Metadata)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Rejected(f"the server {reference.server!r} does not tell of the model by the V2 protocol: {error}") from None
    for each in told.inputs:
        if each.datatype not in KINDS:
            raise Rejected(f"input {each.name!r} takes {each.datatype[:20]!r}; expected one of {', '.join(KINDS)}")
    return told


def _take(told: _Metadata, table: Sample | None, target: str | None, tiltyard: bool) -> _Taken:
    matrix = _is_matrix(told)
    inputs = tuple(Input(each.name, each.datatype, len(each.shape) == 2) for each in told.inputs) or (MATRIX,)
    names = None if matrix else [each.name for each in inputs]
    width = told.inputs[0].shape[1] if matrix and told.inputs and told.inputs[0].shape[1] > 0 else None
    for each in () if matrix else told.inputs:
        if len(each.shape) > 1 and each.shape[1:] != [1]:
            raise Rejected(f"input {each.name!r} has the shape {each.shape}; expected one value a row, or one matrix of all features")
    if table is None:
        if names is None and width is None:
            raise Rejected("its metadata does not say how many features it takes: give a sample")
        return _Taken(inputs, matrix, _unseen(inputs if names else inputs * (width or 0), names), None, [])
    chosen, extra = samples.select(table, names=names, count=width, target=target)
    notes = [f"columns of the sample that the model does not take: {', '.join(extra)[:500]}"] if extra else []
    tensors = inputs * len(chosen.columns) if matrix else inputs
    features = tuple(_fitted(feature, each, tiltyard) for feature, each in zip(infer(chosen.columns), tensors, strict=True))
    return _Taken(inputs, matrix, features, chosen, notes)


def _is_matrix(told: _Metadata) -> bool:
    """One tensor of rows and columns; also where nothing is told, since then that is what a server takes most likely."""
    if not told.inputs:
        return True
    return len(told.inputs) == 1 and len(told.inputs[0].shape) == 2 and told.inputs[0].shape[1] != 1


def _unseen(tensors: Sequence[Input], names: Sequence[str] | None) -> tuple[Feature, ...]:
    features = unseen(names or numbered(len(tensors)))
    return tuple(replace(feature, kind=KINDS[each.datatype]) for feature, each in zip(features, tensors, strict=True))


def _fitted(feature: Feature, tensor: Input, tiltyard: bool) -> Feature:
    """The sample's feature as the input takes it; raises Invalid where the sample holds what it does not take."""
    kind = KINDS[tensor.datatype]
    if feature.kind != kind and not (feature.kind == "int" and kind == "float"):
        raise Invalid(
            f"sample: column {feature.name!r} holds {_WORDS[feature.kind]}, the model takes {tensor.datatype}", field=feature.name
        )
    if feature.nullable and not tiltyard:
        raise Invalid(
            f"sample: column {feature.name!r} has missing values, which only a Tiltyard server can be sent: leave those rows out",
            field=feature.name,
        )
    return replace(feature, kind=kind)


_WORDS: Mapping[Kind, str] = {"float": "fractions", "int": "integers", "str": "text", "bool": "booleans"}


def _classes(told: _Metadata) -> tuple[Label, ...] | None:
    """The classes that a Tiltyard names."""
    found = next((each.parameters for each in told.outputs if each.name == "label" and each.parameters), {})
    classes = found.get("classes")
    if not isinstance(classes, list) or not classes or not all(isinstance(each, (str, int, float)) for each in classes):
        return None
    return tuple(classes)


def _ask(client: Client, described: Description, rows: Sequence[Row]) -> tuple[list[_Part], list[str]]:
    """The answers to all rows, and to how many each is; with a note where it takes one row at a time."""
    try:
        return _in_parts(client, described, rows, _ROWS), []
    except ModelFailed as error:
        return _in_parts(client, described, rows, 1), [f"asked one row at a time, since {_ROWS} at once failed: {error.message}"]


def _in_parts(client: Client, described: Description, rows: Sequence[Row], size: int) -> list[_Part]:
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    return [(ask(client, described, part), len(part)) for part in parts]


def _shown(description: Description) -> str:
    """What was found out of it, in one sentence: where it is wrong, the operator sees it."""
    taken = "one matrix" if description.matrix else "one tensor for each feature"
    means = ", ".join(f"{role} from {name!r}" for role, name in description.outputs.items())
    return f"asks {description.reference}: {taken}; {means}"
