"""Comparing two versions of a model, or one with a version of another model."""

from __future__ import annotations

from flask import Blueprint, Response, request

from core.errors import Invalid
from core.ids import check_name
from flows.comparing import compare
from server.api import requests
from server.api.requests import answer, home
from server.home import clock

blueprint = Blueprint("compare", __name__, url_prefix="/v1/models")
blueprint.before_request(requests.admit)


@blueprint.get("/<model>/compare")
def show(model: str) -> Response:
    """`left` and `right` side by side; without either champion and challenger, or the arms of the endpoint of that name."""
    check_name(model, "model")
    given = {side: request.args[side] for side in ("left", "right") if side in request.args}
    if len(given) == 1:
        missing = "right" if "left" in given else "left"
        raise Invalid(f"{missing}: expected a version such as 2, champion or churn@3; or neither left nor right", field=missing)
    here = home()
    if given:
        left, right = (compare.reference(model, given[side]) for side in ("left", "right"))
    else:
        left, right = compare.sides(here.store, model)
    return answer(compare.compare(here.store, here.journal, left, right, clock))
