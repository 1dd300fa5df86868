"""Load a table that was computed offline as the next generation of a batch view: read → check → write the file → move the generation.

Nothing is served before the file is whole and durable, and then all of it at once. A load that fails leaves what is served as it was; a
file that never came to be served is nobody's, and housekeeping deletes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from core.errors import Conflict, Invalid, Unavailable
from core.values import Value
from flows import known
from flows.views.features import check_endpoints, check_same_key, decode_view, describe
from models import sample
from models.features import table
from models.features.declaration import Batch, View, check
from models.features.table import key_text, path_of
from models.signature import Kind, infer
from routing.changes import Who
from store import audit, views
from store.engine import Store
from store.views import ViewRow


class Load(NamedTuple):
    """What is to be loaded, and how it is served from now on: what is None stays as it was declared. `as_of`: when the table was true."""

    view: str
    path: Path
    key: str
    as_of: float | None = None
    endpoints: tuple[str, ...] | None = None
    max_age_seconds: float | None = None
    on_stale: Literal["default", "error"] | None = None
    defaults: Mapping[str, str] | None = None


def load(store: Store, directory: Path, order: Load, who: Who) -> dict[str, Any]:
    """Make the table the view's next generation, and declare the view where this is its first; returns what `describe` shows.

    Raises NotFound for an endpoint, Conflict where the view is a stream, is keyed otherwise or was loaded meanwhile, Malformed or Invalid
    naming the column and the row where the file will not do, and Unavailable where the generation cannot be written.
    """
    with store.read() as connection:
        row = views.find(connection, order.view)
    before = _before(order, row)
    columns = _columns(order, before)
    keys = _keys(columns.pop(order.key), order.key)
    declared = _declare(order, before, columns)
    as_of = who.at if order.as_of is None else order.as_of
    if as_of > who.at:
        raise Invalid("as-of: expected a time that is not in the future", field="as_of")
    with store.read() as connection:
        check_endpoints(connection, declared)
    generation = _next(directory, order.view, 0 if row is None else row.generation)
    path, body = path_of(directory, order.view, generation), known.encode(declared)
    try:
        table.create(path, declared.features, _rows(keys, declared, columns), {"as_of": as_of, "rows": len(keys), "view": body})
    except OSError as error:
        raise Unavailable(f"view: {path} cannot be written: {error.strerror or error}", field="view", code="view-not-written") from None
    made = ViewRow(order.view, who.at, who.by, body, generation, as_of)
    _swap(store, row, made, who, len(keys))
    if row is not None and row.generation:
        _supersede(path_of(directory, order.view, row.generation))
    return describe(directory, made, who.at)


def _before(order: Load, row: ViewRow | None) -> View:
    """The view as it was declared, or as the first load begins it."""
    if row is None:
        return View(view=order.view, key=order.key, source=Batch())
    view = decode_view(row.body)
    if not isinstance(view.source, Batch):
        raise Conflict(f"view {order.view} is computed from a stream: nothing can be loaded into it", field="view", code="view-is-stream")
    check_same_key(view, order.key)
    return view


def _columns(order: Load, before: View) -> dict[str, list[Value]]:
    """The file's columns. Keys, and what was declared a text, are read as they are written: 007 is not 7."""
    kinds = _kinds(before)
    texts = {order.key, *(name for name, kind in kinds.items() if kind == "str")}
    with sample.said_of("file"):
        found = dict(sample.read(order.path, texts).columns)
    if order.key not in found:
        raise Invalid(f"key: {order.path.name} has no column {order.key!r}; it has {', '.join(found)}", field="key")
    if len(found) == 1:
        raise Invalid(f"file: {order.path.name} has no column beside the key {order.key!r}", field="file")
    _check_finite(found)
    return found


def _check_finite(columns: Mapping[str, Sequence[Value]]) -> None:
    for name, values in columns.items():
        for number, value in enumerate(values, 1):
            if isinstance(value, float) and not isfinite(value):
                raise Invalid(f"{name}: row {number} holds {value}; numbers must be finite, missing ones empty", field=name)


