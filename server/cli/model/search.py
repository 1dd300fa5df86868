"""`tiltyard model search`."""

from __future__ import annotations

from typing import Any

import click

from server.cli.options import home, json_option, show, table
from server.cli.usage import options_as_given

_FIGURES = 4
"""Metrics that a line shows."""


@click.command("search", context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("terms", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--sort", default="-registered", metavar="KEY", help="registered, model or a figure; a minus in front: downwards.", show_default=True
)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most versions to show.")
@click.option("--after", metavar="NEXT", help="Go on where the page before ended.")
@json_option
def command(terms: tuple[str, ...], sort: str, limit: int, after: str | None, as_json: bool) -> None:
    """Find versions: tiltyard model search "task:classification auc>0.9 tag:fraud -state:retired"

    TERMS are joined by and. field:value asks for a tag, owner, licence, task, runtime, remote, feature, parent, by, data, commit,
    state, alias or model; figures are compared (auc>0.9, metric.auc>=0.9, param.max_depth=5), as is the time (registered>2026-05-01);
    a word is looked for in names, descriptions and tags. A minus negates a term. Quote the whole: the shell takes > for itself.
    """
    from flows.registry import searching

    here = home()
    with options_as_given():
        found = searching.search_versions(here.store, " ".join(terms), sort, limit, after)
    lines = [table([*map(_line, found["versions"])], ("version", "state", "aliases", "task", "metrics", "owner", "at"))]
    if found["next"] is not None:
        lines.append(f"there are more: --after {found['next']}")
    show(found, "\n".join(lines) if found["versions"] else "No version is found.", as_json=as_json)


def _line(found: dict[str, Any]) -> dict[str, Any]:
    about = found["about"]
    figures = [f"{name}={value:g}" for name, value in list(about.get("metrics", {}).items())[:_FIGURES]]
    aliases, metrics = (", ".join(each) or None for each in (found["aliases"], figures))
    return {**found, "aliases": aliases, "metrics": metrics, "owner": about.get("owner")}
