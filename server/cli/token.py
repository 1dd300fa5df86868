"""`tiltyard token`: create, list, revoke."""

from __future__ import annotations

import click

from core.clock import to_rfc3339
from server import auth
from server.cli.options import home, json_option, show, table, who
from store import tokens


@click.group("token")
def command() -> None:
    """Create and revoke access tokens."""


@command.command("create")
@click.argument("name", required=False)
@click.option("--scope", required=True, type=click.Choice(auth.SCOPES), help="What it may do; each scope includes the ones before.")
@json_option
def create(name: str | None, scope: str, as_json: bool) -> None:
    """Create the token NAME (otherwise named after its scope) and print its secret, this once."""
    name, secret = auth.create_token(home(make=True).store, name, scope, who())
    show({"token": name, "scope": scope, "secret": secret}, secret, as_json=as_json)


@command.command("list")
@json_option
def list_tokens(as_json: bool) -> None:
    """List all tokens; their secrets are not kept."""
    with home().store.read() as connection:
        found = tokens.list_all(connection)
    rows = [{"token": row.token, "scope": row.scope, "at": to_rfc3339(row.at), "revoked": row.revoked} for row in found]
    show(
        {"tokens": rows},
        table([{**row, "revoked": "yes" if row["revoked"] else "no"} for row in rows], ("token", "scope", "at", "revoked")),
        as_json=as_json,
    )


@command.command("revoke")
@click.argument("name")
@json_option
def revoke(name: str, as_json: bool) -> None:
    """Make the token NAME worthless."""
    auth.revoke_token(home().store, name, who())
    show({"token": name, "revoked": True}, f"token {name} is revoked", as_json=as_json)
