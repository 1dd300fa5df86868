"""Feature views: declare, list, show, drop."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Blueprint, Response, g, request

from core.errors import Invalid
from flows.views import view as views
from flows.views.view import Desk
from models.features.declaration import View
from routing.changes import Who
from server.api import requests
from server.api.requests import answer, body, home
from server.decoding import decode
from server.home import clock

blueprint = Blueprint("features", __name__, url_prefix="/v1/features")
blueprint.before_request(requests.admit)

_VIEW = msgspec.json.Decoder(View)


@blueprint.get("")
def list_views() -> Response:
    """Every view."""
    return answer({"views": views.every(_desk())})


@blueprint.get("/<view>")
def show(view: str) -> Response:
    """One view; with `?key=` also the features of that entity."""
    return answer(views.show(_desk(), view, request.args.get("key")))


@blueprint.put("/<view>")
def declare(view: str) -> Response:
    """Declare it, or declare it anew. The body may leave out the name."""
    given = body(dict[str, Any])
    if given.setdefault("view", view) != view:
        raise Invalid(f"view: expected {view!r}, as the path says, got {str(given['view'])[:60]!r}", field="view")
    return answer(views.declare(_desk(), decode(_VIEW, msgspec.json.encode(given)), _who()))


@blueprint.delete("/<view>")
def drop(view: str) -> Response:
    """Forget it."""
    views.drop(_desk(), view, _who())
    return answer({"view": view, "dropped": True})


def _desk() -> Desk:
    return Desk(home().store, home().views, clock)


def _who() -> Who:
    return Who(g.actor, clock(), "by REST")
