"""`tiltyard model approve`, `retire`, `restore`, `delete` and `history`: what happens to a version."""

from __future__ import annotations

from typing import Any

import click

from core.ids import parse_version
from server.cli.options import home, json_option, reason_option, revision_option, show, table, who
from server.cli.usage import options_as_given


@click.command("approve")
@click.argument("reference")
@click.option("--withdraw", is_flag=True, help="Take all approvals of it back, whoever gave them.")
@reason_option
@revision_option
@json_option
def approve(reference: str, withdraw: bool, reason: str, if_match: int | None, as_json: bool) -> None:
    """Say that the version REFERENCE, such as credit@3, may serve."""
    from flows import lifecycle

    flow, done = (lifecycle.withdraw, "is not approved any more") if withdraw else (lifecycle.approve, "is approved")
    _show(str(flow(home().store, reference, who(reason), if_match)), done, as_json=as_json)


@click.command("retire")
@click.argument("reference")
@reason_option
@revision_option
@json_option
def retire(reference: str, reason: str, if_match: int | None, as_json: bool) -> None:
    """Put the version REFERENCE out of use: no plan and no alias may name it any more, and its learner stops."""
    from flows import lifecycle

    _show(str(lifecycle.retire(home().store, reference, who(reason), if_match)), "is retired", as_json=as_json)


@click.command("restore")
@click.argument("reference")
@reason_option
@revision_option
@json_option
def restore(reference: str, reason: str, if_match: int | None, as_json: bool) -> None:
    """Take the retirement of REFERENCE back. Its approvals have ended with it, and its learner stays at rest."""
    from flows import lifecycle

    _show(str(lifecycle.restore(home().store, reference, who(reason), if_match)), "may be used again", as_json=as_json)


@click.command("delete")
@click.argument("reference")
@reason_option
@revision_option
@json_option
def delete(reference: str, reason: str, if_match: int | None, as_json: bool) -> None:
    """Delete the version REFERENCE, which must be retired or never have been used, and its files.

    Its number is not given again; what happened to it and the audit log stay.
    """
    from flows import lifecycle

    here = home()
    version = str(lifecycle.delete(here.store, here.blobs, reference, who(reason), here.settings.retention_seconds, if_match))
    show({"version": version, "deleted": True}, f"{version} is deleted", as_json=as_json)


@click.command("history")
@click.argument("version")
@json_option
def history(version: str, as_json: bool) -> None:
    """Show what happened to VERSION, such as credit@3, by whom and when; also to one that was deleted."""
    from flows.registry import showing

    here = home()
    with options_as_given():
        number = parse_version(version)
    found = showing.events_of(here.store, number)
    show({"version": version, "events": found}, table(found, ("at", "event", "by", "reason")), as_json=as_json)


def _show(version: str, done: str, *, as_json: bool) -> None:
    from flows.registry import showing

    card: dict[str, Any] = showing.show_version(home().store, version)
    show(card, f"{version} {done} ({card['state']}, revision {card['revision']})", as_json=as_json)
