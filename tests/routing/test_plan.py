"""Plans that can be served, and the errors of those that cannot."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from core.errors import Invalid
from routing.changes import Who, create
from routing.plan import AliasMove, Arm, Holdout, Plan, Shadow, public

WHO = Who("me", 1777809600.0, "because")
ARMS = {"control": Arm("m@1", 3), "treatment": Arm("m@2", 1)}


def first(**changes: Any) -> Plan:
    """A first plan, some of it changed."""
    given: dict[str, Any] = {"endpoint": "credit", "arms": ARMS, "shadows": {}, "enrolment": 1.0, "salt": "s", "who": WHO, **changes}
    return create(**given)


def test_the_first_plan() -> None:
    """It is number 1 of phase 1 and has no parent; who made it when and why is part of it."""
    plan = first(shadows={"next": Shadow("m@3", 0.5)})
    assert (plan.plan, plan.phase, plan.parent, plan.mode, plan.experiment) == (1, 1, None, "split", None)
    assert (plan.by, plan.at, plan.reason) == WHO
    assert plan.versions == {"m@1", "m@2"}
    assert (plan.share("control"), plan.share("treatment")) == (0.75, 0.25)


def test_as_the_api_shows_it() -> None:
    """A plan is shown with its time in RFC 3339 and without the alias moves, which are its own affair."""
    shown = public(msgspec.structs.replace(first(), moved=(AliasMove("m", "champion", 1, 2),)))
    assert shown["at"] == "2026-05-03T12:00:00.000Z"
    assert set(shown) == {
        *("endpoint", "plan", "phase", "parent", "mode", "enrolment", "salt", "experiment", "arms", "shadows", "holdout"),
        *("by", "at", "reason"),
    }


def test_a_stored_plan_is_read_as_it_was() -> None:
    """JSON keeps all of it, and one written before alias moves were kept is read as one without."""
    plan = msgspec.structs.replace(first(), moved=(AliasMove("m", "champion", 1, 2),))
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
    without = {key: value for key, value in msgspec.to_builtins(plan).items() if key != "moved"}
    assert msgspec.convert(without, Plan).moved == ()


def test_a_plan_from_before_there_were_holdouts() -> None:
    """Holds out nobody; one with a holdout needs its version beside those of the arms."""
    plan = first()
    without = {key: value for key, value in msgspec.to_builtins(plan).items() if key != "holdout"}
    assert msgspec.convert(without, Plan) == plan
    held = msgspec.structs.replace(plan, holdout=Holdout(0.1, "m@7", "s"))
    assert (held.versions, msgspec.json.decode(msgspec.json.encode(held), type=Plan)) == ({"m@1", "m@2", "m@7"}, held)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"arms": {}}, "arms"),
        ({"arms": {"treatment": Arm("m@1", 1)}}, "arms"),
        ({"arms": {**ARMS, "a b": Arm("m@1", 1)}}, "arms.a b"),
        ({"arms": {"control": Arm("m@1", 0)}}, "weights"),
        ({"arms": {"control": Arm("m@1", -1)}}, "weights.control"),
        ({"arms": {"control": Arm("m@1", math.nan)}}, "weights.control"),
        ({"arms": {"control": Arm("m@1", math.inf)}}, "weights.control"),
        ({"arms": {"control": Arm("m@1", 1.1e12)}}, "weights.control"),
        ({"shadows": {"a/b": Shadow("m@1")}}, "shadows.a/b"),
        ({"shadows": {"next": Shadow("m@1", 0)}}, "shadows.next.sample"),
        ({"shadows": {"next": Shadow("m@1", 1.01)}}, "shadows.next.sample"),
        ({"shadows": {"next": Shadow("m@1", math.nan)}}, "shadows.next.sample"),
        ({"enrolment": -0.01}, "enrolment"),
        ({"enrolment": 1.01}, "enrolment"),
        ({"enrolment": math.nan}, "enrolment"),
    ],
)
def test_what_cannot_be_served(changes: dict[str, Any], field: str) -> None:
    """The error names the field and what was expected."""
    with pytest.raises(Invalid, match="^" + field.split(".")[0]) as caught:
        first(**changes)
    assert caught.value.field == field
