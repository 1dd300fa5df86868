"""`tiltyard model score`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from core.errors import Invalid, Unavailable
from server.cli.options import home, json_option, show
from server.cli.progress import Meter
from server.cli.usage import wrong_usage


@click.command("score")
@click.argument("version")
@click.argument("path", metavar="IN", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, metavar="OUT", type=click.Path(path_type=Path), help="The .parquet or .csv file to write.")
@click.option("--keep", multiple=True, metavar="COLUMN", help="A column of IN that OUT has too, such as a key; may be given several times.")
@click.option(
    "--snapshot",
    "asked",
    type=click.Choice(("newest", "registered")),
    default="newest",
    help="Of a version that learns: by which state it answers.  [default: newest]",
)
@click.option("--in-batches", is_flag=True, help="Ask the model 1,000 rows at once: quicker, and figures may differ in their last digits.")
@click.option("--strict", is_flag=True, help="End at the first row that has no answer.")
@click.option("--restart", is_flag=True, help="Begin anew, whatever is scored already.")
@click.option("--progress", is_flag=True, help="Tell how far it is on standard error, also where that is no terminal.")
@json_option
def command(version: str, path: Path, output: Path, progress: bool, as_json: bool, **given: Any) -> None:
    """Let VERSION, such as credit@3 or credit@champion, answer the rows of IN (.parquet or .csv), into OUT.

    Each row is answered as a request of that row alone is; one that cannot be has the reason in the column `error`. Interrupted, the
    same command goes on.
    """
    from flows.scoring.score import Order, score
    from flows.scoring.source import ENDINGS
    from flows.scoring.subject import Place

    if output.suffix.lower() not in ENDINGS:
        wrong_usage(f"--output {output}: expected a name that ends in {' or '.join(ENDINGS)}")
    here = home()
    begun, meter = time.monotonic(), Meter(always=progress)
    try:
        found = score(Place(here.store, here.blobs, here.snapshot_key, here.remotes), Order(version, path, output, **given), meter.tell)
    except KeyboardInterrupt:
        raise Unavailable("interrupted; the same command goes on where the last part of the output ended") from None
    finally:
        meter.end()
    show({**found, "seconds": round(time.monotonic() - begun, 3)}, _text(found), as_json=as_json)
    if found["rows"] and not found["answered"]:
        raise Invalid(f"none of the rows could be answered; the first: {found['first_error']['error']}")


def _text(found: dict[str, Any]) -> str:
    by = found["version"] + (f", snapshot {found['snapshot']}" if found["snapshot"] else "")
    from_there = f" ({found['resumed_at']:,} of them were scored before)" if found["resumed_at"] else ""
    lines = [f"{found['output']}: {found['rows']:,} rows by {by}{from_there}"]
    if found["first_error"] is not None:
        counts = ", ".join(f"{count:,} {code}" for code, count in found["errors"].items() if count)
        lines.append(f"  without an answer: {counts}; the first is row {found['first_error']['row']}, {found['first_error']['error']}")
    return "\n".join(lines)
