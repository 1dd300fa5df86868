"""`tiltyard model list` and `show`."""

from __future__ import annotations

from typing import Any

import click

from server.cli.options import home, json_option, show, table


@click.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """List all models."""
    from flows import register as flow

    found = flow.list_models(home().store)
    show({"models": found}, table(found, ("model", "latest", "count", "aliases")), as_json=as_json)


@click.command("show")
@click.argument("reference")
@json_option
def show_model(reference: str, as_json: bool) -> None:
    """Show a model, or one version of it such as credit@3 or credit@champion."""
    from flows import register as flow

    here = home()
    if "@" in reference:
        card = flow.show_version(here.store, reference)
        show(
            card,
            "\n".join([*told(card), "", table(card["signature"]["features"], ("name", "kind", "minimum", "maximum"))]),
            as_json=as_json,
        )
        return
    found = flow.show_model(here.store, reference)
    rows = [{**each, "aliases": ", ".join(each["aliases"]) or None} for each in found["versions"]]
    show(found, table(rows, ("version", "aliases", "format", "at", "by", "source")), as_json=as_json)


def told(card: dict[str, Any]) -> list[str]:
    """What is worth saying of a version, line by line."""
    lines = [f"{card['version']}  ({card['signature']['task']}, {len(card['signature']['features'])} features, served as {card['format']})"]
    if card.get("river"):
        lines.append(f"  {card['river']['kind']}, made with River {card['versions']['river']}")
    compiled = card.get("compiled")
    if compiled:
        lines.append(f"  compiled: {compiled['form']}: {compiled['reason']}")
    lines.append(f"  one row takes {card['seconds_per_row'] * 1e6:.0f} µs")
    lines.extend(f"  note: {note}" for note in card.get("notes", ()))
    lines.extend(f"  warning: {warning}" for warning in card.get("warnings", ()))
    if card["aliases"]:
        lines.append(f"  aliases: {', '.join(card['aliases'])}")
    return lines
