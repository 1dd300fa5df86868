"""What a version must have before an alias may name it."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from store import dialect
from store.tables import alias_rules


class RuleRow(NamedTuple):
    """A batch test that passed; an approval; one by somebody else than those who registered the version and who move the alias."""

    needs_test: bool
    needs_approval: bool
    by_another: bool


def get(connection: sa.Connection, model: str, alias: str) -> RuleRow | None:
    """The rule of an alias; None where it has none."""
    row = connection.execute(sa.select(alias_rules).where(*_of(model, alias))).one_or_none()
    return None if row is None else RuleRow(row.needs_test, row.needs_approval, row.by_another)


def put(connection: sa.Connection, model: str, alias: str, rule: RuleRow, by: str, at: float) -> None:
    """Set the rule of an alias, whether the alias stands yet or not."""
    dialect.upsert(connection, alias_rules, [{"model": model, "alias": alias, **rule._asdict(), "at": at, "by": by}])


def drop(connection: sa.Connection, model: str, alias: str) -> bool:
    """Take the rule away; whether there was one."""
    return connection.execute(sa.delete(alias_rules).where(*_of(model, alias))).rowcount == 1


def _of(model: str, alias: str) -> tuple[sa.ColumnElement[bool], ...]:
    return alias_rules.c.model == model, alias_rules.c.alias == alias
