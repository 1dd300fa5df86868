"""`tiltyard feature load`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from server.cli.options import duration, home, json_option, show, who
from server.cli.usage import options_as_given


@click.command("load")
@click.argument("view")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--key", required=True, metavar="COLUMN", help="The column that names the entities, such as user_id.")
@click.option("--endpoint", "endpoints", multiple=True, help="Fill the features in at this endpoint; may be given several times.")
@click.option("--max-age", "max_age_seconds", callback=duration, metavar="TIME", help="How old the features may get, such as 1d.")
@click.option(
    "--on-stale", type=click.Choice(("default", "error")), help="What older ones give: the defaults, or an error.  [default: default]"
)
@click.option(
    "--default", "defaults", multiple=True, metavar="NAME=VALUE", help="What a feature is where nothing is known.  [default: null]"
)
@click.option("--as-of", metavar="TIME", help="When the table was true, such as 2026-05-03T12:00:00Z.  [default: now]")
@json_option
def command(path: Path, endpoints: tuple[str, ...], defaults: tuple[str, ...], as_of: str | None, as_json: bool, **given: Any) -> None:
    """Load the table FILE (.csv or .parquet) as the next generation of the view VIEW: one row for each entity.

    The first load declares the view; later ones need the same columns, and what they say anew holds from then on.
    """
    from core.clock import from_rfc3339
    from flows.views import load_features
    from flows.views.load_features import Load

    with options_as_given():
        moment = None if as_of is None else from_rfc3339(as_of, "--as-of")
    order = Load(path=path, as_of=moment, endpoints=endpoints or None, defaults=_pairs(defaults) or None, **given)
    here = home()
    found = load_features.load(here.store, here.views, order, who())
    where = ", ".join(found["endpoints"]) if found.get("endpoints") else "no endpoint yet: name one with --endpoint"
    text = f"view {found['view']}: generation {found['generation']}, {found['rows']} entities, served at {where}"
    show(found, text, as_json=as_json)


def _pairs(given: Sequence[str]) -> dict[str, str]:
    """`age=0` → its text, by name."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals) or name in found:
            raise click.UsageError(f"--default {text}: expected NAME=VALUE, each name once")
        found[name] = value
    return found
