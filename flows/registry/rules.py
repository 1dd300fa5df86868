"""Rules of aliases: what a version must have before an alias may name it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from core.errors import Conflict, Invalid, NotFound
from core.ids import VersionId, check_name
from flows.registry.people import is_another
from routing.changes import Who
from store import alias_rules, audit, lifecycle, registry, version_facts
from store.alias_rules import RuleRow
from store.engine import Store


def set_rule(store: Store, model: str, alias: str, rule: RuleRow, who: Who) -> dict[str, Any]:
    """Set the rule of an alias of an existing model; `by_another` needs an approval too. The version that it names now may break it."""
    check_name(alias, "alias")
    if not any(rule):
        raise Invalid("rule: expected at least one of needs_test, needs_approval and by_another", field="rule")
    whole = rule._replace(needs_approval=rule.needs_approval or rule.by_another)
    with store.write() as connection:
        registry.model_row(connection, model)
        alias_rules.put(connection, model, alias, whole, who.by, who.at)
        audit.write(connection, who.at, who.by, "model.rule", f"{model}@{alias}", **whole._asdict(), reason=who.reason)
        return _shown(connection, model, alias, whole)


def drop_rule(store: Store, model: str, alias: str, who: Who) -> None:
    """Let the alias name any version again; raises NotFound where it has no rule."""
    with store.write() as connection:
        registry.model_row(connection, model)
        if not alias_rules.drop(connection, model, alias):
            raise NotFound(f"alias: {model}@{alias} has no rule", field="alias", code="rule-not-found")
        audit.write(connection, who.at, who.by, "model.rule.drop", f"{model}@{alias}", reason=who.reason)


def show_rule(store: Store, model: str, alias: str) -> dict[str, Any]:
    """The rule of an alias, and what the version that it names now lacks of it; raises NotFound."""
    with store.read() as connection:
        registry.model_row(connection, model)
        rule = alias_rules.get(connection, model, alias)
        if rule is None:
            raise NotFound(f"alias: {model}@{alias} has no rule", field="alias", code="rule-not-found")
        return _shown(connection, model, alias, rule)


def missing(connection: sa.Connection, version: VersionId, alias: str, mover: str) -> list[str]:
    """What the version lacks before `mover` may let the alias name it; [] where nothing, or there is no rule."""
    rule = alias_rules.get(connection, version.model, alias)
    return [] if rule is None else _lacking(connection, version, rule, mover)


def check(connection: sa.Connection, version: VersionId, alias: str, mover: str) -> None:
    """Raises Conflict saying what is missing where the rule of the alias is not met."""
    lacking = missing(connection, version, alias, mover)
    if lacking:
        raise Conflict(
            f"{version.model}@{alias} may not name {version}: it needs {' and '.join(lacking)}", field="alias", code="rule-not-met"
        )


def check_new(store: Store, model: str, alias: str) -> None:
    """Raises Conflict where the alias has a rule: no version meets one when it is registered."""
    with store.read() as connection:
        if alias_rules.get(connection, model, alias) is not None:
            raise Conflict(
                f"{model}@{alias} has a rule, and no new version meets it: register without --alias, and move it later",
                field="alias",
                code="rule-not-met",
            )


def _lacking(connection: sa.Connection, version: VersionId, rule: RuleRow, mover: str) -> list[str]:
    lacking = []
    marks = version_facts.marks_of(connection, version)
    if rule.needs_test and lifecycle.TESTED not in marks:
        lacking.append("a batch test that passed (the newest with thresholds counts)")
    if rule.needs_approval:
        approved = lifecycle.approvals(lifecycle.events(connection, version))
        involved = (registry.version_row(connection, version).by, mover)
        if not approved:
            lacking.append("an approval")
        elif rule.by_another and not any(is_another(each.by, involved) for each in approved):
            lacking.append(f"an approval by somebody else than {' and '.join(dict.fromkeys(involved))}")
    return lacking


def _shown(connection: sa.Connection, model: str, alias: str, rule: RuleRow) -> dict[str, Any]:
    standing = registry.alias_row(connection, model, alias)
    found = {"model": model, "alias": alias, **rule._asdict(), "version": None, "missing": []}
    if standing is None:
        return found
    return {**found, "version": str(standing.version), "missing": _lacking(connection, standing.version, rule, standing.by)}
