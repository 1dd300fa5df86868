"""Search among the versions of all models."""

from __future__ import annotations

from flask import Blueprint, Response, request

from flows.registry import searching
from server.api import requests
from server.api.requests import answer, home

blueprint = Blueprint("versions", __name__, url_prefix="/v1/versions")
blueprint.before_request(requests.admit)


@blueprint.get("")
def search() -> Response:
    """A page of the versions that `search` describes, in the order of `sort`."""
    text, sort = request.args.get("search", ""), request.args.get("sort", searching.NEWEST_FIRST)
    return answer(searching.search_versions(home().store, text, sort, requests.limit(), request.args.get("after")))
