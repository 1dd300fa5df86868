"""Units that are held out: served by their version, logged and marked as such, never analysed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from core import events
from core.errors import Invalid, ModelFailed, NotFound
from core.events import FALLBACK, FORCED, HELD_OUT, Predicted
from core.ids import Address, VersionId
from core.values import Output, Row
from flows import deploy, housekeep
from flows.deploy import HoldoutSpec
from flows.predict import Ask, Means, Missed, predict, predict_pinned
from flows.serving import Route, make_route
from models.package import Loaded
from routing.plan import Plan
from store import audit, workers
from store.tables import units
from tests.flows.flow_world import ARMS, World, card, order


class Model:
    """Answers the number of its version, or fails."""

    def __init__(self, number: int) -> None:
        self.number, self.fails = number, False

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        if self.fails:
            raise ModelFailed("broke")
        return [Output(value=float(self.number)) for _ in rows]


class Held:
    """An endpoint of which nearly all are held out, and what it has logged."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.models = {number: Model(number) for number in range(1, 5)}
        self.logged: list[Predicted] = []
        self.means = Means(self._append, lambda: 5.0, lambda _version, work, _seconds: work(), Missed())
        self.set(HoldoutSpec(1 - 1e-9, "m@3"))

    def set(self, holdout: HoldoutSpec | None) -> Plan:
        """Another holdout."""
        return deploy.set_holdout(self.world.place, "credit", holdout, order(1.0))

    @property
    def plan(self) -> Plan:
        """The current one."""
        with self.world.store.read() as connection:
            return deploy.load(connection, "credit")

    @property
    def route(self) -> Route:
        """The current plan's."""

        def get(version: VersionId) -> Loaded:
            return Loaded(card(), self.models[version.number], 0.0)

        return make_route(self.plan, get, lambda _: card().signature)

    def ask(self, unit: str | None = "u", forced: str | None = None) -> tuple[str, str]:
        """The arm and the version that answered."""
        answer = predict(self.route, Ask(unit, {"x": 1.0}, None, forced), self.means)
        return answer.arm, answer.model

    def _append(self, payload: bytes) -> Address:
        event = events.decode(payload)
        assert isinstance(event, Predicted)
        self.logged.append(event)
        return Address(1, len(self.logged), 7)


@pytest.fixture
def held(bare: World) -> Held:
    """`credit` with two arms."""
    bare.endpoint()
    return Held(bare)


def test_a_unit_that_is_held_out(held: Held) -> None:
    """Its version answers, the row is marked, its propensity is the share."""
    assert held.ask() == ("holdout", "m@3")
    [row] = held.logged
    assert (row.arm, row.version, row.flags, row.propensity) == ("holdout", "m@3", HELD_OUT, 1 - 1e-9)


def test_it_falls_back_to_control(held: Held) -> None:
    """Where its version fails; the row stays the holdout's."""
    held.models[3].fails = True
    assert held.ask() == ("holdout", "m@1")
    assert held.logged[0].flags == HELD_OUT | FALLBACK


def test_forced_pinned_and_without_a_unit(held: Held) -> None:
    """As ever: an operator's choice is served, the holdout's among others; its version can be asked by name."""
    assert held.ask(forced="treatment") == ("treatment", "m@2")
    assert held.ask(unit="v", forced="holdout") == ("holdout", "m@3")
    assert held.ask(unit=None)[0] in ARMS
    assert [row.flags & (FORCED | HELD_OUT) for row in held.logged] == [FORCED, FORCED, 0]
    assert predict_pinned(held.route, "holdout", Ask("u", {"x": 1.0}, None), held.means).model == "m@3"


def test_it_survives_promotion_and_rollback(held: Held) -> None:
    """The same version answers until the holdout itself is changed."""
    deploy.promote(held.world.place, "credit", "treatment", order(2.0))
    assert held.ask() == ("holdout", "m@3")
    deploy.rollback(held.world.place, "credit", 1, order(3.0))
    assert held.ask() == ("holdout", "m@3")
    held.set(None)
    assert held.ask()[0] in ARMS


def test_what_is_not_said_stays(held: Held) -> None:
    """Version and salt of a holdout that is made larger or smaller; at first control's version, and a salt of its own each time."""
    before = held.plan.holdout
    held.set(HoldoutSpec(0.5))
    after = held.plan.holdout
    assert before is not None
    assert after is not None
    assert (after.share, after.version, after.salt) == (0.5, "m@3", before.salt)
    held.set(None)
    anew = held.set(HoldoutSpec(0.5)).holdout
    assert anew is not None
    assert (anew.version, anew.salt == before.salt) == ("m@1", False)
    named = held.set(HoldoutSpec(0.1, "m@2", "mine")).holdout
    assert named is not None
    assert (named.version, named.salt) == ("m@2", "mine")


def test_who_did_it_is_in_the_audit_log(held: Held) -> None:
    """With the plan that it made."""
    with held.world.store.read() as connection:
        [newest] = audit.newest(connection, 1)
    assert (newest["action"], newest["subject"], newest["detail"]["plan"]) == ("endpoint.holdout", "credit", 2)


@pytest.mark.parametrize(
    ("holdout", "error", "field"), [(HoldoutSpec(1.5), Invalid, "holdout.share"), (HoldoutSpec(0.1, "m@9"), NotFound, "holdout.version")]
)
def test_what_cannot_be_held_out(held: Held, holdout: HoldoutSpec, error: type[Exception], field: str) -> None:
    """The field is named, and the holdout stays as it was."""
    before = held.plan
    with pytest.raises(error) as caught:
        held.set(holdout)
    assert (getattr(caught.value, "field", None), held.plan) == (field, before)


def test_a_holdout_that_cannot_be_served_is_sent_back(held: Held) -> None:
    """To the one before, which goes on."""
    before = held.plan.holdout
    held.set(HoldoutSpec(0.2, "m@4"))
    failed = [{"endpoint": "credit", "plan": 3, "version": "m@4", "reason": "broke"}]
    with held.world.store.write() as connection:
        workers.report(connection, "w1", 2.0, {"plans": {"credit": 2}, "failed": failed})
    housekeep.send_back(held.world.place, lambda: 2.0)
    assert (held.plan.plan, held.plan.holdout) == (4, before)


def test_an_experiment_leaves_them_out(world: World) -> None:
    """Who is held out from the start never enters; who entered before keeps its arm's entry; nobody else is moved."""
    world.predict(1.0, "early", "treatment")
    plan = deploy.set_holdout(world.place, "credit", HoldoutSpec(0.5, "m@3"), order(2.0))
    assert (plan.experiment, plan.phase) == ("e1", 2)
    for unit in ("early", "late"):
        world.predict(3.0, unit, "holdout", plan=3, flags=HELD_OUT)
    world.predict(4.0, "other", "treatment", plan=3)
    world.observe(5.0, "late")
    world.fold()
    states = world.states()
    assert (states["late"], states["other"]) == ("outside", "open")
    assert {row["unit"]: row["arm"] for row in world.rows(units) if row["unit"] != "late"} == {
        "early": "treatment",
        "other": "treatment",
    }
    assert world.tallies()["unanalysed"] == 1