def _keys(values: Sequence[Value], name: str) -> list[str]:
    """The text of every row's key; raises Invalid where one is missing or comes again."""
    first: dict[str, int] = {}
    for number, value in enumerate(values, 1):
        if not isinstance(value, str | int | float | None):
            raise Invalid(f"{name}: row {number} has a key of {type(value).__name__}; expected a text or a number", field=name)
        key = key_text(value)
        if key is None:
            raise Invalid(f"{name}: row {number} has no key", field=name)
        if key in first:
            raise Invalid(f"{name}: row {number} has the key {key[:60]!r} that row {first[key]} has", field=name)
        first[key] = number
    return list(first)


def _declare(order: Load, before: View, columns: Mapping[str, list[Value]]) -> View:
    """The view as it is from now on; raises Invalid where the columns are not those that it had."""
    with sample.said_of("file"):
        inferred = {feature.name: feature.kind for feature in infer(columns)}
    kinds = _compatible(_kinds(before), inferred, columns)
    changed: dict[str, Any] = {
        "endpoints": order.endpoints,
        "max_age_seconds": order.max_age_seconds,
        "on_stale": order.on_stale,
        "defaults": None if order.defaults is None else {name: _default(name, text, kinds) for name, text in order.defaults.items()},
    }
    return check(replace(before, source=Batch(kinds), **{name: value for name, value in changed.items() if value is not None}))


def _compatible(before: Mapping[str, Kind], found: Mapping[str, Kind], columns: Mapping[str, Sequence[Value]]) -> dict[str, Kind]:
    """The kind of each column: an integer here and a float there make a float, and a column without any value can be of each."""
    if before and before.keys() != found.keys():
        missing, more = sorted(before.keys() - found.keys()), sorted(found.keys() - before.keys())
        said = " and ".join([f"lacks {', '.join(missing)}"] * bool(missing) + [f"has {', '.join(more)} beside them"] * bool(more))
        raise Invalid(f"file: expected the columns that the view has; it {said}", field=(missing or more)[0])
    return {name: _kind(name, before.get(name), kind, columns[name]) for name, kind in found.items()}


def _kind(name: str, before: Kind | None, found: Kind, values: Sequence[Value]) -> Kind:
    if before is None or before == found:
        return found
    if {before, found} == {"int", "float"} and any(value is not None for value in values):
        return "float"
    if all(value is None for value in values):
        return before
    raise Invalid(f"{name}: expected a column of {before}, as the view has it, got one of {found}", field=name)


def _default(name: str, text: str, kinds: Mapping[str, Kind]) -> Value:
    """The value that a text says of a column; of another one `check` speaks."""
    kind = kinds.get(name)
    readers: dict[Kind | None, Any] = {"int": int, "float": float, "bool": {"true": True, "false": False}.__getitem__}
    try:
        found: Value = readers.get(kind, str)(text)
    except (ValueError, KeyError):
        raise Invalid(f"default: expected a value of {kind} for {name}, got {text[:60]!r}", field=name) from None
    return found


def _kinds(view: View) -> Mapping[str, Kind]:
    return view.source.columns if isinstance(view.source, Batch) else {}


def _rows(keys: Sequence[str], view: View, columns: Mapping[str, Sequence[Value]]) -> Iterator[tuple[str, Sequence[Value]]]:
    floats = {name for name, kind in _kinds(view).items() if kind == "float"}
    ordered: list[Iterable[Value]] = [
        [None if value is None else float(value) for value in columns[name]] if name in floats else columns[name] for name in view.features
    ]
    return zip(keys, zip(*ordered, strict=True), strict=True)


def _next(directory: Path, view: str, generation: int) -> int:
    """The next number; past those of loads that never came to be served."""
    parts = [path.name.removeprefix(f"{view}.g").removesuffix(".db") for path in directory.glob(f"{view}.g*.db")]
    return 1 + max([generation, *(int(part) for part in parts if part.isdecimal())])


def _swap(store: Store, before: ViewRow | None, made: ViewRow, who: Who, rows: int) -> None:
    with store.write() as connection:
        if views.find(connection, made.view) != before:
            raise Conflict(f"view {made.view} was changed while this table was read: load it again", code="view-changed")
        check_endpoints(connection, decode_view(made.body))
        views.save(connection, made)
        audit.write(connection, who.at, who.by, "feature.load", made.view, generation=made.generation, rows=rows, reason=who.reason)


def _supersede(path: Path) -> None:
    """Its time says from now on since when it is not served any more: housekeeping goes by that."""
    with suppress(FileNotFoundError):
        os.utime(path)
