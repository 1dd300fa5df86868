"""Compare: two versions side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from core.clock import Clock
from core.errors import Invalid, NotFound
from core.ids import VersionId, check_name
from flows import deploy, known, register
from flows.comparing import evidence
from flows.comparing.cards import Told, differences
from flows.comparing.evidence import Pair
from routing.plan import CONTROL
from store import registry
from store.engine import Store

CHAMPION, CHALLENGER = "champion", "challenger"


def compare(store: Store, journal: Path, left: str, right: str, clock: Clock) -> dict[str, Any]:
    """All that is known of two versions, such as `credit@1` and `churn@champion`; raises Invalid or NotFound naming the side."""
    now = clock()
    with store.read() as connection:
        pair = Pair(registry.resolve(connection, left, "left"), registry.resolve(connection, right, "right"))
        if pair.left == pair.right:
            raise Invalid(f"right: expected another version than {pair.left}", field="right")
        found = {
            "differences": differences(*(_told(connection, version) for version in pair)),
            "batch": evidence.batch(connection, pair),
            "paired": evidence.paired(connection, pair),
            "live": evidence.live(connection, pair),
            "shadow": evidence.shadows(connection, journal, pair, now),
        }
        facts = evidence.learning(connection, pair, now)
    sides = {side: register.show_version(store, str(version)) for side, version in pair._asdict().items()}
    return {**sides, **found, "learners": evidence.learners(facts, journal, pair)}


def _told(connection: sa.Connection, version: VersionId) -> Told:
    row = registry.version_row(connection, version)
    return Told(known.decode_card(row.card), msgspec.json.decode(row.about))


def sides(store: Store, name: str) -> tuple[str, str]:
    """Which two versions are meant by a name alone: champion and challenger of the model, else control and the other arm of the endpoint.

    Raises NotFound saying what is missing.
    """
    check_name(name, "name")
    with store.read() as connection:
        aliases = {row.alias: row.version for row in registry.list_aliases(connection, name)}
        if CHAMPION in aliases and CHALLENGER in aliases and aliases[CHAMPION] != aliases[CHALLENGER]:
            return str(aliases[CHAMPION]), str(aliases[CHALLENGER])
        arms = _arms(connection, name)
    if arms is None:
        raise NotFound(
            f"{name}: expected a model whose aliases {CHAMPION} and {CHALLENGER} name two versions, or an endpoint with one arm beside"
            " control; or name two versions",
            field="left",
            code="nothing-to-compare",
        )
    return arms


def _arms(connection: sa.Connection, endpoint: str) -> tuple[str, str] | None:
    try:
        plan = deploy.load(connection, endpoint)
    except NotFound:
        return None
    others = [arm.version for name, arm in plan.arms.items() if name != CONTROL]
    return (plan.arms[CONTROL].version, others[0]) if len(others) == 1 else None


def reference(model: str, given: str) -> str:
    """A version as a side of a model's comparison names it: `2`, `champion`, or `churn@3` of another model."""
    return given if "@" in given else f"{model}@{given}"
