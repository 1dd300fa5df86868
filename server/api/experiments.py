"""Experiments: plan, create, start, stop, report, plot."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from flask import Blueprint, Response, request

from experiments.design import Design
from flows import experiment, metric, planning, plot, report
from flows.experiment import Changed
from server.api import requests
from server.api.requests import answer, applied, body, home, order
from server.decoding import convert
from server.home import clock

blueprint = Blueprint("experiments", __name__, url_prefix="/v1/experiments")
blueprint.before_request(requests.admit)

_PAUSE_SECONDS = 0.0005
"""For which planning lets requests have the interpreter, every few milliseconds."""


class CreateBody(msgspec.Struct, forbid_unknown_fields=True):
    """A new experiment; it starts at once unless it is a draft. What its metrics leave out is as declared on the endpoint."""

    experiment: str
    endpoint: str
    design: dict[str, Any]
    draft: bool = False
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
    design = convert(metric.complete(home().store, given.endpoint, given.design), Design, "design.")
    return _changed(experiment.create(home().place, given.experiment, given.endpoint, design, order(given.reason), draft=given.draft), 201)


@blueprint.post("/power")
def power() -> Response:
    """How many units and days an experiment will need. Reads the journal, which can take a minute."""
    here = home()
    source = planning.Source(here.store, here.journal, clock, lambda: time.sleep(_PAUSE_SECONDS))
    return answer(planning.size(body(planning.Question), lambda: source))


@blueprint.get("/<name>")
def show(name: str) -> Response:
    """One experiment."""
    return answer(experiment.show(home().store, name))


@blueprint.post("/<name>/start")
def start(name: str) -> Response:
    """Run a draft."""
    return _changed(experiment.start(home().place, name, order(body(ReasonBody).reason)))


@blueprint.post("/<name>/stop")
def stop(name: str) -> Response:
    """End it; the routing stays."""
    return _changed(experiment.stop(home().place, name, order(body(ReasonBody).reason)))


@blueprint.get("/<name>/report")
def show_report(name: str) -> Response:
    """What is known by now."""
    return answer(report.report(home().store, name))


@blueprint.get("/<name>/plot.svg")
def show_plot(name: str) -> Response:
    """How the estimates and their bounds came about; of each `metric` asked for, else of all."""
    picture = plot.plot(home().store, name, request.args.getlist("metric"))
    return Response(picture, content_type="image/svg+xml", headers={"X-Content-Type-Options": "nosniff"})


def _changed(found: Changed, status: int = 200) -> Response:
    plan = {} if found.plan is None else {"plan": found.plan.plan}
    return applied({**found.shown, **plan}, found.plan, status)
