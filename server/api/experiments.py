"""Experiments: create, start, stop, report, looks."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from flask import Blueprint, Response

from core.errors import Invalid
from experiments.design import Design
from flows import experiment, metric
from flows.experiment import Changed
from flows.facts import looking, report
from server.api import requests
from server.api.requests import answer, applied, body, home, order
from server.decoding import convert, inside

blueprint = Blueprint("experiments", __name__, url_prefix="/v1/experiments")
blueprint.before_request(requests.admit)


class CreateBody(msgspec.Struct, forbid_unknown_fields=True):
    """A new experiment; it starts at once unless it is a draft. What its metrics leave out is as declared on the endpoint."""

    experiment: str
    endpoint: str
    design: dict[str, Any]
    draft: bool = False
    rerandomise: bool = False
    reason: str = "by REST"


class StartBody(msgspec.Struct, forbid_unknown_fields=True):
    """Whether units are given their arms anew."""

    rerandomise: bool = False
    reason: str = "by REST"


class ReasonBody(msgspec.Struct, forbid_unknown_fields=True):
    """Only why."""

    reason: str = "by REST"


@blueprint.get("")
def list_experiments() -> Response:
    """Every experiment."""
    return answer({"experiments": experiment.list_all(home().store)})


@blueprint.post("")
def create() -> Response:
    """A new experiment."""
    given = body(CreateBody)
    salt = secrets.token_hex(8) if given.rerandomise else None
    by = order(given.reason)
    with _in_the_design():
        design = convert(metric.complete(home().store, given.endpoint, given.design), Design, "design.")
        made = experiment.create(home().place, given.experiment, given.endpoint, design, by, draft=given.draft, salt=salt)
    return _changed(made, 201)


@blueprint.get("/<name>")
def show(name: str) -> Response:
    """One experiment."""
    return answer(experiment.show(home().store, name))


@blueprint.post("/<name>/start")
def start(name: str) -> Response:
    """Run a draft."""
    given = body(StartBody)
    salt = secrets.token_hex(8) if given.rerandomise else None
    return _changed(experiment.start(home().place, name, order(given.reason), salt))


@blueprint.post("/<name>/stop")
def stop(name: str) -> Response:
    """End it; the routing stays."""
    return _changed(experiment.stop(home().place, name, order(body(ReasonBody).reason)))


@blueprint.get("/<name>/report")
def show_report(name: str) -> Response:
    """What is known by now."""
    return answer(report.report(home().store, name))


@blueprint.get("/<name>/looks")
def show_looks(name: str) -> Response:
    """What every look has seen: how the estimates and their bounds came about."""
    return answer({"looks": looking.history(home().store, name)})


@contextmanager
def _in_the_design() -> Iterator[None]:
    """Errors of metrics name them by their place in the body."""
    try:
        yield
    except Invalid as error:
        if error.field is None or error.field.partition(".")[0] != "metrics":
            raise
        raise inside("design.", error) from None


def _changed(found: Changed, status: int = 200) -> Response:
    plan = {} if found.plan is None else {"plan": found.plan.plan}
    return applied({**found.shown, **plan}, found.plan, status)
