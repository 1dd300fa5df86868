"""`tiltyard feature training-set`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from server.cli.options import home, json_option, show_warned
from server.cli.usage import time_range, wrong_usage


@click.command("training-set")
@click.argument("endpoint")
@click.option("-o", "--output", "path", required=True, metavar="FILE", type=click.Path(path_type=Path), help="The .parquet file to write.")
@click.option("--from", "start", metavar="TIME", help="Predictions from this time on, such as 2026-05-03T12:00:00Z.")
@click.option("--to", "end", metavar="TIME", help="Predictions before this time.")
@click.option("--labelled-only", is_flag=True, help="Only rows whose true value is known.")
@json_option
def command(endpoint: str, path: Path, start: str | None, end: str | None, labelled_only: bool, as_json: bool) -> None:
    """Write what ENDPOINT has predicted as a training set: features as they were served, answers, and labels.

    It is read from the journal, so no row knows more than its prediction knew; it reaches back as far as the journal does.
    """
    from flows.views import training_set
    from flows.views.training_set import Source, Wanted

    if path.suffix.lower() != ".parquet":
        wrong_usage(f"--output {path}: expected a name that ends in .parquet")
    begin, stop = time_range(start, end)
    times = {name: given for name, given in (("start", begin), ("end", stop)) if given is not None}
    here = home()
    hidden = as_json or not sys.stderr.isatty()
    with click.progressbar(length=training_set.size_of(here.journal), label="reading the journal", file=sys.stderr, hidden=hidden) as bar:
        source = Source(here.store, here.journal, bar.update)
        found = training_set.write(source, Wanted(endpoint, labelled_only=labelled_only, **times), path)
    show_warned(found, f"{path}: {found['rows']} rows, {found['labelled']} with a label", _warnings(found, times), as_json=as_json)


def _warnings(found: dict[str, Any], times: dict[str, float]) -> list[str]:
    """A journal that has expired in part does not hold all that was predicted."""
    from core.clock import from_rfc3339

    if not found["journal_expired"] or found["journal_from"] is None:
        return []
    if times.get("start", float("-inf")) >= from_rfc3339(found["journal_from"]):
        return []
    return [f"the journal reaches back to {found['journal_from']}: what was predicted before has expired"]
