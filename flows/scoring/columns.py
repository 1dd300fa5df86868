"""The columns of the output: which there are, and how answers become them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
import pyarrow as pa

from core.errors import Invalid, ModelFailed
from core.values import Label
from flows.scoring.subject import Answer
from models.card import Card
from models.signature import Kind

ROW, LABEL, VALUE, ERROR = "row", "label", "value", "error"
PROBABILITY = "probability_"

Said: TypeAlias = Kind | Literal["json"]
"""What a column of answers holds; `json`: of each the JSON text that is answered online."""

_TYPES: Mapping[Said, Any] = {"float": pa.float64(), "int": pa.int64(), "str": pa.string(), "bool": pa.bool_(), "json": pa.string()}
_KINDS: Mapping[type, Kind] = {float: "float", int: "int", str: "str", bool: "bool"}

Table: TypeAlias = Any
"""An Arrow table: pyarrow has no types."""


class Columns(NamedTuple):
    """The output of a version: `kept` are Arrow fields; `said` is `label` or `value`, of this kind.

    Probabilities have a column for each class that was met, the classes that the signature knows first. Labels of parts are `json`: of what
    kind all are is known when the last one is (see `settled`). `unmet` is the kind where there is none.
    """

    kept: Sequence[Any]
    said: str
    kind: Said
    classes: Sequence[str]
    unmet: Kind

    def schema(self, met: Sequence[str]) -> Any:
        """The Arrow schema of rows in which these classes were met."""
        ordered = [*(name for name in self.classes if name in met), *(name for name in met if name not in self.classes)]
        probabilities = [pa.field(PROBABILITY + name, pa.float64()) for name in ordered]
        said = pa.field(self.said, _TYPES[self.kind])
        return pa.schema([pa.field(ROW, pa.int64()), *self.kept, said, *probabilities, pa.field(ERROR, pa.string())])

    def table(self, first: int, answers: Sequence[Answer], kept: Sequence[Sequence[Any]]) -> Table:
        """The rows from number `first` on; `kept` has by chunk an Arrow array for each kept column."""
        outputs = [answer.output for answer in answers]
        shares = [output.probabilities if output and isinstance(output.probabilities, dict) else {} for output in outputs]
        schema = self.schema(list(dict.fromkeys(name for row in shares for name in row)))
        said = [None if output is None else getattr(output, self.said) for output in outputs]
        found = {
            ROW: range(first, first + len(answers)),
            self.said: list(map(_json, said)) if self.said == LABEL else said,
            ERROR: [answer.error for answer in answers],
        }
        columns = {field.name: pa.chunked_array([chunk[place] for chunk in kept], field.type) for place, field in enumerate(self.kept)}
        for field in schema:
            if field.name in found:
                columns[field.name] = pa.array(found[field.name], field.type)
            elif field.name not in columns:
                columns[field.name] = pa.array([row.get(field.name.removeprefix(PROBABILITY)) for row in shares], field.type)
        return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)

    def settled(self, labels: Iterable[str]) -> Columns:
        """The same with the kind that all `labels` are of, JSON texts as parts have them; they stay `json` where they are of several."""
        return self if self.said == VALUE else self._replace(kind=_kind(labels, self.unmet))

    def read(self, column: Any) -> Any:
        """An Arrow column of a part's labels, of the kind that is settled."""
        if self.kind == "json":
            return column
        return pa.array([None if text is None else msgspec.json.decode(text) for text in column.to_pylist()], _TYPES[self.kind])


def _json(label: Label | None) -> str | None:
    try:
        return None if label is None else msgspec.json.encode(label).decode()
    except UnicodeEncodeError:
        raise ModelFailed(f"the model answered the label {label!r:.60}, which is no text that can be written") from None


def _kind(labels: Iterable[str], unmet: Kind) -> Said:
    found = [msgspec.json.decode(text) for text in labels]
    kinds = {_KINDS[type(label)] for label in found}
    if len(kinds) > 1 or (kinds == {"int"} and not all(-(2**63) <= label < 2**63 for label in found)):
        return "json"
    return kinds.pop() if kinds else unmet


def columns_of(card: Card, kept: Sequence[Any]) -> Columns:
    """The columns of a version's output; raises Invalid where a kept column would take the place of another."""
    for place, field in enumerate(kept):
        if field.name in (other.name for other in kept[:place]):
            raise Invalid(f"keep: column {field.name!r} is named twice", field="keep")
        if field.name in (ROW, LABEL, VALUE, ERROR) or field.name.startswith(PROBABILITY):
            raise Invalid(f"keep: the output has a column {field.name!r} of its own", field="keep")
    if card.task != "classification":
        return Columns(kept, VALUE, "float", (), "float")
    classes = card.signature.classes or ()
    kinds = {_KINDS[type(label)] for label in classes}
    return Columns(kept, LABEL, "json", tuple(map(str, classes)), kinds.pop() if len(kinds) == 1 else "str")
