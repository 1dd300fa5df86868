"""Metrics declared on an endpoint."""

from __future__ import annotations

from flask import Blueprint, Response

from experiments.metric import Metric
from flows import metric
from server.api import requests
from server.api.requests import answer, applied, body, home, order

blueprint = Blueprint("metrics", __name__, url_prefix="/v1/endpoints/<endpoint>/metrics")
blueprint.before_request(requests.admit)


@blueprint.get("")
def list_metrics(endpoint: str) -> Response:
    """Every metric of the endpoint."""
    return answer({"metrics": metric.list_all(home().store, endpoint)})


@blueprint.post("")
def declare(endpoint: str) -> Response:
    """Declare one, or declare it anew."""
    return applied(metric.declare(home().place, endpoint, body(Metric), order("by REST")), None, 201)


@blueprint.delete("/<name>")
def remove(endpoint: str, name: str) -> Response:
    """Take it back."""
    metric.remove(home().place, endpoint, name, order("by REST"))
    return applied({"endpoint": endpoint, "metric": name, "removed": True}, None)
