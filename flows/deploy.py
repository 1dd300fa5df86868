"""Deploy: every change of an endpoint's plan. One transaction: load the plan, follow it, store the next one, leave an audit row."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from msgspec.structs import replace

from core.errors import Conflict
from core.ids import VersionId, check_name, parse_version
from core.values import Position
from flows import known, remote
from flows.alias_moves import moves_between
from flows.follow import RECORD
from flows.registry import happening, pointing, rules
from flows.registry.uses import is_retired, parts, usable
from flows.serving import inputs_of
from flows.shadow import ShadowName
from routing import changes
from routing.changes import Change, Who
from routing.plan import CONTROL, AliasMove, Arm, Holdout, Plan, Shadow
from store import audit, experiments, plans, positions, registry
from store.engine import Store
from store.plans import PlanRow

CHAMPION = "champion"


class HoldoutSpec(NamedTuple):
    """A holdout as it is asked for. What is None stays as it was; at first the version is control's and the salt random."""

    share: float
    reference: str | None = None
    salt: str | None = None


class Order(NamedTuple):
    """Who orders a change and how: only if the plan is still `if_match`; only shown, not made, on a `dry_run`."""

    who: Who
    if_match: int | None = None
    dry_run: bool = False


class Place(NamedTuple):
    """Where changes are made. `journal_end` says where a reader starts that wants only what comes from now on."""

    store: Store
    journal_end: Callable[[], Position]


class ArmSpec(NamedTuple):
    """An arm as it is asked for: `credit@champion` or `credit@3`, and a weight."""

    reference: str
    weight: float


class ShadowSpec(NamedTuple):
    """A shadow as it is asked for: a version, or as `remote:staging/credit` the newest one that is there."""

    reference: str
    sample: float = 1.0


def create(
    place: Place, endpoint: str, arms: Mapping[str, ArmSpec], shadows: Mapping[str, ShadowSpec], enrolment: float, salt: str, order: Order
) -> Plan:
    """A new endpoint with its first plan; raises Conflict where the name is taken, or the order is for a plan."""
    check_name(endpoint, "endpoint")
    with place.store.write(keep=not order.dry_run) as connection:
        plan = changes.create(endpoint, _arms(connection, arms), _shadows(connection, shadows), enrolment, salt, order.who)
        _check_inputs(connection, plan)
        plans.create(connection, _row(plan))
        if order.if_match is not None:
            raise Conflict(f"If-Match: endpoint {endpoint!r} had no plan", field="If-Match", code="plan-changed")
        _begin_shadows(connection, place, plan)
        _note(connection, order.who, "endpoint.create", plan)
    return plan


def set_arms(
    place: Place,
    endpoint: str,
    arms: Mapping[str, ArmSpec],
    shadows: Mapping[str, ShadowSpec] | None,
    enrolment: float | None,
    order: Order,
) -> Plan:
    """Other arms or versions, and other shadows where given."""

    def follow(connection: sa.Connection, plan: Plan) -> Change:
        change = changes.set_arms(plan, _arms(connection, arms), enrolment, order.who)
        if shadows is None:
            return change
        return change._replace(plan=changes.with_shadows(change.plan, _shadows(connection, shadows)))

    return _change(place, endpoint, "endpoint.arms", order, follow)


def set_traffic(place: Place, endpoint: str, weights: Mapping[str, float], enrolment: float | None, order: Order) -> Plan:
    """Other weights, another enrolment."""
    return _change(place, endpoint, "endpoint.traffic", order, lambda _, plan: changes.set_traffic(plan, weights, enrolment, order.who))


def set_shadows(place: Place, endpoint: str, shadows: Mapping[str, ShadowSpec], order: Order) -> Plan:
    """Another set of shadows."""
    return _change(
        place,
        endpoint,
        "endpoint.shadows",
        order,
        lambda connection, plan: changes.set_shadows(plan, _shadows(connection, shadows), order.who),
    )


def set_holdout(place: Place, endpoint: str, holdout: HoldoutSpec | None, order: Order) -> Plan:
    """Hold out another share of the units, or let another version serve it; None: hold out nobody any more."""

    def follow(connection: sa.Connection, plan: Plan) -> Change:
        return changes.set_holdout(plan, None if holdout is None else _holdout(connection, plan, holdout), order.who)

    return _change(place, endpoint, "endpoint.holdout", order, follow)


