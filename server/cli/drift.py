"""`tiltyard endpoint drift`: is what is served what the versions were trained on?"""

from __future__ import annotations

import click

from server.cli.options import home, json_option, show


@click.command("drift")
@click.argument("endpoint")
@click.option("--all", "whole", is_flag=True, help="Show every column, and not only alarms and the strongest few.")
@click.option(
    "--windows", default=10, show_default=True, type=click.IntRange(1, 200), help="In how many of the newest windows alarms are listed."
)
@json_option
def command(endpoint: str, whole: bool, windows: int, as_json: bool) -> None:
    """Compare what ENDPOINT is asked and answers with the samples of its versions: features, predictions, labels, performance."""
    from experiments.drift.table import table
    from flows.watching import report
    from flows.watching.windows import measures

    here = home()
    found = report.report(here.store, endpoint, measures(here.settings), windows)
    show(found, table(found, whole=whole), as_json=as_json)
