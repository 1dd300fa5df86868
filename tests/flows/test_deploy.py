"""Changes of a plan, with what comes along: aliases, audit rows, readers of shadows, the end of an experiment."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.errors import Conflict, NotFound
from core.ids import VersionId
from core.values import Position
from flows import deploy, experiment, known
from flows.deploy import ArmSpec, ShadowSpec
from routing.plan import Arm, Plan
from store import audit, experiments, plans, positions, registry
from tests.flows.flow_world import ARMS, World, card, order


def champion(world: World) -> int:
    """The version that the alias names."""
    with world.store.read() as connection:
        return registry.resolve(connection, "m@champion", "m").number


def crown(world: World, number: int) -> None:
    """Point the alias at a version."""
    with world.store.write() as connection:
        registry.set_alias(connection, VersionId("m", number), "champion", "me", 0.0)


def actions(world: World) -> list[str]:
    """The audit log's actions, oldest first."""
    with world.store.read() as connection:
        return [row["action"] for row in reversed(audit.newest(connection, 99))]


def current(world: World) -> Plan:
    """The current plan."""
    with world.store.read() as connection:
        return deploy.load(connection, "credit")


@pytest.fixture
def crowned(world: World) -> World:
    """The experiment's world, with `champion` at control's version."""
    crown(world, 1)
    return world


def test_promote_and_rollback_move_the_champion(crowned: World) -> None:
    """Promote moves the alias that named the old control, rollback moves it back."""
    assert deploy.promote(crowned.place, "credit", None, order(1.0)).arms == {"control": Arm("m@2", 1.0)}
    assert champion(crowned) == 2
    plan = deploy.rollback(crowned.place, "credit", None, order(2.0))
    assert (champion(crowned), set(plan.arms), plan.parent) == (1, {"control", "treatment"}, 1)


def test_an_alias_moved_meanwhile_is_theirs(crowned: World) -> None:
    """Rolling back leaves an alias alone that somebody has moved since."""
    deploy.promote(crowned.place, "credit", None, order(1.0))
    crown(crowned, 4)
    deploy.rollback(crowned.place, "credit", None, order(2.0))
    assert champion(crowned) == 4


def test_a_champion_elsewhere_stays(world: World) -> None:
    """Promote moves no alias that did not name the old control."""
    crown(world, 3)
    deploy.promote(world.place, "credit", None, order(1.0))
    assert champion(world) == 3


def test_rollback_over_two_promotes(crowned: World) -> None:
    """Going back to an ancestor undoes the moves of all promotes between."""
    deploy.promote(crowned.place, "credit", None, order(1.0))
    deploy.set_arms(crowned.place, "credit", {"control": ArmSpec("m@2", 1), "next": ArmSpec("m@3", 1)}, None, None, order(2.0))
    deploy.promote(crowned.place, "credit", None, order(3.0))
    assert champion(crowned) == 3
    deploy.rollback(crowned.place, "credit", 1, order(4.0))
    assert (champion(crowned), current(crowned).arms["control"].version) == (1, "m@1")


def test_undoing_a_rollback_moves_the_champion_again(crowned: World) -> None:
    """Wherever one goes in the history, the alias names the version that control had there."""
    promoted = deploy.promote(crowned.place, "credit", None, order(1.0)).plan
    deploy.set_arms(crowned.place, "credit", {"control": ArmSpec("m@2", 1), "next": ArmSpec("m@3", 1)}, None, None, order(2.0))
    again = deploy.promote(crowned.place, "credit", None, order(3.0)).plan
    for number, version in ((1, 1), (again, 3), (promoted, 2), (1, 1), (promoted, 2), (again, 3)):
        plan = deploy.rollback(crowned.place, "credit", number, order(4.0))
        assert (champion(crowned), plan.arms["control"].version) == (version, f"m@{version}")


def test_the_first_plan_has_nothing_before_it(bare: World) -> None:
    """Rolling it back is a Conflict, an unknown plan NotFound."""
    bare.endpoint()
    with pytest.raises(Conflict) as caught:
        deploy.rollback(bare.place, "credit", None, order())
    assert caught.value.code == "no-parent"
    with pytest.raises(NotFound):
        deploy.rollback(bare.place, "credit", 9, order())


def test_a_lost_race(world: World) -> None:
    """If-Match with another number than the current plan's changes nothing; with the current one it goes through."""
    with pytest.raises(Conflict, match="the plan of credit is 2, not 1") as caught:
        deploy.pause(world.place, "credit", order(1.0, if_match=1))
    assert (caught.value.code, current(world).plan) == ("plan-changed", 2)
    assert deploy.pause(world.place, "credit", order(1.0, if_match=2)).plan == 3


def test_what_is_to_be_made_has_no_plan_to_match(bare: World) -> None:
    """An order that a new endpoint be made only from a plan makes none."""
    with pytest.raises(Conflict, match="If-Match: endpoint 'credit' had no plan") as caught:
        deploy.create(bare.place, "credit", ARMS, {}, 1.0, "salt", order(if_match=1))
    assert (caught.value.code, caught.value.field) == ("plan-changed", "If-Match")
    with pytest.raises(NotFound):
        current(bare)


