"""Versions that learners keep: found like others, and under the same rules."""

from __future__ import annotations

from typing import Literal

import pytest
from msgspec.structs import replace

from core.errors import Conflict
from core.ids import VersionId
from core.values import START
from flows import lifecycle
from flows.learning.keeping import Keep, register
from flows.learning.learners import learner_reader
from flows.registry import pointing, rules
from models.learner.settings import Learnt, RiverCard
from models.package import Package
from store import audit, positions
from store.alias_rules import RuleRow
from tests.flows.flow_world import card
from tests.flows.registry.registry_world import Registry, by


def keep(registry: Registry, by_what: Literal["snapshot", "challenger", "replay"] = "challenger") -> VersionId:
    """The learner of credit@1 keeps a version."""
    river = RiverCard(kind="classifier", learnt=Learnt("credit@1", 3, 20, (1, 0), "credit@1", "own", by_what))
    made = replace(card(task="classification"), format="river", river=river)
    with registry.store.write() as connection:
        alias = "challenger" if by_what == "challenger" else ""
        return register(connection, registry.blobs, "credit", Keep(Package(made, {}), alias), "learn:credit@1", 9.0, snapshot=3)


def test_a_kept_version_is_found(registry: Registry) -> None:
    """By what it is and who kept it; its alias has history."""
    registry.add()
    assert str(keep(registry)) == "credit@2"
    assert registry.search("runtime:river task:classification by:learn:credit@1 alias:challenger") == ["credit@2"]
    assert [move["by"] for move in pointing.history(registry.store, "credit", "challenger", 9)["moves"]] == ["learn:credit@1"]


def test_a_rule_holds_for_learners_too(registry: Registry) -> None:
    """The version is kept, the alias stays where it is, and the audit log says what is missing."""
    registry.add()
    keep(registry)
    rules.set_rule(registry.store, "credit", "challenger", RuleRow(False, True, False), by("root"))
    keep(registry)
    assert registry.search("alias:challenger") == ["credit@2"]
    with registry.store.read() as connection:
        row = audit.newest(connection, 1)[0]
    assert (row["action"], row["subject"], row["detail"]) == (
        "model.alias.refused",
        "credit@3",
        {"alias": "challenger", "missing": ["an approval"]},
    )


@pytest.mark.parametrize(("by_what", "refused"), [("snapshot", True), ("challenger", True), ("replay", False)])
def test_what_a_learner_may_go_back_to_stays(
    registry: Registry, by_what: Literal["snapshot", "challenger", "replay"], refused: bool
) -> None:
    """As long as it runs; the result of a replay it never goes back to."""
    registry.add()
    reader = learner_reader(VersionId("credit", 1))
    with registry.store.write() as connection:
        positions.begin(connection, reader, START, 0.0)
    version = str(keep(registry, by_what))
    if by_what == "challenger":
        pointing.set_alias(registry.store, "credit@1", "challenger", by("ann"))
        lifecycle.retire(registry.store, version, by("ann"))

    def delete() -> None:
        lifecycle.delete(registry.store, registry.blobs, version, by("ann"), 0.0)

    if refused:
        with pytest.raises(Conflict, match=f"the learner of credit@1 runs, and may go on from {version}") as caught:
            delete()
        assert caught.value.code == "in-use"
        with registry.store.write() as connection:
            positions.drop(connection, reader)
    delete()
    assert registry.search("") == ["credit@1"]
