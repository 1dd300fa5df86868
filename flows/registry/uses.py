"""Where versions are used: in the current plans, and as what aliases name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Literal, NamedTuple

import sqlalchemy as sa

from core.errors import Conflict
from core.ids import VersionId, parse_version
from flows import known
from routing.plan import HOLDOUT, Plan
from store import lifecycle, plans, registry, version_facts


class Use(NamedTuple):
    """The part that a version plays in a plan of an endpoint."""

    endpoint: str
    kind: Literal["arm", "shadow", "holdout"]
    name: str

    def __str__(self) -> str:
        return f"{self.kind} of {self.endpoint}" if self.kind == HOLDOUT else f"{self.kind} {self.name} of {self.endpoint}"


class Uses:
    """Who is used in the current plans at this moment."""

    def __init__(self, connection: sa.Connection) -> None:
        self._plans = [known.decode_plan(row.body) for row in plans.all_current(connection)]

    @property
    def serving(self) -> set[VersionId]:
        """Every version that is an arm."""
        return {parse_version(name) for plan in self._plans for name in plan.versions}

    def of(self, version: VersionId) -> list[Use]:
        """The parts that the version plays."""
        return [use for plan in self._plans for use, name in parts(plan) if name == str(version)]


def parts(plan: Plan) -> Iterator[tuple[Use, str]]:
    """The arms, shadows and holdout of a plan, each with its version."""
    yield from ((Use(plan.endpoint, "arm", name), arm.version) for name, arm in plan.arms.items())
    yield from ((Use(plan.endpoint, "shadow", name), shadow.version) for name, shadow in plan.shadows.items())
    if plan.holdout is not None:
        yield Use(plan.endpoint, "holdout", HOLDOUT), plan.holdout.version


def brought_by(connection: sa.Connection, version: VersionId, endpoint: str) -> Plan:
    """The plan since which the version is an arm of the endpoint without a break; its current plan must have it as one."""
    first = None
    with closing(plans.backwards(connection, endpoint)) as rows:
        for row in rows:
            plan = known.decode_plan(row.body)
            if str(version) not in plan.versions:
                break
            first = plan
    if first is None:
        raise Conflict(f"{version} is no arm of {endpoint}")
    return first


def is_retired(connection: sa.Connection, version: VersionId) -> bool:
    """Whether the version was retired, and not restored."""
    return lifecycle.RETIRED in version_facts.marks_of(connection, version)


def check_not_retired(connection: sa.Connection, version: VersionId, field: str) -> None:
    """Raises Conflict where the version was retired."""
    if is_retired(connection, version):
        raise Conflict(f"{field}: {version} is retired: `tiltyard model restore {version}` brings it back", field=field, code="retired")


def usable(connection: sa.Connection, reference: str, field: str) -> VersionId:
    """The version that `credit@3` or `credit@champion` names and that may be used; raises Invalid, NotFound, and Conflict where retired."""
    version = registry.resolve(connection, reference, field)
    check_not_retired(connection, version, field)
    return version
