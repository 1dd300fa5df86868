"""`tiltyard model list` and `show`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import click

from server.cli.options import home, json_option, show, table

_AT_ONCE = 500


@click.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """List all models."""
    from flows.registry import showing

    store = home().store
    found = [*_all(lambda after: showing.list_models(store, _AT_ONCE, after), "", "models")]
    show({"models": found}, table(found, ("model", "latest", "count", "aliases", "owner", "description")), as_json=as_json)


@click.command("show")
@click.argument("reference")
@json_option
def show_model(reference: str, as_json: bool) -> None:
    """Show a model, or one version of it such as credit@3 or credit@champion."""
    from flows.registry import showing

    store = home().store
    if "@" in reference:
        card = showing.show_version(store, reference)
        show(
            card,
            "\n".join([*told(card), "", table(card["signature"]["features"], ("name", "kind", "minimum", "maximum"))]),
            as_json=as_json,
        )
        return
    first = showing.show_model(store, reference, 1)
    versions = [*_all(lambda after: showing.show_model(store, reference, _AT_ONCE, after), 0, "versions")]
    rows = [{**each, "aliases": ", ".join(each["aliases"]) or None} for each in versions]
    found = {**first, "versions": versions, "next": None}
    show(found, table(rows, ("version", "state", "aliases", "format", "at", "by", "source")), as_json=as_json)


def _all(page: Callable[[Any], dict[str, Any]], after: Any, name: str) -> Iterator[dict[str, Any]]:
    """What all pages hold under `name`."""
    while after is not None:
        found = page(after)
        yield from found[name]
        after = found["next"]


def told(card: dict[str, Any]) -> list[str]:
    """What is worth saying of a version, line by line."""
    lines = [f"{card['version']}  ({card['signature']['task']}, {len(card['signature']['features'])} features, served as {card['format']})"]
    if card.get("river"):
        lines.append(f"  {card['river']['kind']}, made with River {card['versions']['river']}")
    compiled = card.get("compiled")
    if compiled:
        lines.append(f"  compiled: {compiled['form']}: {compiled['reason']}")
    lines.append(f"  one row takes {card['seconds_per_row'] * 1e6:.0f} µs")
    lines.append(f"  made with {', '.join(f'{name} {version}' for name, version in card['versions'].items())}")
    lines.extend(f"  note: {note}" for note in card.get("notes", ()))
    lines.extend(f"  warning: {warning}" for warning in card.get("warnings", ()))
    if card["aliases"]:
        lines.append(f"  aliases: {', '.join(card['aliases'])}")
    return [*lines, *_said(card["about"]), *_happened(card)]


def _said(about: dict[str, Any]) -> Iterator[str]:
    """What people say of it."""
    for name, value in about.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key}={each}" for key, each in value.items())
        elif isinstance(value, list):
            value = ", ".join(value)
        yield f"  {name.replace('_', ' ')}: {value}"


def _happened(card: dict[str, Any]) -> Iterator[str]:
    """Its state, and who brought it there."""
    last = card["events"][-1]
    yield f"  {card['state']}, revision {card['revision']}; last: {last['event']} by {last['by']} at {last['at']}"
    test = card["test"]
    if test:
        verdict = {True: "passed", False: "failed", None: "no threshold"}[test["passed"]]
        figures = ", ".join(f"{name} {one['value']:.4g}" for name, one in test["metrics"].items() if one["value"] is not None)
        yield f"  batch test {test['id']} on {test['data']['file']}: {verdict}; {figures}"
    for use in card["uses"]:
        since = f", since {use['since']} by {use['by']}" if use["kind"] == "arm" else ""
        yield f"  serves as {use['kind']} {use['name']} of {use['endpoint']}{since}"
