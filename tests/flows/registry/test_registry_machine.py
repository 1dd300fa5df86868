"""Any sequence of changes of a small registry, beside a model of it in a few lines."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from core.errors import Conflict, NotFound
from core.ids import VersionId
from flows import lifecycle
from flows.registry import pointing, rules
from store.alias_rules import RuleRow
from tests.flows.registry.registry_world import Registry, by

NUMBERS = st.integers(1, 5)
PEOPLE = st.sampled_from(("ann", "bob", "carol"))
ALIASES = st.sampled_from(("champion", "challenger"))


class RegistryMachine(RuleBasedStateMachine):
    """Versions `credit@n` are dicts, aliases and their histories lists; a change either is what the model says, or refused as it says."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.registry = Registry(Path(self.directory.name))
        self.versions: dict[int, dict[str, Any]] = {}
        self.given = 0
        self.moves: dict[str, list[int | None]] = {"champion": [], "challenger": []}
        self.rule: RuleRow | None = None

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.directory.cleanup()

    def named(self, alias: str) -> int | None:
        """The version that the alias names."""
        return self.moves[alias][-1] if self.moves[alias] else None

    def attempt(self, expected: str, change: Any, *arguments: Any) -> bool:
        """Whether the change was made; the code of its refusal is the expected one."""
        found = ""
        try:
            change(self.registry.store, *arguments)
        except (Conflict, NotFound) as error:
            found = error.code
        assert found == expected
        return found == ""

    @rule(who=PEOPLE)
    def register(self, who: str) -> None:
        """The next number."""
        if self.given < 5:
            self.given += 1
            assert self.registry.add(who=by(who), content=bytes([self.given])).number == self.given
            self.versions[self.given] = {"by": who, "approved": set(), "tested": False, "retired": False, "revision": 1, "used": False}

    @rule(number=NUMBERS, passed=st.sampled_from((True, False, None)))
    def test(self, number: int, passed: bool | None) -> None:
        """A batch test."""
        if number in self.versions:
            self.registry.test(VersionId("credit", number), passed)
            if passed is not None:
                self.versions[number]["tested"] = passed
                self.versions[number]["revision"] += 1

    @rule(number=NUMBERS, who=PEOPLE)
    def approve(self, number: int, who: str) -> None:
        """Once by each, unless retired."""
        version = self.versions.get(number)
        expected = "version-not-found" if version is None else "retired" if version["retired"] else ""
        if version is not None and not expected and who in version["approved"]:
            expected = "already-approved"
        if self.attempt(expected, lifecycle.approve, f"credit@{number}", by(who)) and version is not None:
            version["approved"].add(who)
            version["revision"] += 1

    @rule(number=NUMBERS)
    def withdraw(self, number: int) -> None:
        """All approvals."""
        version = self.versions.get(number)
        expected = "version-not-found" if version is None else "" if version["approved"] else "not-approved"
        if self.attempt(expected, lifecycle.withdraw, f"credit@{number}", by("eve")) and version is not None:
            version["approved"].clear()
            version["revision"] += 1

    @rule(number=NUMBERS)
    def retire(self, number: int) -> None:
        """Unless an alias names it."""
        version = self.versions.get(number)
        expected = "version-not-found" if version is None else "retired" if version["retired"] else ""
        if not expected and number in map(self.named, self.moves):
            expected = "in-use"
        if self.attempt(expected, lifecycle.retire, f"credit@{number}", by("eve")) and version is not None:
            version.update(retired=True, revision=version["revision"] + 1)
            version["approved"].clear()

    @rule(number=NUMBERS)
    def restore(self, number: int) -> None:
        """What is retired."""
        version = self.versions.get(number)
        expected = "version-not-found" if version is None else "" if version["retired"] else "not-retired"
        if self.attempt(expected, lifecycle.restore, f"credit@{number}", by("eve")) and version is not None:
            version.update(retired=False, revision=version["revision"] + 1)

    @rule(number=NUMBERS)
    def delete(self, number: int) -> None:
        """What is retired, or was never named."""
        version = self.versions.get(number)
        expected = "version-not-found" if version is None else ""
        if version is not None and number in map(self.named, self.moves):
            expected = "in-use"
        elif version is not None and version["used"] and not version["retired"]:
            expected = "not-retired"
        blobs = self.registry.blobs
        if self.attempt(expected, lambda store: lifecycle.delete(store, blobs, f"credit@{number}", by("eve"), 0.0)):
            del self.versions[number]

    @rule(number=NUMBERS, alias=ALIASES, who=PEOPLE, if_match=st.none() | st.integers(0, 5))
    def point(self, number: int, alias: str, who: str, if_match: int | None) -> None:
        """On its condition, unless retired, where the rule is met."""
        version = self.versions.get(number)
        if if_match is not None and if_match != (self.named(alias) or 0):
            expected = "alias-changed"
        elif version is None:
            expected = "version-not-found"
        else:
            expected = "retired" if version["retired"] else "" if self.meets(version, alias, who) else "rule-not-met"
        if self.attempt(expected, pointing.set_alias, f"credit@{number}", alias, by(who), if_match) and version is not None:
            version["used"] = True
            if self.named(alias) != number:
                self.moves[alias].append(number)

    def meets(self, version: dict[str, Any], alias: str, who: str) -> bool:
        """Whether the version meets the rule of the alias."""
        if self.rule is None or alias != "champion":
            return True
        needed = {version["by"], who} if self.rule.by_another else set()
        approved = not self.rule.needs_approval or bool(version["approved"] - needed)
        return approved and (version["tested"] or not self.rule.needs_test)

    @rule(alias=ALIASES)
    def unalias(self, alias: str) -> None:
        """Where it stands."""
        expected = "" if self.named(alias) else "alias-not-found"
        if self.attempt(expected, pointing.remove_alias, "credit", alias, by("eve")):
            self.moves[alias].append(None)

    @rule(demands=st.tuples(st.booleans(), st.booleans(), st.booleans()))
    def demand(self, demands: tuple[bool, bool, bool]) -> None:
        """Another rule of `champion`, or none."""
        if self.given and any(demands):
            rules.set_rule(self.registry.store, "credit", "champion", RuleRow(*demands), by("root"))
            self.rule = RuleRow(demands[0], demands[1] or demands[2], demands[2])
        elif self.rule is not None:
            rules.drop_rule(self.registry.store, "credit", "champion", by("root"))
            self.rule = None

    @invariant()
    def agrees(self) -> None:
        """Versions, their states and revisions, searches by state, aliases and their histories are those of the model."""
        assert self.registry.search("") == [f"credit@{number}" for number in sorted(self.versions)]
        for number, version in self.versions.items():
            shown = self.registry.show(VersionId("credit", number))
            state = "approved" if version["approved"] else "tested" if version["tested"] else "registered"
            state = "retired" if version["retired"] else state
            assert (shown["state"], shown["revision"]) == (state, version["revision"])
            assert {each["by"] for each in shown["approvals"]} == version["approved"]
            assert f"credit@{number}" in self.registry.search(f"state:{state}")
        for alias, moves in self.moves.items():
            if moves:
                found = pointing.history(self.registry.store, "credit", alias, 999)["moves"]
                assert [move["version"] for move in reversed(found)] == [each and f"credit@{each}" for each in moves]
                assert self.registry.search(f"alias:{alias}") == ([f"credit@{moves[-1]}"] if moves[-1] else [])


RegistryMachine.TestCase.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
TestRegistry = RegistryMachine.TestCase