def pause(place: Place, endpoint: str, order: Order) -> Plan:
    """All to control, weights remembered."""
    return _change(place, endpoint, "endpoint.pause", order, lambda _, plan: changes.pause(plan, order.who))


def resume(place: Place, endpoint: str, order: Order) -> Plan:
    """The split as before the pause."""
    return _change(place, endpoint, "endpoint.resume", order, lambda _, plan: changes.resume(plan, order.who))


def promote(place: Place, endpoint: str, arm: str | None, order: Order) -> Plan:
    """Control takes the arm's version at 100 %; `champion` moves along if it named the old control.

    Raises Conflict where `champion` has a rule that the arm's version does not meet: its name would say what is not so.
    """

    def follow(connection: sa.Connection, plan: Plan) -> Change:
        moves = _champion_moves(connection, plan, changes.choose(plan, arm))
        for move in moves:
            rules.check(connection, VersionId(move.model, move.now), move.alias, order.who.by)
        return changes.promote(plan, arm, moves, order.who)

    return _change(place, endpoint, "endpoint.promote", order, follow)


def rollback(place: Place, endpoint: str, to: int | None, order: Order, unserved: str | None = None) -> Plan:
    """The content of the parent (or of plan `to`) as a new plan; aliases move as the promotes between had moved them, or back.

    No rule and no retirement stands in the way of going back: a version that was retired since is restored. Where `to` lies ahead, a move
    that is made anew must satisfy the alias' rule as in a promote: else raises Conflict, as where the version was deleted that an alias
    would name. The holdout stays, unless its version is `unserved`: one that cannot be.
    """

    def follow(connection: sa.Connection, plan: Plan) -> Change:
        number = plan.parent if to is None else to
        if number is None:
            raise Conflict(f"plan {plan.plan} of {endpoint} has no parent to roll back to", code="no-parent")
        target = load(connection, endpoint, number)
        moves = moves_between(connection, plan, target, order.who.by)
        _restore_retired(connection, target, moves, order.who)
        return changes.restore(plan, target, moves, order.who, unserved)

    return _change(place, endpoint, "endpoint.rollback", order, follow)


def change_experiment(
    connection: sa.Connection, place: Place, endpoint: str, action: str, order: Order, follow: Callable[[Plan], Change]
) -> Plan:
    """Start or stop an experiment: a new plan, inside the caller's transaction."""
    return _change_in(connection, place, endpoint, action, order, lambda _, plan: follow(plan))


def load(connection: sa.Connection, endpoint: str, number: int | None = None) -> Plan:
    """The endpoint's current plan, or the one with that number; raises NotFound."""
    row = plans.current(connection, endpoint) if number is None else plans.get(connection, endpoint, number)
    return known.decode_plan(row.body)


def matching(connection: sa.Connection, endpoint: str, order: Order) -> Plan:
    """The endpoint's current plan; raises NotFound, and Conflict where it is not the one that the order is for."""
    plan = load(connection, endpoint)
    if order.if_match is not None and order.if_match != plan.plan:
        raise Conflict(f"If-Match: the plan of {endpoint} is {plan.plan}, not {order.if_match}", field="If-Match", code="plan-changed")
    return plan


def _change(place: Place, endpoint: str, action: str, order: Order, follow: Callable[[sa.Connection, Plan], Change]) -> Plan:
    with place.store.write(keep=not order.dry_run) as connection:
        return _change_in(connection, place, endpoint, action, order, follow)


def _change_in(
    connection: sa.Connection, place: Place, endpoint: str, action: str, order: Order, follow: Callable[[sa.Connection, Plan], Change]
) -> Plan:
    plan = matching(connection, endpoint, order)
    change = _after_what_is_settled(connection, follow(connection, plan))
    _check_inputs(connection, change.plan)
    _check_rise(connection, plan, change.plan)
    plans.append(connection, _row(change.plan))
    if change.ended is not None:
        experiments.update(connection, change.ended, state=experiments.STOPPED, stopped=change.plan.at, because=change.because)
        audit.write(connection, order.who.at, order.who.by, "experiment.end", change.ended, because=change.because)
    for move in change.moves:
        pointing.move(connection, VersionId(move.model, move.now), move.alias, order.who)
    _begin_shadows(connection, place, change.plan)
    _note(connection, order.who, action, change.plan)
    return change.plan


