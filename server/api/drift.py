"""Drift: what is served beside the sample of the version that answers."""

from __future__ import annotations

from flask import Blueprint, Response

from flows.watching import report
from flows.watching.windows import measures
from server.api import requests
from server.api.requests import answer, home

blueprint = Blueprint("drift", __name__, url_prefix="/v1/endpoints")
blueprint.before_request(requests.admit)


@blueprint.get("/<endpoint>/drift")
def show(endpoint: str) -> Response:
    """The newest judgement of each version, and the newest `limit` windows."""
    return answer(report.report(home().store, endpoint, measures(home().settings), requests.limit(10)))
