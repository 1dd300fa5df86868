"""The state of versions. It is not stored: it follows from what happened to a version, and from the current plans."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, TypeAlias, get_args

import sqlalchemy as sa

from core.ids import VersionId
from flows.registry.uses import Uses
from store import lifecycle, version_facts

State: TypeAlias = Literal["registered", "tested", "approved", "serving", "retired"]
STATES: tuple[State, ...] = get_args(State)
"""The last one that is true of a version is its state: tested where its newest batch test with thresholds passed."""


def states(connection: sa.Connection, model: str, numbers: Collection[int], uses: Uses) -> dict[VersionId, State]:
    """The state of each of these versions of a model."""
    marks, serving = version_facts.marks(connection, model, numbers), uses.serving
    return {version: state_of(found, serving=version in serving) for version, found in marks.items()}


def state_of(marks: Collection[str], *, serving: bool) -> State:
    """The state that follows from a version's marks, and from whether it is an arm of a current plan."""
    if lifecycle.RETIRED in marks:
        return "retired"
    if serving:
        return "serving"
    return "approved" if lifecycle.APPROVED in marks else "tested" if lifecycle.TESTED in marks else "registered"
