"""Rules of aliases: what a version must have, and who is a second person."""

from __future__ import annotations

import pytest

from core.errors import Conflict, Invalid, NotFound
from flows import deploy, lifecycle
from flows.deploy import ArmSpec, Order
from flows.registry import pointing, rules
from flows.registry.people import is_another
from store.alias_rules import RuleRow
from tests.flows.registry.registry_world import Registry, by

ALL = RuleRow(needs_test=True, needs_approval=True, by_another=True)
TEST = "a batch test that passed (the newest with thresholds counts)"


def lacks(registry: Registry, mover: str) -> str:
    """Why `champion` may not name credit@1; "" where it may."""
    try:
        pointing.set_alias(registry.store, "credit@1", "champion", by(mover))
    except Conflict as error:
        return f"{error.code}: {error.message}".partition("rule-not-met: credit@champion may not name credit@1: it needs ")[2]
    pointing.remove_alias(registry.store, "credit", "champion", by("root"))
    return ""


@pytest.fixture
def ruled(registry: Registry) -> Registry:
    """credit@1, which ann registered; champion demands everything."""
    registry.add()
    rules.set_rule(registry.store, "credit", "champion", ALL, by("root"))
    return registry


def test_all_that_is_missing_is_said(ruled: Registry) -> None:
    """A test, an approval, and one by somebody else; once all are there the alias moves."""
    assert lacks(ruled, "ann") == f"{TEST} and an approval"
    version = ruled.add(tags=("other",))
    ruled.test(version._replace(number=1), True)
    assert lacks(ruled, "ann") == "an approval"
    lifecycle.approve(ruled.store, "credit@1", by("ann"))
    assert lacks(ruled, "ann") == "an approval by somebody else than ann"
    lifecycle.approve(ruled.store, "credit@1", by("bob"))
    assert lacks(ruled, "bob") == "an approval by somebody else than ann and bob"
    assert lacks(ruled, "ann") == lacks(ruled, "carol") == ""


def test_the_newest_test_with_thresholds_counts(ruled: Registry) -> None:
    """One that failed since takes the pass away; one without thresholds says nothing."""
    rules.set_rule(ruled.store, "credit", "champion", RuleRow(True, False, False), by("root"))
    version = ruled.add()._replace(number=1)
    for passed, lacking in ((None, TEST), (True, ""), (None, ""), (False, TEST), (None, TEST), (True, "")):
        ruled.test(version, passed)
        assert lacks(ruled, "ann") == lacking


def test_approvals_end(ruled: Registry) -> None:
    """A withdrawal ends all, a retirement too; what comes after counts again."""
    rules.set_rule(ruled.store, "credit", "champion", RuleRow(False, True, False), by("root"))
    for end in (lifecycle.withdraw, lifecycle.retire):
        lifecycle.approve(ruled.store, "credit@1", by("bob"))
        assert lacks(ruled, "ann") == ""
        end(ruled.store, "credit@1", by("eve"))
    lifecycle.restore(ruled.store, "credit@1", by("eve"))
    assert lacks(ruled, "ann") == "an approval"


@pytest.mark.parametrize(
    ("actor", "others", "another"),
    [
        ("bob", ("ann",), True),
        ("ann", ("ann",), False),
        ("Ann (cli)", ("ann",), False),
        ("ann", ("ANN (cli)", "bob"), False),
        ("bob (cli)", ("ann", "carol"), True),
        ("anonymous", ("ann",), False),
        ("unknown (cli)", ("ann",), False),
    ],
)
def test_who_is_another(actor: str, others: tuple[str, ...], another: bool) -> None:
    """The same name is the same person, from wherever; who cannot be told is nobody."""
    assert is_another(actor, others) is another


def test_a_rule_is_shown(ruled: Registry) -> None:
    """What is demanded, and what the version that the alias names now lacks, for it may be older than the rule."""
    rules.drop_rule(ruled.store, "credit", "champion", by("root"))
    pointing.set_alias(ruled.store, "credit@1", "champion", by("ann"))
    rules.set_rule(ruled.store, "credit", "champion", RuleRow(False, False, True), by("root"))
    assert rules.show_rule(ruled.store, "credit", "champion") == {
        "model": "credit",
        "alias": "champion",
        "needs_test": False,
        "needs_approval": True,
        "by_another": True,
        "version": "credit@1",
        "missing": ["an approval"],
    }
    assert [action for action, subject in ruled.actions() if subject == "credit@champion"] == [
        "model.rule",
        "model.rule.drop",
        "model.rule",
    ]


def test_what_is_no_rule(ruled: Registry) -> None:
    """One that demands nothing, one that is not there, one of no model."""
    with pytest.raises(Invalid, match="expected at least one of needs_test"):
        rules.set_rule(ruled.store, "credit", "champion", RuleRow(False, False, False), by("root"))
    for missing in (
        lambda: rules.drop_rule(ruled.store, "credit", "other", by("root")),
        lambda: rules.show_rule(ruled.store, "credit", "other"),
        lambda: rules.set_rule(ruled.store, "none", "champion", ALL, by("root")),
    ):
        with pytest.raises(NotFound):
            missing()


def test_other_aliases_are_free(ruled: Registry) -> None:
    """A rule is of one alias of one model."""
    for version, alias in (("credit@1", "challenger"), ("m@1", "champion")):
        assert str(pointing.set_alias(ruled.store, version, alias, by("ann"))) == version


