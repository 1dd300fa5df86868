"""When an endpoint has not yet been split by its salt: what units bring then cannot depend on their arm."""

from __future__ import annotations

import math

from msgspec.structs import replace

from flows.facts.splits import Stretch, stretches
from routing.plan import Arm, Plan

ONE = {"control": Arm("m@1", 1.0)}
TWO = {"control": Arm("m@1", 1.0), "treatment": Arm("m@2", 1.0)}
FIRST = Plan(
    plan=1, phase=1, parent=None, endpoint="credit", mode="split", enrolment=1.0, salt="s", arms=ONE, shadows={}, by="me", at=0.0, reason=""
)


def history(*changes: dict[str, object]) -> list[Stretch]:
    """The stretches of an endpoint whose plans differ so from the first, one second after another."""
    return stretches([FIRST, *(replace(FIRST, plan=k, at=float(k - 1), **change) for k, change in enumerate(changes, start=2))])


def test_alone_and_alike() -> None:
    """One arm, several of one version, another of weight 0, nobody enrolled, a pause: no unit is treated otherwise than another."""
    idle = {**TWO, "treatment": Arm("m@2", 0.0)}
    alike = {"control": Arm("m@1", 1.0), "treatment": Arm("m@1", 1.0)}
    found = history({"arms": alike}, {"arms": idle}, {"arms": TWO, "enrolment": 0.0}, {"arms": TWO, "mode": "paused"})
    assert found == [Stretch(0.0, 1.0), Stretch(1.0, 2.0), Stretch(2.0, 3.0), Stretch(3.0, 4.0), Stretch(4.0, math.inf)]


def test_split_once_is_split_by_that_salt() -> None:
    """A promotion later does not make it undone; a new salt does, until it splits as well."""
    assert history({"arms": TWO}, {"arms": ONE}) == [Stretch(0.0, 1.0)]
    assert history({"arms": TWO}, {"arms": ONE, "salt": "t"}) == [Stretch(0.0, 1.0), Stretch(2.0, math.inf)]
    assert history({"arms": TWO}, {"arms": ONE, "salt": "t"}, {"arms": TWO, "salt": "t"}) == [Stretch(0.0, 1.0), Stretch(2.0, 3.0)]
