"""`tiltyard feature`: declare feature views, load tables into them, see what they hold, write training sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from server.cli.lazy import Lazy
from server.cli.options import home, json_option, show, table, who
from server.home import Home, clock

_COLUMNS = ("view", "key", "endpoints", "kind", "features", "generation", "rows", "age_seconds")


@click.group("feature", cls=Lazy, modules={"load": "server.cli.feature_load", "training-set": "server.cli.feature_training_set"})
def command() -> None:
    """Features that the server knows itself: aggregates of streams of events, and tables computed offline."""


@command.command("declare")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--reason", default="by command line", help="Why; kept in the audit log.")
@json_option
def declare(file: Path, reason: str, as_json: bool) -> None:
    """Declare the view that the JSON FILE describes, or declare it anew."""
    import msgspec

    from flows.views import view as views
    from models.features.declaration import View
    from server.decoding import decode

    found = views.declare(_desk(home()), decode(msgspec.json.Decoder(View), file.read_bytes()), who(reason))
    show(
        found, f"view {found['view']}: {_kind(found)}, served at {', '.join(found.get('endpoints', ())) or 'no endpoint'}", as_json=as_json
    )


@command.command("list")
@json_option
def list_views(as_json: bool) -> None:
    """List all views."""
    from flows.views import view as views

    found = views.every(_desk(home()))
    rows = [_row(one) for one in found]
    show({"views": found}, table(rows, _COLUMNS) if rows else "No view is declared.", as_json=as_json)


@command.command("show")
@click.argument("view")
@click.argument("key", required=False)
@json_option
def show_view(view: str, key: str | None, as_json: bool) -> None:
    """Show a view; with a KEY also what is served of that entity now."""
    from flows.views import view as views

    found = views.show(_desk(home()), view, key)
    lines = [table([_row(found)], _COLUMNS)]
    if "events" in found:
        lines.append("events: " + ", ".join(f"{count} {figure}" for figure, count in found["events"].items()))
    if found.get("computed_anew"):
        lines.append("what is declared now is being computed; until then what was declared before is served")
    if "values" in found:
        lines += [f"{name} = {'null' if value is None else value}" for name, value in found["values"].items()]
    show(found, "\n".join(lines), as_json=as_json)


@command.command("drop")
@click.argument("view")
@click.option("--reason", default="by command line", help="Why; kept in the audit log.")
@json_option
def drop(view: str, reason: str, as_json: bool) -> None:
    """Forget a view and what it holds."""
    from flows.views import view as views

    views.drop(_desk(home()), view, who(reason))
    show({"view": view, "dropped": True}, f"view {view}: dropped", as_json=as_json)


def _desk(here: Home) -> Any:
    from flows.views.view import Desk

    return Desk(here.store, here.views, clock)


def _kind(found: dict[str, Any]) -> str:
    source = found["source"]
    return str(source["type"]) + (f" {source['stream']}" if "stream" in source else "")


def _row(found: dict[str, Any]) -> dict[str, Any]:
    source = found["source"]
    features = source.get("features", source.get("columns", {}))
    return {
        **found,
        "endpoints": ", ".join(found.get("endpoints", ())) or None,
        "kind": _kind(found),
        "features": ", ".join(features) or None,
    }