CHANGES: dict[str, Callable[[World, bool], Plan]] = {
    "endpoint.arms": lambda w, dry: deploy.set_arms(
        w.place, "credit", {**ARMS, "c": ArmSpec("m@3", 1)}, {"next": ShadowSpec("m@4")}, 0.5, order(9.0, dry_run=dry)
    ),
    "endpoint.traffic": lambda w, dry: deploy.set_traffic(w.place, "credit", {"control": 1, "treatment": 9}, None, order(9.0, dry_run=dry)),
    "endpoint.shadows": lambda w, dry: deploy.set_shadows(w.place, "credit", {"next": ShadowSpec("m@3")}, order(9.0, dry_run=dry)),
    "endpoint.pause": lambda w, dry: deploy.pause(w.place, "credit", order(9.0, dry_run=dry)),
    "endpoint.promote": lambda w, dry: deploy.promote(w.place, "credit", None, order(9.0, dry_run=dry)),
    "endpoint.rollback": lambda w, dry: deploy.rollback(w.place, "credit", None, order(9.0, dry_run=dry)),
}


@pytest.mark.parametrize("action", CHANGES)
def test_dry_run(crowned: World, action: str) -> None:
    """It shows the plan that the change would make, and writes nothing at all."""

    def all_of_it() -> object:
        with crowned.store.read() as connection:
            history = plans.history(connection, "credit", 99)
            return history, positions.every(connection), experiments.list_all(connection), audit.newest(connection, 99), champion(crowned)

    before = all_of_it()
    shown = CHANGES[action](crowned, True)
    assert all_of_it() == before
    assert CHANGES[action](crowned, False) == shown == current(crowned)


@pytest.mark.parametrize("action", CHANGES)
def test_audit(crowned: World, action: str) -> None:
    """Every change leaves a row with who, when, what and the plan; the end of an experiment and the move of an alias one of their own."""
    before = len(actions(crowned))
    plan = CHANGES[action](crowned, False)
    ends = action in ("endpoint.arms", "endpoint.promote", "endpoint.rollback")
    moves = ["model.alias"] if action == "endpoint.promote" else []
    assert actions(crowned)[before:] == ["experiment.end", *moves, action][not ends :]
    with crowned.store.read() as connection:
        [row] = audit.newest(connection, 1)
    assert (row["actor"], row["at"], row["subject"], row["detail"]["plan"]) == ("me", 9.0, "credit", plan.plan)


def test_a_change_of_arms_ends_the_experiment(world: World) -> None:
    """It is stopped at that time, with the reason."""
    deploy.set_arms(world.place, "credit", {**ARMS, "treatment": ArmSpec("m@3", 1)}, None, None, order(7.0))
    shown = experiment.show(world.store, "e1")
    assert (shown["state"], shown["stopped_because"]) == ("stopped", "its arms changed: because")
    with pytest.raises(Conflict) as caught:
        experiment.stop(world.place, "e1", order(8.0))
    assert caught.value.code == "experiment-stopped"


def test_shadow_readers_begin_at_the_journals_end(world: World) -> None:
    """A shadow sees what is answered from its plan on; a new version under its name is another reader, the old one keeps its place."""
    world.predict(1.0, "u")
    deploy.set_shadows(world.place, "credit", {"next": ShadowSpec("m@3")}, order(1.0))
    world.predict(2.0, "u")
    deploy.set_shadows(world.place, "credit", {"next": ShadowSpec("m@4")}, order(2.0))
    deploy.pause(world.place, "credit", order(3.0))
    with world.store.read() as connection:
        found = {name: row.position for name, row in positions.every(connection).items()}
    assert found == {"shadow:credit/next/m@3": Position(1, 10), "shadow:credit/next/m@4": Position(1, 20)}


def test_versions_that_do_not_go_together(world: World) -> None:
    """Arms whose features clash are refused by the feature's name, and nothing is stored."""
    clash = card("x")
    text = clash.signature.features[0].__class__("x", "str")
    body = known.encode(clash).replace(known.encode(clash.signature.features[0]), known.encode(text))
    with world.store.write() as connection:
        registry.add_version(connection, "texts", body, "me", 0.0)
    with pytest.raises(Conflict, match="feature 'x'"):
        deploy.set_arms(world.place, "credit", {**ARMS, "c": ArmSpec("texts@1", 1)}, None, None, order(1.0))
    assert current(world).plan == 2


def test_moving_an_alias_moves_no_traffic(bare: World) -> None:
    """An alias is resolved when the plan is made."""
    crown(bare, 1)
    deploy.create(bare.place, "credit", {"control": ArmSpec("m@champion", 1)}, {}, 1.0, "s", order())
    crown(bare, 2)
    assert current(bare).arms["control"].version == "m@1"
