"""`tiltyard model learner` and `tiltyard model learn`: a learner as people see it, and files of examples for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from core.errors import Invalid
from core.events import Example
from core.ids import check_name
from server.cli.options import home, json_option, show, table, who
from server.home import clock

_CHUNK = 1000
"""Examples written between two steps of the progress bar."""
_NOT_LEARNT = ("late", "duplicates", "unknown", "expired", "unfit", "quarantined")


@click.command("learner")
@click.argument("name")
@click.option("--rollback", metavar="VERSION", help="Go on from this version, which the learner has kept, such as churn@17.")
@click.option("--stop", is_flag=True, help="Let it rest; its newest snapshot is served on.")
@click.option("--start", is_flag=True, help="Let it go on from there.")
@json_option
def learner(name: str, rollback: str | None, stop: bool, start: bool, as_json: bool) -> None:
    """Show the learner of NAME, such as churn (its newest version that learns) or churn@1; or give it an order."""
    from flows import learner as flow

    if (rollback is not None) + stop + start > 1:
        raise click.UsageError("--rollback, --stop, --start: give at most one of them")
    here = home()
    if rollback is not None:
        done = flow.rollback(here.store, here.journal, name, rollback, who())
        show(done, f"{done['version']} goes on from {done['to']}", as_json=as_json)
    elif stop:
        done = flow.stop(here.store, name, who())
        show(done, f"the learner of {done['version']} rests", as_json=as_json)
    elif start:
        done = flow.start(here.store, here.journal, name, who())
        show(done, f"the learner of {done['version']} goes on", as_json=as_json)
    else:
        found = flow.show(here.store, here.journal, name, clock)
        show(found, "\n".join(_page(found)), as_json=as_json)


@click.command("learn")
@click.argument("model")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--label", required=True, metavar="COLUMN", help="The column of true values.")
@click.option("--id", "key", metavar="COLUMN", help="A column that names each row: then a file that is given twice is learnt once.")
@json_option
def learn(model: str, path: Path, label: str, key: str | None, as_json: bool) -> None:
    """Teach the learners of MODEL the rows of PATH, a CSV or Parquet file.

    The whole file is checked before anything is stored; the rows are durable when this returns. Columns that the model does not
    take are left out. Ids are taken as they are written (007 is not 7), and every row needs one where --id is given.
    """
    from flows import teach
    from flows.teach import Takers
    from journal.writer import Writer

    here = home()
    takers = Takers(here.store)
    takers.refresh()
    examples = list(_read(path, check_name(model, "model"), takers.of(model), label, key))
    writer = Writer(here.journal)
    try:
        total = teach.append(_shown(examples), writer.append)
    finally:
        writer.close()
    show(total, f"{total.accepted} examples accepted, {total.duplicates} duplicates within the file", as_json=as_json)


def _read(path: Path, model: str, taker: Any, label: str, key: str | None) -> Iterator[Example]:
    from flows import teach
    from flows.teach import ExamplePost
    from models import sample

    texts = {feature.name for feature in taker.inputs.features if feature.kind == "str"}
    if taker.label == "str":
        texts.add(label)
    with sample.said_of("path"):
        columns = sample.read(path, texts).columns
        # Read for themselves: a column may be both, a number to the model and the text that names a row.
        keys = None if key is None else sample.read(path, {key}).columns.get(key)
    for option, column in (("label", label), ("id", key)):
        if column is not None and column not in columns:
            raise Invalid(f"{option}: {path} has no column {column!r}", field=option)
    at = clock()
    given = {name: columns[name] for name in taker.inputs.names if name in columns}
    for number, truth in enumerate(columns[label]):
        try:
            row = {name: values[number] for name, values in given.items()}
            post = ExamplePost(row, _label(truth), None if keys is None else _id(keys[number]))
            yield teach.check(post, model, taker, at)
        except Invalid as error:
            raise Invalid(f"{path}, row {number + 1}: {error.message}", field=error.field) from None


def _label(value: Any) -> Any:
    if value is None:
        raise Invalid("label: it is missing", field="label")
    if not isinstance(value, str | int | float):
        raise Invalid(f"label: expected a number, a text, true or false, got {type(value).__name__}", field="label")
    return value


def _id(value: Any) -> str:
    from models.features.table import key_text

    found = key_text(value) if isinstance(value, str | int | float | None) else str(value)
    if found is None:
        raise Invalid("id: it is missing; with --id every row needs one, or it would be learnt again with the file", field="id")
    return found


def _shown(examples: list[Example]) -> Iterator[Example]:
    """The same, with a progress bar for who looks at it."""
    if not sys.stderr.isatty():
        yield from examples
        return
    with click.progressbar(length=len(examples), label="writing", file=sys.stderr) as bar:
        for number, example in enumerate(examples, 1):
            yield example
            if number % _CHUNK == 0 or number == len(examples):
                bar.update(min(_CHUNK, (number - 1) % _CHUNK + 1))


def _page(found: Mapping[str, Any]) -> list[str]:
    stale = found["staleness_seconds"]
    applied = "every worker keeps up" if found["applied"] else "not every worker keeps up"
    lines = [
        f"{found['version']}  {found['state']}: {found['labels']} labels learnt, snapshot {found['snapshot']} ({applied})",
        f"  staleness: {'unknown' if stale is None else f'{stale:.2f} s'}",
        f"  labels that were not learnt: {', '.join(f'{found[reason]} {reason}' for reason in _NOT_LEARNT)}",
        *([f"  {found['forced']} labels were of answers that an operator had forced"] if found["forced"] else []),
        f"  drift: {_drift(found['drift'])}",
        *([f"  {found['reason']}"] if found.get("reason") else []),
        *([f"  gap: {found['gap']}"] if found.get("gap") else []),
        "",
        table(_scores(found), ("answers", "labels", "metric", "since start", "rolling")),
    ]
    if found["quarantine"]:
        lines += ["", table(found["quarantine"], ("at", "segment", "offset", "reason"))]
    if found["kept"]:
        lines += ["", table(found["kept"], ("version", "snapshot", "labels", "at"))]
    return lines


def _scores(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of the learner, asked before it learns each row, and of the answers as they were served."""
    said = {"before learning": found, **{f"as served by {place}": one for place, one in found["served"].items()}}
    return [
        {
            "answers": name,
            "labels": one.get("scored", {}).get(metric, one["labels"]),
            "metric": metric,
            "since start": score,
            "rolling": one["rolling"].get(metric),
        }
        for name, one in said.items()
        for metric, score in one["scores"].items()
    ]


def _drift(drift: Mapping[str, Any]) -> str:
    if not drift.get("detector"):
        return "not looked for"
    last = drift.get("last")
    when = f", the last after {last.get('labels', last.get('label'))} labels" if last else ""
    return f"{drift.get('detections', 0)} detected by {drift['detector']}{when}"
