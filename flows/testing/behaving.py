"""Ask a version rows of the data again, with one feature changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from core.errors import Invalid, ModelFailed
from core.values import Label, Value
from experiments.batch.behaviour import changed, judge
from experiments.batch.figures import Asking
from experiments.batch.suite import Behaviour, Suite
from flows.testing.asking import Contestant


def check_features(one: Contestant, asked: Suite) -> None:
    """Raises Invalid where a check is of a feature that the version does not have: before it is asked anything."""
    for where, _, check in _every(asked):
        if check.feature not in one.inputs.names:
            has = ", ".join(one.inputs.names)
            raise Invalid(f"suite: {where}.feature: {one.name} has no feature {check.feature!r}; it has {has}", field=where)


def behaviour(one: Contestant, rows: Sequence[Sequence[Value]], asked: Suite, positive: Label | None, ask: Asking) -> list[dict[str, Any]]:
    """What came of every check, on these rows as the version takes them.

    Raises Invalid where a change makes of a feature what the version does not take, or a label has no probability.
    """
    return [_behaviour(one, rows, check, where, kind, positive, ask) for where, kind, check in _every(asked)]


def _every(asked: Suite) -> Iterator[tuple[str, str, Behaviour]]:
    """Each check with its place in the suite and its kind."""
    for kind, each in (("invariance", asked.invariance), ("directional", asked.directional)):
        for place, one in enumerate(each):
            yield f"{kind}[{place}]", kind, one


def _behaviour(
    one: Contestant, rows: Sequence[Sequence[Value]], check: Behaviour, where: str, kind: str, positive: Label | None, ask: Asking
) -> dict[str, Any]:
    """One check: the rows that the change alters, asked before and after."""
    column = one.inputs.names.index(check.feature)
    values = [row[column] for row in rows]
    way = check.change.ways[0]
    name = f"{check.feature} {way}" + ("" if way == "permute" else f" {_shown(getattr(check.change, way))}")
    did = {None: "the answer stayed", "not_fall": "the answer did not fall", "not_rise": "the answer did not rise"}[check.answer]
    told = {"kind": kind, "name": name, "did": did, "demanded": check.share, "tolerance": check.tolerance}
    try:
        new = changed(values, check.change, ask.rng)
        altered = [(row, value) for row, value in zip(rows, new, strict=True) if row[column] != value]
        before = [row for row, _ in altered]
        after = [[*row[:column], value, *row[column + 1 :]] for row, value in altered]
        return {**told, **judge(check, _ask(one, before), _ask(one, _taken(one, after, check)), positive, ask.alpha)}
    except Invalid as error:
        raise Invalid(f"suite: {where}: {error.message}", field=where) from error
    except ModelFailed as error:
        return {**told, "refused": error.message}


def _taken(one: Contestant, rows: list[list[Value]], check: Behaviour) -> list[list[Value]]:
    """The changed rows as the model takes them; raises Invalid where the change has made of the feature what it does not take."""
    try:
        return one.inputs.read(None, rows) if rows else []
    except Invalid as error:
        why = error.message.removeprefix(error.field or "")  # the place among the changed rows says nothing
        raise Invalid(f"change: of {check.feature} it makes what the model does not take{why}") from None


def _ask(one: Contestant, rows: Sequence[Sequence[Value]]) -> list[Any]:
    return one.ask(rows, range(1, len(rows) + 1))


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:80]