def _after_what_is_settled(connection: sa.Connection, change: Change) -> Change:
    """The change, no earlier than the journal time up to which `record` has settled units: it could not take that back.

    It was ordered before this transaction had the store to itself.
    """
    read = positions.get(connection, RECORD)
    at = change.plan.at if read is None else max(change.plan.at, read.at)
    return change._replace(plan=replace(change.plan, at=at))


def _arms(connection: sa.Connection, arms: Mapping[str, ArmSpec]) -> dict[str, Arm]:
    # Control first: it decides the order of the endpoint's inputs, whatever order the arms were named in.
    ordered = sorted(arms, key=lambda name: name != CONTROL)
    return {name: Arm(str(usable(connection, arms[name].reference, f"arms.{name}")), arms[name].weight) for name in ordered}


def _holdout(connection: sa.Connection, plan: Plan, asked: HoldoutSpec) -> Holdout:
    before = plan.holdout or Holdout(asked.share, plan.arms[CONTROL].version, secrets.token_hex(8))
    version = before.version if asked.reference is None else str(usable(connection, asked.reference, "holdout.version"))
    return Holdout(asked.share, version, asked.salt or before.salt)


def _shadows(connection: sa.Connection, shadows: Mapping[str, ShadowSpec]) -> dict[str, Shadow]:
    return {name: remote.shadow(connection, shadow.reference, shadow.sample, f"shadows.{name}") for name, shadow in shadows.items()}


def _check_inputs(connection: sa.Connection, plan: Plan) -> None:
    """The arms' inputs must go together; raises Conflict naming the feature otherwise."""
    cards = known.Known()
    inputs_of(plan, lambda version: cards.card(connection, version).signature)


def _check_rise(connection: sa.Connection, before: Plan, plan: Plan) -> None:
    """While the experiment that goes on is invalid no treatment gets more traffic: nobody knows what it does. Raises Conflict."""
    if plan.experiment is None or plan.experiment != before.experiment:
        return
    if all(_traffic(plan, arm) <= _traffic(before, arm) for arm in plan.arms if arm != CONTROL):
        return
    from flows.facts import report  # here, since only this needs what takes a while to import

    found = report.report_in(connection, plan.experiment)
    if found["verdict"] == "invalid":
        raise Conflict(
            f"experiment {plan.experiment} is invalid, and while it is, no treatment's share may rise: stop it first; {found['reason']}",
            code="experiment-invalid",
        )


def _traffic(plan: Plan, arm: str) -> float:
    """The arm's share of all units."""
    held = 0.0 if plan.holdout is None else plan.holdout.share
    return (1.0 - held) * plan.enrolment * plan.share(arm) if plan.mode == "split" and arm in plan.arms else 0.0


def _champion_moves(connection: sa.Connection, plan: Plan, arm: str) -> tuple[AliasMove, ...]:
    old, new = (parse_version(plan.arms[name].version) for name in (CONTROL, arm))
    if old.model != new.model or old.number == new.number:
        return ()
    named = [row for row in registry.list_aliases(connection, old.model) if row.alias == CHAMPION and row.version == old]
    return (AliasMove(old.model, CHAMPION, old.number, new.number),) if named else ()


def _restore_retired(connection: sa.Connection, target: Plan, moves: Iterable[AliasMove], who: Who) -> None:
    # The holdout stays what it is, whatever that plan's was.
    named = {*(version for _, version in parts(replace(target, holdout=None))), *(str(VersionId(move.model, move.now)) for move in moves)}
    for version in sorted(map(parse_version, named)):
        if is_retired(connection, version):
            happening.restore(connection, version, who)


def _begin_shadows(connection: sa.Connection, place: Place, plan: Plan) -> None:
    # Their readers start before this plan can be seen, so after every row that does not name them.
    for name, shadow in plan.shadows.items():
        shadow_name = ShadowName(plan.endpoint, name, shadow.version)
        positions.begin(connection, shadow_name.reader, place.journal_end(), plan.at)


def _row(plan: Plan) -> PlanRow:
    return PlanRow(plan.endpoint, plan.plan, plan.phase, plan.at, known.encode(plan))


def _note(connection: sa.Connection, who: Who, action: str, plan: Plan) -> None:
    detail: dict[str, Any] = {"plan": plan.plan, "parent": plan.parent, "phase": plan.phase, "reason": plan.reason}
    audit.write(connection, who.at, who.by, action, plan.endpoint, **detail)
