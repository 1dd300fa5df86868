"""`tiltyard model alias`, `unalias`, `alias-history` and `rule`."""

from __future__ import annotations

from typing import Any

import click

from core.clock import from_rfc3339
from server.cli.options import home, json_option, reason_option, show, table, who
from server.cli.usage import options_as_given

_MOST_MOVES = 1000


def _match_option(function: Any) -> Any:
    text = "Only if it names this version now, 0: none."
    return click.option("--if-match", type=click.IntRange(min=0), metavar="NUMBER", help=text)(function)


@click.command("alias")
@click.argument("version")
@click.argument("alias")
@reason_option
@_match_option
@json_option
def set_alias(version: str, alias: str, reason: str, if_match: int | None, as_json: bool) -> None:
    """Point ALIAS at VERSION, such as: credit@3 champion. Traffic stays where it is."""
    from flows.registry import pointing

    moved = pointing.set_alias(home().store, version, alias, who(reason), if_match)
    show({"alias": alias, "version": str(moved)}, f"{moved.model}@{alias} is now {moved}", as_json=as_json)


@click.command("unalias")
@click.argument("model")
@click.argument("alias")
@reason_option
@_match_option
@json_option
def remove_alias(model: str, alias: str, reason: str, if_match: int | None, as_json: bool) -> None:
    """Take ALIAS of MODEL away; its history and its rule stay."""
    from flows.registry import pointing

    pointing.remove_alias(home().store, model, alias, who(reason), if_match)
    show({"alias": alias, "version": None}, f"{model}@{alias} names no version any more", as_json=as_json)


@click.command("alias-history")
@click.argument("model")
@click.argument("alias")
@click.option("--at", metavar="TIME", help="Only what it named then: a date (its first moment, UTC) or an RFC 3339 time.")
@json_option
def history(model: str, alias: str, at: str | None, as_json: bool) -> None:
    """Show which versions of MODEL the ALIAS has named, newest first."""
    from flows.registry import pointing

    if at is not None:
        with options_as_given():
            moment = from_rfc3339(at if "T" in at.upper() else f"{at}T00:00:00Z", "--at")
        told = pointing.named_at(home().store, model, alias, moment)
        named = f"{told['version'] or 'no version'}" + (f", since {told['since']} by {told['by']}" if told["since"] else "")
        show(told, f"{model}@{alias} named {named} at {told['at']}", as_json=as_json)
        return
    found = pointing.history(home().store, model, alias, _MOST_MOVES)
    show(found, table(found["moves"], ("at", "version", "by", "reason")), as_json=as_json)


@click.command("rule")
@click.argument("model")
@click.argument("alias")
@click.option("--needs-test", is_flag=True, help="The newest batch test with thresholds must have passed.")
@click.option("--needs-approval", is_flag=True, help="Somebody must have approved it.")
@click.option("--by-another", is_flag=True, help="Somebody who neither registered it nor moves the alias must have approved it.")
@click.option("--none", "drop", is_flag=True, help="Let the alias name any version again.")
@reason_option
@json_option
def rule(model: str, alias: str, drop: bool, reason: str, as_json: bool, **needs: bool) -> None:
    """Say what a version of MODEL must have before ALIAS may name it; without an option show the rule."""
    from flows.registry import rules
    from store.alias_rules import RuleRow

    if drop and any(needs.values()):
        raise click.UsageError("--none: takes the rule away, so give no other demand")
    here = home()
    if drop:
        rules.drop_rule(here.store, model, alias, who(reason))
        show({"model": model, "alias": alias, "rule": None}, f"{model}@{alias} may name any version", as_json=as_json)
        return
    given = any(needs.values())
    found = rules.set_rule(here.store, model, alias, RuleRow(**needs), who(reason)) if given else rules.show_rule(here.store, model, alias)
    show(found, "\n".join(_told(found)), as_json=as_json)


def _told(found: dict[str, Any]) -> list[str]:
    demands = ["a batch test that passed"] if found["needs_test"] else []
    if found["needs_approval"]:
        another = " by somebody who neither registered the version nor moves the alias" if found["by_another"] else ""
        demands.append(f"an approval{another}")
    lines = [f"{found['model']}@{found['alias']} needs {' and '.join(demands)}"]
    if found["missing"]:
        lines.append(f"  {found['version']}, which it names now, lacks {' and '.join(found['missing'])}")
    return lines
