"""The audit log, to be read only."""

from __future__ import annotations

from flask import Blueprint, Response

from core.clock import to_rfc3339
from server.api import requests
from server.api.requests import answer, home
from store import audit

blueprint = Blueprint("audit", __name__, url_prefix="/v1/audit")
blueprint.before_request(requests.admit)


@blueprint.get("")
def newest() -> Response:
    """The newest changes first."""
    with home().store.read() as connection:
        rows = audit.newest(connection, requests.limit())
    return answer({"audit": [{**row, "at": to_rfc3339(row["at"])} for row in rows]})
