"""Endpoints: their plans, and every change of them."""

from __future__ import annotations

import secrets
from typing import Annotated

import msgspec
from flask import Blueprint, Response
from msgspec import Meta

from core.errors import Invalid
from flows import deploy, known, shadow_report, status
from flows.deploy import ArmSpec, HoldoutSpec, ShadowSpec
from models.remote.reference import PREFIX
from routing.plan import public
from server.api import requests
from server.api.requests import answer, body, changed, home, order
from server.home import clock
from store import plans

blueprint = Blueprint("endpoints", __name__, url_prefix="/v1/endpoints")
blueprint.before_request(requests.admit)


_MOST_READ = 32 * 2**20
"""Bytes of the journal that a report may read here: more would hold up the predictions of this process for too long."""


class ArmBody(msgspec.Struct, forbid_unknown_fields=True):
    """An arm as it is asked for: `{"version": "credit@champion", "weight": 90}`."""

    version: str
    weight: float


class ShadowBody(msgspec.Struct, forbid_unknown_fields=True):
    """A shadow as it is asked for: `{"version": "credit@3", "sample": 0.5}`, or with `remote` in place of `version`: `"staging/credit"`."""

    version: str | None = None
    remote: str | None = None
    sample: float = 1.0


class ArmsBody(msgspec.Struct, forbid_unknown_fields=True):
    """Arms, and with them shadows and enrolment where they are to change too."""

    arms: dict[str, ArmBody]
    shadows: dict[str, ShadowBody] | None = None
    enrolment: float | None = None
    reason: str = "by REST"


class CreateBody(ArmsBody, kw_only=True):
    """A new endpoint."""

    endpoint: str
    salt: str | None = None


class TrafficBody(msgspec.Struct, forbid_unknown_fields=True):
    """A weight for every arm, and the enrolment where it is to change."""

    weights: dict[str, float]
    enrolment: float | None = None
    reason: str = "by REST"


class ShadowsBody(msgspec.Struct, forbid_unknown_fields=True):
    """The whole set of shadows."""

    shadows: dict[str, ShadowBody]
    reason: str = "by REST"


class HoldoutSpecBody(msgspec.Struct, forbid_unknown_fields=True):
    """A holdout as it is asked for: `{"share": 0.05, "version": "credit@1"}`."""

    share: float
    version: str | None = None
    salt: str | None = None


class HoldoutBody(msgspec.Struct, forbid_unknown_fields=True):
    """The holdout, or null for none any more."""

    holdout: HoldoutSpecBody | None
    reason: str = "by REST"


class PromoteBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which arm; optional where there is one other than control."""

    arm: str | None = None
    reason: str = "by REST"


class RollbackBody(msgspec.Struct, forbid_unknown_fields=True):
    """To which plan; its parent where none is named."""

    to: Annotated[int, Meta(ge=1, le=2**31)] | None = None
    reason: str = "by REST"


class ReasonBody(msgspec.Struct, forbid_unknown_fields=True):
    """Only why."""

    reason: str = "by REST"


@blueprint.get("")
def list_endpoints() -> Response:
    """Every endpoint with its current plan."""
    with home().store.read() as connection:
        return answer({"endpoints": [public(deploy.load(connection, name)) for name in plans.current_numbers(connection)]})


@blueprint.post("")
def create() -> Response:
    """A new endpoint."""
    given = body(CreateBody)
    plan = deploy.create(
        home().place,
        given.endpoint,
        _arms(given.arms),
        _shadows(given.shadows or {}),
        1.0 if given.enrolment is None else given.enrolment,
        given.salt or secrets.token_hex(8),
        order(given.reason),
    )
    return changed(plan, 201)


@blueprint.get("/<endpoint>")
@blueprint.get("/<endpoint>/plan")
def show(endpoint: str) -> Response:
    """The current plan."""
    with home().store.read() as connection:
        plan = deploy.load(connection, endpoint)
    return answer(public(plan), headers={"ETag": f'"{plan.plan}"'})


@blueprint.put("/<endpoint>/plan")
def set_plan(endpoint: str) -> Response:
    """Other arms: the beginning of a new comparison."""
    given = body(ArmsBody)
    shadows = None if given.shadows is None else _shadows(given.shadows)
    return changed(deploy.set_arms(home().place, endpoint, _arms(given.arms), shadows, given.enrolment, order(given.reason)))


@blueprint.put("/<endpoint>/traffic")
def traffic(endpoint: str) -> Response:
    """Shift traffic."""
    given = body(TrafficBody)
    return changed(deploy.set_traffic(home().place, endpoint, given.weights, given.enrolment, order(given.reason)))


@blueprint.get("/<endpoint>/shadows")
def list_shadows(endpoint: str) -> Response:
    """The shadows of the current plan, and how they compare."""
    with home().store.read() as connection:
        plan = deploy.load(connection, endpoint)
        names = status.shadow_names(connection, plan)
        return answer({"shadows": {name.shadow: status.shadow_report(connection, name) for name in names}})


@blueprint.put("/<endpoint>/shadows")
def set_shadows(endpoint: str) -> Response:
    """Another set of shadows."""
    given = body(ShadowsBody)
    return changed(deploy.set_shadows(home().place, endpoint, _shadows(given.shadows), order(given.reason)))


@blueprint.put("/<endpoint>/holdout")
def set_holdout(endpoint: str) -> Response:
    """Another holdout, or none."""
    given = body(HoldoutBody)
    one = given.holdout
    asked = None if one is None else HoldoutSpec(one.share, one.version, one.salt)
    return changed(deploy.set_holdout(home().place, endpoint, asked, order(given.reason)))


@blueprint.get("/<endpoint>/holdout/report")
def report_holdout(endpoint: str) -> Response:
    """The units held out beside those that were treated."""
    from flows import holdout_report

    begin, stop = requests.time_range()
    wanted = holdout_report.Wanted(endpoint, begin, stop, _MOST_READ)
    return answer(holdout_report.report(holdout_report.Source(home().store, home().journal, clock), wanted))


@blueprint.get("/<endpoint>/shadows/<shadow>/report")
def report_shadow(endpoint: str, shadow: str) -> Response:
    """What one shadow's answers are worth beside those that users saw."""
    return answer(shadow_report.report(home().store, home().journal, endpoint, shadow, clock))


@blueprint.post("/<endpoint>/promote")
def promote(endpoint: str) -> Response:
    """Make an arm's version the control."""
    given = body(PromoteBody)
    return changed(deploy.promote(home().place, endpoint, given.arm, order(given.reason)))


@blueprint.post("/<endpoint>/rollback")
def rollback(endpoint: str) -> Response:
    """Go back to an earlier plan."""
    given = body(RollbackBody)
    return changed(deploy.rollback(home().place, endpoint, given.to, order(given.reason)))


@blueprint.post("/<endpoint>/pause")
def pause(endpoint: str) -> Response:
    """All to control."""
    return changed(deploy.pause(home().place, endpoint, order(body(ReasonBody).reason)))


@blueprint.post("/<endpoint>/resume")
def resume(endpoint: str) -> Response:
    """The split as before the pause."""
    return changed(deploy.resume(home().place, endpoint, order(body(ReasonBody).reason)))


@blueprint.get("/<endpoint>/history")
def history(endpoint: str) -> Response:
    """The plans of the endpoint, newest first."""
    with home().store.read() as connection:
        rows = plans.history(connection, endpoint, requests.limit())
    return answer({"plans": [public(known.decode_plan(row.body)) for row in rows]})


@blueprint.get("/<endpoint>/status")
def show_status(endpoint: str) -> Response:
    """Which plan is applied where, how far shadows and readers are."""
    return answer(status.status(home().store, home().journal, endpoint, clock))


def _arms(arms: dict[str, ArmBody]) -> dict[str, ArmSpec]:
    return {name: ArmSpec(arm.version, arm.weight) for name, arm in arms.items()}


def _shadows(shadows: dict[str, ShadowBody]) -> dict[str, ShadowSpec]:
    return {name: ShadowSpec(_reference(name, shadow), shadow.sample) for name, shadow in shadows.items()}


def _reference(name: str, shadow: ShadowBody) -> str:
    if shadow.version is not None and shadow.remote is None:
        return shadow.version
    if shadow.remote is not None and shadow.version is None:
        return PREFIX + shadow.remote
    raise Invalid(f"shadows.{name}: expected a version or a remote, one of them", field=f"shadows.{name}")
