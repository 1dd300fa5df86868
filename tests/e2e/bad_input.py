"""What tests of bad input share: a good request, and what an error says."""

from __future__ import annotations

from typing import Any

from tests.e2e.real_server import Reply, Server

PREDICT, OUTCOMES, INFER = "/v1/endpoints/credit/predict", "/v1/outcomes", "/v2/models/credit/infer"


GOOD = dict.fromkeys(("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"), 0.01)

DEEP = b"[" * 200_000


def features(**changes: Any) -> dict[str, Any]:
    return {"features": {**GOOD, **changes}}


def send(server: Server, route: str, body: object) -> Reply:
    method, _, path = route.rpartition(" ")
    return server.request(method or "POST", path, body)


def said(reply: Reply) -> str:
    """The message of an error, in either form."""
    told = reply.json
    assert isinstance(told, dict), reply
    if "error" in told:
        return str(told["error"])
    assert (told["status"], reply.headers["Content-Type"]) == (reply.status, "application/problem+json")
    assert told["code"]
    return str(told["detail"])
