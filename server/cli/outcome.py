"""`tiltyard outcome import`."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import click

from core.errors import Invalid, Malformed
from flows.outcome import LABEL, Accepted, Desk, OutcomePost, accept
from server.cli.options import home, json_option, show
from server.home import clock

_COLUMNS = ("prediction_id", "endpoint", "unit", "metric", "value", "id", "timestamp")
_BATCH = 500


@click.group("outcome")
def command() -> None:
    """Bring outcomes in."""


@command.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@json_option
def import_file(path: Path, as_json: bool) -> None:
    """Import outcomes from a CSV file with the columns metric, value, and prediction_id or endpoint and unit; id and timestamp if known.

    The whole file is checked before anything is stored. Give each row an id: then importing a file twice counts it once.
    """
    from journal.writer import Writer
    from store import plans

    here = home()
    posts = list(_read(path))
    with here.store.read() as connection:
        endpoints = set(plans.current_numbers(connection))
    accept(posts, Desk(lambda _: _nowhere(), clock, endpoints, len(posts))) if posts else None
    writer = Writer(here.journal)
    try:
        total = Accepted(0, 0)
        for start in range(0, len(posts), _BATCH):
            found = accept(posts[start : start + _BATCH], Desk(writer.append, clock, endpoints, _BATCH))
            total = Accepted(total.accepted + found.accepted, total.duplicates + found.duplicates)
    finally:
        writer.close()
    show(total, f"{total.accepted} outcomes accepted, {total.duplicates} duplicates within the file", as_json=as_json)
