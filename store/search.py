"""Versions by what is said of them and what happened to them: conditions over the table of facts, in pages."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import sqlalchemy as sa

from core.ids import VersionId
from store import lifecycle
from store.tables import aliases, version_facts, versions
from store.version_facts import MARK

Comparison: TypeAlias = Literal["=", ">", ">=", "<", "<="]
FEW = 500
"""Versions that are looked up one by one faster than all are gone through."""
_FACTS = version_facts.c
_FIGURE, _SAME = version_facts.alias("figure"), versions.alias("same")
_MARKS = (lifecycle.TESTED, lifecycle.APPROVED, lifecycle.RETIRED)
_STATES = (lifecycle.TESTED, lifecycle.APPROVED, "serving", lifecycle.RETIRED)
"""Each hides the ones before."""


class Has(NamedTuple):
    """A fact of that name with that text, or with one that begins so."""

    name: str
    text: str
    begins: bool = False


class Compares(NamedTuple):
    """A fact of that name whose number compares so."""

    name: str
    comparison: Comparison
    number: float


class Registered(NamedTuple):
    """The time of the registration compares so."""

    comparison: Comparison
    at: float


class IsOf(NamedTuple):
    """A version of that model."""

    model: str


class Named(NamedTuple):
    """An alias of that name stands for it."""

    alias: str


class InState(NamedTuple):
    """Its state is this one."""

    state: str


class AllOf(NamedTuple):
    """All of these hold."""

    parts: tuple[Has, ...]


_Few = Has | Compares | IsOf | Named
"""What only few versions may be."""
Wanted: TypeAlias = Has | Compares | Registered | IsOf | Named | InState | AllOf


class Condition(NamedTuple):
    """What is wanted, or just not."""

    wanted: Wanted
    negated: bool = False


class Order(NamedTuple):
    """By the time of registration, by `model` and number, or by the figure of that name: then only versions that have it are found."""

    by: str = "registered"
    descending: bool = True


class After(NamedTuple):
    """The last version of the page before: its value in the order, and which it was."""

    value: float | str
    version: VersionId


class Found(NamedTuple):
    """A version without its card; `value` is its place in the order. Where nothing is known of its task or runtime, that is None."""

    version: VersionId
    at: float
    by: str
    about: bytes
    revision: int
    marks: tuple[str, ...]
    task: str | None
    runtime: str | None
    value: float | str


def search(
    connection: sa.Connection,
    conditions: Sequence[Condition],
    order: Order,
    after: After | None,
    limit: int,
    serving: Collection[VersionId],
) -> list[Found]:
    """At most so many versions that meet all conditions, in order; `serving` are those that are arms of current plans."""
    rows = connection.execute(statement(conditions, order, after, limit, serving, narrowest(connection, conditions)))
    return [_found(row) for row in rows]


def narrowest(connection: sa.Connection, conditions: Sequence[Condition]) -> int | None:
    """The place of the condition that the fewest versions meet; None where none is met by few."""
    few = {}
    for place, (wanted, negated) in enumerate(conditions):
        if isinstance(wanted, _Few) and not negated:
            some = _all_that(wanted).limit(FEW).subquery()
            few[place] = connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0
    found = min(few, key=few.__getitem__, default=None)
    return None if found is None or few[found] == FEW else found


def statement(
    conditions: Sequence[Condition],
    order: Order,
    after: After | None,
    limit: int,
    serving: Collection[VersionId],
    narrow: int | None = None,
) -> sa.Select[Any]:
    """What `search` asks: to go through the versions in order and look up what each has, or first to find those that meet `narrow`."""
    key, source, of = _ordered(order)
    shown = (versions.c.at, versions.c.by, versions.c.about, versions.c.revision)
    query = sa.select(versions.c.model, versions.c.version, *shown, *_told(), key[0].label("value")).select_from(source).where(*of)
    for place, (wanted, negated) in enumerate(conditions):
        if place == narrow and isinstance(wanted, _Few):
            clause: sa.ColumnElement[bool] = sa.tuple_(versions.c.model, versions.c.version).in_(_all_that(wanted))
        elif isinstance(wanted, IsOf) and order.by != "model":
            # Not the bare column: else SQLite takes all versions of the model and sorts them, instead of the order.
            clause = versions.c.model.concat("") == wanted.model
        else:
            clause = _clause(wanted, serving)
        query = query.where(sa.not_(clause) if negated else clause)
    if after is not None:
        last = sa.tuple_(*map(sa.literal, (after.value, *after.version)[-len(key) :]))
        query = query.where(sa.tuple_(*key) < last if order.descending else sa.tuple_(*key) > last)
    return query.order_by(*(each.desc() if order.descending else each.asc() for each in key)).limit(limit)


def _found(row: Any) -> Found:
    marks = tuple(mark for mark in _MARKS if getattr(row, mark))
    return Found(VersionId(row.model, row.version), row.at, row.by, row.about, row.revision, marks, row.task, row.runtime, row.value)


def _told() -> Iterator[sa.ColumnElement[Any]]:
    """What is shown of a version's facts, a column each."""
    yield from (_fact(Has(MARK, mark)).label(mark) for mark in _MARKS)
    for name in ("task", "runtime"):
        text = sa.select(_FACTS.text).where(*_of_version(version_facts), _FACTS.name == name).limit(1)
        yield text.scalar_subquery().label(name)


