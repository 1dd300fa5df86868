"""`tiltyard outcome import`."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from core.errors import Invalid, Malformed, NotFound
from core.events import Observed
from experiments.metric import LABEL
from flows import outcome
from flows.outcome import OutcomePost
from server.cli.options import home, json_option, show
from server.decoding import convert
from server.home import clock

_COLUMNS = OutcomePost.__struct_fields__
_NEEDED = ("metric", "value")


@click.group("outcome")
def command() -> None:
    """Bring outcomes in."""


@command.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@json_option
def import_file(path: Path, as_json: bool) -> None:
    """Import outcomes from the CSV file PATH.

    Its columns: metric, value, and prediction_id or endpoint and unit; id and timestamp where known. The whole file is checked before
    anything is stored. Give each row an id: then importing a file twice counts it once.
    """
    from journal.writer import Writer
    from store import plans

    here = home()
    with here.store.read() as connection:
        endpoints = set(plans.current_numbers(connection))
    observed = list(_read(path, endpoints, clock()))
    writer = Writer(here.journal)
    try:
        total = outcome.append(observed, writer.append)
    finally:
        writer.close()
    show(total, f"{total.accepted} outcomes accepted, {total.duplicates} duplicates within the file", as_json=as_json)


def _read(path: Path, endpoints: set[str], now: float) -> Iterator[Observed]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _check_header(path, reader.fieldnames or ())
            for row in reader:
                try:
                    yield outcome.check(_post(row), now, endpoints)
                except Invalid as error:
                    raise Invalid(f"{path}, line {reader.line_num}: {error.message}", field=error.field) from None
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file", field="path") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Malformed(f"{path}: cannot be read as CSV: {error}", field="path") from None


def _check_header(path: Path, given: Sequence[str]) -> None:
    for name in given:
        if name not in _COLUMNS:
            raise Invalid(f"{path}: no column is called {name[:60]!r}: expected some of {', '.join(_COLUMNS)}", field="columns")
    missing = [name for name in _NEEDED if name not in given]
    if missing:
        raise Invalid(f"{path}: the column {missing[0]} is missing: expected {', '.join(_NEEDED)} and others", field="columns")


def _post(row: dict[str, Any]) -> OutcomePost:
    if None in row:
        raise Invalid("more cells than the header has columns", field="columns")
    given = {name: text for name, text in row.items() if text not in (None, "")}
    return convert({**given, "value": _value(given.get("metric"), given.get("value", ""))}, OutcomePost)


def _value(metric: object, text: str) -> float | int | str | bool:
    """A label may be a text; its type is read as in JSON, so that it equals what the model answers."""
    try:
        found: float | int | str | bool = msgspec.json.decode(text.strip(), type=float | int | bool)
    except msgspec.MsgspecError:
        found = {"True": True, "False": False}.get(text, text)
    if isinstance(found, str) and metric != LABEL:
        raise Invalid(f"value: expected a number, got {text[:60]!r}", field="value")
    return found
