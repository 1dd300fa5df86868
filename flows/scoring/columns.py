"""The columns of the output: which there are, and how answers become them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa

from core.errors import Invalid, ModelFailed
from core.values import Label
from flows.scoring.subject import Answer
from models.card import Card
from models.signature import Kind

ROW, LABEL, VALUE, ERROR = "row", "label", "value", "error"
PROBABILITY = "probability_"

_TYPES: Mapping[Kind, Any] = {"float": pa.float64(), "int": pa.int64(), "str": pa.string(), "bool": pa.bool_()}
_READERS: Mapping[Kind, Callable[[Label], Label | None]] = {
    "float": float,
    "int": lambda label: int(label) if -(2**63) <= float(label) < 2**63 else None,
    "bool": bool,
}
_KINDS: Mapping[type, Kind] = {float: "float", int: "int", str: "str", bool: "bool"}

Table: TypeAlias = Any
"""An Arrow table: pyarrow has no types."""


class Columns(NamedTuple):
    """The output of a version: `kept` are Arrow fields; `said` is `label` of this kind, or `value`.

    Probabilities have a column for each class that was met, the classes that the signature knows first.
    """

    kept: Sequence[Any]
    said: str
    kind: Kind
    classes: Sequence[str]

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
            self.said: [None if value is None else self._plain(value) for value in said],
            ERROR: [answer.error for answer in answers],
        }
        columns = {field.name: pa.chunked_array([chunk[place] for chunk in kept], field.type) for place, field in enumerate(self.kept)}
        for field in schema:
            if field.name in found:
                columns[field.name] = pa.array(found[field.name], field.type)
            elif field.name not in columns:
                columns[field.name] = pa.array([row.get(field.name.removeprefix(PROBABILITY)) for row in shares], field.type)
        return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)

    def _plain(self, value: Label) -> Label:
        """A label of the column's kind; text as it would stand in JSON."""
        if self.kind == "str":
            return str(value).lower() if isinstance(value, bool) else str(value)
        try:
            found = _READERS[self.kind](value)
        except (ValueError, OverflowError):
            found = None
        if found != value:
            raise ModelFailed(f"the model answered the label {value!r:.60}, which is none of the kind {self.kind} that its card names")
        return found


def columns_of(card: Card, kept: Sequence[Any]) -> Columns:
    """The columns of a version's output; raises Invalid where a kept column would take the place of another."""
    for place, field in enumerate(kept):
        if field.name in (other.name for other in kept[:place]):
            raise Invalid(f"keep: column {field.name!r} is named twice", field="keep")
        if field.name in (ROW, LABEL, VALUE, ERROR) or field.name.startswith(PROBABILITY):
            raise Invalid(f"keep: the output has a column {field.name!r} of its own", field="keep")
    if card.task != "classification":
        return Columns(kept, VALUE, "float", ())
    classes = card.signature.classes or ()
    kinds = {_KINDS[type(label)] for label in classes}
    known = None if card.river is None else card.river.label
    return Columns(kept, LABEL, kinds.pop() if len(kinds) == 1 else known or "str", tuple(map(str, classes)))