class _Ordered(NamedTuple):
    """The columns that are ordered by, the value first; what they are read from, and what makes it this value."""

    key: tuple[sa.ColumnElement[Any], ...]
    source: sa.FromClause
    of: tuple[sa.ColumnElement[bool], ...] = ()


def _ordered(order: Order) -> _Ordered:
    """All of a key's columns are of one index, so that nothing is sorted."""
    own = versions.c.model, versions.c.version
    if order.by == "registered":
        return _Ordered((versions.c.at, *own), versions)
    if order.by == "model":
        return _Ordered(own, versions)
    figure = _FIGURE.c
    of = (figure.name == order.by, figure.number.is_not(None))
    return _Ordered((figure.number, figure.model, figure.version), versions.join(_FIGURE, sa.and_(*_of_version(_FIGURE))), of)


def _clause(wanted: Wanted, serving: Collection[VersionId]) -> sa.ColumnElement[bool]:
    match wanted:
        case Registered(comparison, at):
            return _compared(versions.c.at, comparison, at)
        case IsOf(model):
            return versions.c.model == model
        case Named(alias):
            return sa.exists().where(*_of_version(aliases), aliases.c.alias == alias)
        case InState(state):
            return _in_state(state, serving)
        case AllOf(parts):
            return sa.and_(*(_fact(part) for part in parts))
        case Has() | Compares():
            return _fact(wanted)


def _fact(wanted: Has | Compares) -> sa.ColumnElement[bool]:
    """That the version which is looked at has such a fact."""
    # Not the bare number: else SQLite looks for all figures that compare so, again for each version, instead of the version's own.
    return sa.exists().where(*_of_version(version_facts), _FACTS.name == wanted.name, _matches(wanted, _FACTS.number + 0.0))


def _all_that(wanted: Has | Compares | IsOf | Named) -> sa.Select[Any]:
    """The keys of all versions that are so."""
    if isinstance(wanted, IsOf):
        return sa.select(_SAME.c.model, _SAME.c.version).where(_SAME.c.model == wanted.model)
    if isinstance(wanted, Named):
        return sa.select(aliases.c.model, aliases.c.version).where(aliases.c.alias == wanted.alias)
    return sa.select(_FACTS.model, _FACTS.version).where(_FACTS.name == wanted.name, _matches(wanted, _FACTS.number))


def _matches(wanted: Has | Compares, number: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    if isinstance(wanted, Compares):
        return _compared(number, wanted.comparison, wanted.number)
    if wanted.begins:
        # The last code point: no text that begins so lies behind it.
        return sa.and_(_FACTS.text >= wanted.text, _FACTS.text < wanted.text + "\U0010ffff")
    return _FACTS.text == wanted.text


def _in_state(state: str, serving: Collection[VersionId]) -> sa.ColumnElement[bool]:
    hidden = _STATES[_STATES.index(state) + 1 :] if state in _STATES else _STATES
    own = [_is(state, serving)] if state in _STATES else []
    return sa.and_(*own, *(sa.not_(_is(each, serving)) for each in hidden))


def _is(state: str, serving: Collection[VersionId]) -> sa.ColumnElement[bool]:
    if state != "serving":
        return _fact(Has(MARK, state))
    if not serving:
        return sa.false()
    return sa.tuple_(versions.c.model, versions.c.version).in_([tuple(each) for each in sorted(serving)])


def _of_version(table: sa.FromClause) -> tuple[sa.ColumnElement[bool], ...]:
    """That a row belongs to the version that is looked at."""
    return table.c.model == versions.c.model, table.c.version == versions.c.version


def _compared(column: sa.ColumnElement[Any], comparison: Comparison, number: float) -> sa.ColumnElement[bool]:
    match comparison:
        case "=":
            return column == number
        case ">":
            return column > number
        case ">=":
            return column >= number
        case "<":
            return column < number
        case "<=":
            return column <= number
