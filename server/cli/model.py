"""`tiltyard model`: register, list, show, alias."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from server.cli.learner import learn, learner
from server.cli.learning import learning_options
from server.cli.options import home, json_option, show, table, who


@click.group("model")
def command() -> None:
    """Register models, name their versions, and see them learn."""


command.add_command(learner)
command.add_command(learn)


@command.command("register")
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--sample", type=click.Path(path_type=Path), help="CSV or Parquet rows that the model knows: signature, golden rows, parity.")
@click.option("--target", help="The sample's column of true values.")
@click.option("--alias", help="Point this alias at the new version, such as champion.")
@click.option("--trust-pickle", is_flag=True, help="Load a pickle or joblib file: it can run any code, so only one of your own.")
@learning_options
@json_option
def register(name: str, path: Path, as_json: bool, **given: Any) -> None:
    """Register the model PATH as the next version of NAME.

    PATH is a file (.skops, .onnx, .pkl, .joblib), or a function of a Python file of your own that returns the model: model.py:build.
    """
    from flows import register as flow

    here = home(make=True)
    version = flow.register(here.store, here.blobs, name, path, who(), journal_end=here.place.journal_end, **given)
    card = flow.show_version(here.store, str(version))
    show(card, "\n".join(_told(card)), as_json=as_json)


@command.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """List all models."""
    from flows import register as flow

    found = flow.list_models(home().store)
    show({"models": found}, table(found, ("model", "latest", "count", "aliases")), as_json=as_json)


@command.command("show")
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
            "\n".join([*_told(card), "", table(card["signature"]["features"], ("name", "kind", "minimum", "maximum"))]),
            as_json=as_json,
        )
        return
    found = flow.show_model(here.store, reference)
    rows = [{**each, "aliases": ", ".join(each["aliases"]) or None} for each in found["versions"]]
    show(found, table(rows, ("version", "aliases", "format", "at", "by", "source")), as_json=as_json)


@command.command("alias")
@click.argument("version")
@click.argument("alias")
@json_option
def alias(version: str, alias: str, as_json: bool) -> None:
    """Point ALIAS at VERSION, such as: credit@3 champion. Traffic stays where it is."""
    from flows import register as flow

    moved = flow.set_alias(home().store, version, alias, who())
    show({"alias": alias, "version": str(moved)}, f"{moved.model}@{alias} is now {moved}", as_json=as_json)


def _told(card: dict[str, Any]) -> list[str]:
    lines = [f"{card['version']}  ({card['signature']['task']}, {len(card['signature']['features'])} features, served as {card['format']})"]
    if card.get("river"):
        lines.append(f"  {card['river']['kind']}, made with River {card['versions']['river']}")
    compiled = card.get("compiled")
    if compiled:
        lines.append(f"  compiled: {compiled['form']}: {compiled['reason']}")
    lines.append(f"  one row takes {card['seconds_per_row'] * 1e6:.0f} µs")
    lines.extend(f"  note: {note}" for note in card.get("notes", ()))
    if card["aliases"]:
        lines.append(f"  aliases: {', '.join(card['aliases'])}")
    return lines