def test_a_promote_does_not_break_a_rule(registry: Registry) -> None:
    """It is refused where it would let `champion` name what the rule forbids, and changes nothing; approved, it goes through."""
    arms = {"control": ArmSpec("m@1", 1), "treatment": ArmSpec("m@2", 1)}
    deploy.create(registry.place, "e", arms, {}, 1.0, "salt", Order(by("ann")))
    pointing.set_alias(registry.store, "m@1", "champion", by("ann"))
    rules.set_rule(registry.store, "m", "champion", RuleRow(False, True, True), by("root"))
    with pytest.raises(Conflict, match="m@champion may not name m@2: it needs an approval") as caught:
        deploy.promote(registry.place, "e", None, Order(by("ann")))
    assert caught.value.code == "rule-not-met"
    assert registry.search("alias:champion") == []
    lifecycle.approve(registry.store, "m@2", by("bob"))
    deploy.promote(registry.place, "e", None, Order(by("ann", 9.0)))
    assert pointing.show_alias(registry.store, "m", "champion")["version"] == "m@2"


def test_a_rollback_goes_back_whatever_the_rule(registry: Registry) -> None:
    """What was may be again: m@1 was never approved."""
    arms = {"control": ArmSpec("m@1", 1), "treatment": ArmSpec("m@2", 1)}
    deploy.create(registry.place, "e", arms, {}, 1.0, "salt", Order(by("ann")))
    pointing.set_alias(registry.store, "m@1", "champion", by("ann"))
    deploy.promote(registry.place, "e", None, Order(by("ann", 1.0)))
    rules.set_rule(registry.store, "m", "champion", ALL, by("root"))
    deploy.rollback(registry.place, "e", None, Order(by("ann", 2.0)))
    history = pointing.history(registry.store, "m", "champion", 9)["moves"]
    assert [move["version"] for move in history] == ["m@1", "m@2", "m@1"]


def test_a_rollback_makes_no_move_that_a_promote_may_not(registry: Registry) -> None:
    """To a later plan it moves an alias forward: only where the rule is met, else nothing changes. Undoing that again is free."""
    arms = {"control": ArmSpec("m@1", 1), "treatment": ArmSpec("m@2", 1)}
    deploy.create(registry.place, "e", arms, {}, 1.0, "salt", Order(by("ann")))
    pointing.set_alias(registry.store, "m@1", "champion", by("ann"))
    deploy.promote(registry.place, "e", None, Order(by("ann", 1.0)))
    deploy.rollback(registry.place, "e", None, Order(by("ann", 2.0)))
    rules.set_rule(registry.store, "m", "champion", RuleRow(False, True, True), by("root"))
    lifecycle.approve(registry.store, "m@2", by("bob"))
    with pytest.raises(Conflict, match="m@champion may not name m@2: it needs an approval by somebody else than me and bob") as caught:
        deploy.rollback(registry.place, "e", 2, Order(by("bob", 3.0)))
    assert caught.value.code == "rule-not-met"
    assert deploy.rollback(registry.place, "e", 2, Order(by("ann", 4.0))).plan == 4
    lifecycle.withdraw(registry.store, "m@2", by("bob"))
    deploy.rollback(registry.place, "e", None, Order(by("ann", 5.0)))
    with pytest.raises(Conflict, match="m@champion may not name m@2: it needs an approval"):
        deploy.rollback(registry.place, "e", 4, Order(by("ann", 6.0)))
    history = pointing.history(registry.store, "m", "champion", 9)["moves"]
    assert [move["version"] for move in history] == ["m@1", "m@2", "m@1", "m@2", "m@1"]


def test_going_back_to_what_a_rollback_restored_is_free(registry: Registry) -> None:
    """The plan that was restored and the one that it stands for are both behind: no rule asks which of them is named."""
    arms = {"control": ArmSpec("m@1", 1), "treatment": ArmSpec("m@2", 1)}
    deploy.create(registry.place, "e", arms, {}, 1.0, "salt", Order(by("ann")))
    pointing.set_alias(registry.store, "m@1", "champion", by("ann"))
    deploy.promote(registry.place, "e", None, Order(by("ann", 1.0)))
    deploy.pause(registry.place, "e", Order(by("ann", 2.0)))
    deploy.rollback(registry.place, "e", None, Order(by("ann", 3.0)))
    deploy.set_arms(registry.place, "e", {"control": ArmSpec("m@2", 1), "next": ArmSpec("m@3", 1)}, None, None, Order(by("ann", 4.0)))
    deploy.promote(registry.place, "e", None, Order(by("ann", 5.0)))
    rules.set_rule(registry.store, "m", "champion", ALL, by("root"))
    deploy.rollback(registry.place, "e", 2, Order(by("ann", 6.0)))
    assert pointing.show_alias(registry.store, "m", "champion")["version"] == "m@2"


def test_a_rule_asks_nothing_of_an_alias_that_stays(registry: Registry) -> None:
    """Where somebody has moved it elsewhere meanwhile the rollback leaves it alone, and its rule does not stand in the way."""
    arms = {"control": ArmSpec("m@1", 1), "treatment": ArmSpec("m@2", 1)}
    deploy.create(registry.place, "e", arms, {}, 1.0, "salt", Order(by("ann")))
    pointing.set_alias(registry.store, "m@1", "champion", by("ann"))
    deploy.promote(registry.place, "e", None, Order(by("ann", 1.0)))
    deploy.rollback(registry.place, "e", None, Order(by("ann", 2.0)))
    pointing.set_alias(registry.store, "m@4", "champion", by("bob"))
    rules.set_rule(registry.store, "m", "champion", ALL, by("root"))
    deploy.rollback(registry.place, "e", 2, Order(by("ann", 3.0)))
    assert pointing.show_alias(registry.store, "m", "champion")["version"] == "m@4"
