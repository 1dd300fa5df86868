"""`tiltyard outcome import`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import click
import msgspec

from core.errors import Invalid, Malformed, NotFound
from flows import outcome
from flows.outcome import LABEL, Accepted, Desk, OutcomePost
from server.cli.options import home, json_option, show
from server.decoding import convert
from server.home import clock

_BATCH = 1000


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
    posts = _read(path)
    with here.store.read() as connection:
        endpoints = set(plans.current_numbers(connection))
    outcome.check(posts, clock(), endpoints)
    writer = Writer(here.journal)
    total = Accepted(0, 0)
    try:
        for start in range(0, len(posts), _BATCH):
            found = outcome.accept(posts[start : start + _BATCH], Desk(writer.append, clock, endpoints, _BATCH))
            total = Accepted(total.accepted + found.accepted, total.duplicates + found.duplicates)
    finally:
        writer.close()
    show(total, f"{total.accepted} outcomes accepted, {total.duplicates} duplicates within the file", as_json=as_json)


def _read(path: Path) -> list[OutcomePost]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"metric", "value"} - set(reader.fieldnames or ())
            if missing:
                raise Invalid(f"{path}: expected the columns metric and value, {', '.join(sorted(missing))} missing", field="columns")
            return [_post(row, f"{path}, line {reader.line_num}") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        kind = NotFound if isinstance(error, FileNotFoundError) else Malformed
        raise kind(f"{path}: cannot be read as CSV: {error}") from None


def _post(row: dict[str, Any], where: str) -> OutcomePost:
    given = {name: text for name, text in row.items() if text not in (None, "")}
    try:
        return convert({**given, "value": _value(given.get("metric"), given.get("value", ""))}, OutcomePost)
    except Invalid as error:
        raise Invalid(f"{where}: {error.message}", field=error.field) from None


def _value(metric: object, text: str) -> float | int | str | bool:
    """A label may be a text; its type is read as in JSON, so that it equals what the model answers."""
    try:
        found: float | int | str | bool = msgspec.json.decode(text.strip(), type=float | int | bool)
    except msgspec.MsgspecError:
        found = {"True": True, "False": False}.get(text, text)
    if isinstance(found, str) and metric != LABEL:
        raise Invalid(f"value: expected a number, got {text[:60]!r}", field="value")
    return found
