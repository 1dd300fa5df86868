"""`tiltyard model alias`."""

from __future__ import annotations

import click

from server.cli.options import home, json_option, show, who


@click.command("alias")
@click.argument("version")
@click.argument("alias")
@json_option
def command(version: str, alias: str, as_json: bool) -> None:
    """Point ALIAS at VERSION, such as: credit@3 champion. Traffic stays where it is."""
    from flows import register as flow

    moved = flow.set_alias(home().store, version, alias, who())
    show({"alias": alias, "version": str(moved)}, f"{moved.model}@{alias} is now {moved}", as_json=as_json)
