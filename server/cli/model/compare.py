"""`tiltyard model compare`."""

from __future__ import annotations

import click

from server.cli.options import home, json_option, show
from server.home import clock


@click.command("compare")
@click.argument("left")
@click.argument("right", required=False)
@json_option
def command(left: str, right: str | None, as_json: bool) -> None:
    """Compare two versions, such as credit@1 and credit@2: cards, signatures, batch tests, live metrics, agreement as a shadow.

    With a name alone: the model's champion and challenger, else the endpoint's control and the arm beside it.
    """
    from flows.comparing import compare
    from server.cli.model.compared import text

    if right is None and "@" in left:
        raise click.UsageError(f"{left}: expected a second version, or a name alone such as credit")
    here = home()
    pair = compare.sides(here.store, left) if right is None else (left, right)
    found = compare.compare(here.store, here.journal, *pair, clock)
    show(found, text(found), as_json=as_json)
