"""Lives of versions beside a real server: what serves is guarded, a promote asks the rule, a rollback brings back, deletion is final."""

from __future__ import annotations

from typing import Any

from tests.e2e.real_server import Server

VERSION = "/v1/models/dia/versions/{}"
ALIAS = "/v1/models/dia/aliases/champion"


def refused(server: Server, method: str, path: str, body: object = {}) -> tuple[str, str]:
    """The code and the detail of a 409."""
    reply = server.request(method, path, body)
    assert reply.status == 409, reply
    return reply.json["code"], reply.json["detail"]


def serves(server: Server, row: dict[str, float], *versions: str) -> None:
    """Users are answered by one of these."""
    for unit in range(20):
        assert server.predict("credit", row, f"u{unit}")["model"] in versions


def test_a_life(server: Server, rows: list[dict[str, Any]]) -> None:
    """From the rule to the end, with the command line and REST in turns, while users are served."""
    server.put(ALIAS, {"version": 1})
    server.create("credit", {"control": ("dia@champion", 50), "treatment": ("dia@2", 50)})
    serves(server, rows[0], "dia@1", "dia@2")
    assert refused(server, "POST", f"{VERSION.format(2)}/retire") == ("in-use", "dia@2 is in use: arm treatment of credit")

    server.cli("model", "rule", "dia", "champion", "--needs-approval", "--by-another")
    assert refused(server, "POST", "/v1/endpoints/credit/promote")[0] == "rule-not-met"
    server.post(f"{VERSION.format(2)}/approve", {})
    assert "by somebody else than test and anonymous" in refused(server, "POST", "/v1/endpoints/credit/promote")[1]
    serves(server, rows[0], "dia@1", "dia@2")
    assert server.cli("model", "approve", "dia@2", "--reason", "reviewed")["state"] == "serving"
    assert server.post("/v1/endpoints/credit/promote?wait=20s", {})["applied"] is True
    assert server.get(ALIAS)["version"] == "dia@2"
    serves(server, rows[0], "dia@2")

    server.cli("model", "retire", "dia@1")
    plan = {"arms": {"control": {"version": "dia@2", "weight": 1}, "treatment": {"version": "dia@1", "weight": 1}}}
    assert refused(server, "PUT", "/v1/endpoints/credit/plan", plan)[0] == "retired"
    assert server.post("/v1/endpoints/credit/rollback?wait=20s", {})["applied"] is True
    serves(server, rows[0], "dia@1", "dia@2")
    shown = server.get(VERSION.format(1))
    assert (shown["state"], [use["name"] for use in shown["uses"]]) == ("serving", ["control"])
    assert [each["event"] for each in shown["events"]][-2:] == ["retired", "restored"]
    history = server.cli("model", "alias-history", "dia", "champion")["moves"]
    assert [move["version"] for move in history] == ["dia@1", "dia@2", "dia@1"]

    assert server.request("DELETE", VERSION.format(3)).status == 200
    assert server.get("/v1/versions?search=model:dia&sort=model")["versions"][-1]["version"] == "dia@2"
    assert server.cli("model", "history", "dia@3")["events"][-1]["event"] == "deleted"
    assert server.cli("model", "search", "dia", "state:serving", "-alias:champion")["versions"][0]["version"] == "dia@2"
