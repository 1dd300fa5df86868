"""A holdout on a real server: set, served, kept through a promotion, reported by REST and command line alike, and lifted."""

from __future__ import annotations

from core.events import HELD_OUT, Predicted
from tests.e2e.real_server import Server

UNITS = [f"u{number}" for number in range(120)]


def test_a_holdout_from_begin_to_end(server: Server, rows: list[dict[str, float]]) -> None:
    """The same units are answered by the same version before and after a promotion, as `holdout`; the report tells them apart."""
    server.create("acting", {"control": ("dia@1", 0), "treatment": ("dia@2", 1)})
    made = server.cli("endpoint", "holdout", "acting", "--share", "0.3", "--version", "dia@3", "--wait", "30")
    assert (made["applied"], made["holdout"]["version"], made["phase"]) == (True, "dia@3", 2)

    def ask() -> dict[str, str]:
        found = {}
        with server.client() as client:
            for number, unit in enumerate(UNITS):
                answer = client.predict("acting", unit, rows[number]).json
                found[unit] = f"{answer['arm']} {answer['model']}"
                outcome = {"prediction_id": answer["prediction_id"], "metric": "label", "value": 150.0}
                assert client.request("POST", "/v1/outcomes", outcome).status == 202
        return found

    before = ask()
    server.post("/v1/endpoints/acting/promote?wait=30s", {})
    after = ask()
    held = {unit for unit, said in before.items() if said == "holdout dia@3"}
    assert 15 < len(held) < 60
    assert {unit for unit, said in after.items() if said == "holdout dia@3"} == held
    assert {said for unit, said in after.items() if unit not in held} == {"control dia@2"}
    logged = [event for event in server.events() if isinstance(event, Predicted) and event.endpoint == "acting"]
    assert {event.unit for event in logged if event.flags & HELD_OUT} == held
    told = server.get("/v1/endpoints/acting/holdout/report")
    sides = told["populations"]
    assert (sides["holdout"]["units"], sides["treated"]["units"]) == (len(held), len(UNITS) - len(held))
    assert (sides["holdout"]["versions"], told["measures"]["squared"]["holdout"]["units"]) == ({"dia@3": 2 * len(held)}, len(held))
    by_cli = server.cli("endpoint", "holdout-report", "acting", "--from", told["from"], "--to", told["to"])
    assert (by_cli["populations"], by_cli["measures"]) == (told["populations"], told["measures"])
    assert f"holdout: {len(held)} units" in server.cli_text("endpoint", "holdout-report", "acting")
    assert "holdout" in server.status("acting")["workers"][0]["breakers"]
    server.put("/v1/endpoints/acting/holdout?wait=30s", {"holdout": None})
    assert set(ask().values()) == {"control dia@2"}


def test_what_cannot_be_asked(server: Server) -> None:
    """Each error names its field or option, and changes nothing."""
    server.create("asked", {"control": ("dia@1", 1)})
    path = "/v1/endpoints/asked/holdout"
    for body, status, field in (
        ({"holdout": {"share": 0}}, 422, "holdout.share"),
        ({"holdout": {"share": "x"}}, 422, "holdout.share"),
        ({"holdout": {"share": 0.1, "version": "dia@99"}}, 404, "holdout.version"),
        ({"holdout": {}}, 422, "holdout.share"),
        ({}, 422, "holdout"),
    ):
        reply = server.request("PUT", path, body)
        assert (reply.status, reply.json.get("field")) == (status, field), reply
    assert server.request("GET", f"{path}/report").json["code"] == "no-holdout"
    assert server.request("GET", f"{path}/report?from=yesterday").json["field"] == "from"
    assert "--share" in server.cli("endpoint", "holdout", "asked", "--salt", "x", code=2)
    assert "--none" in server.cli("endpoint", "holdout", "asked", "--none", "--share", "0.1", code=2)
    assert "has had no holdout" in server.cli("endpoint", "holdout-report", "asked", code=1)
    assert server.cli("endpoint", "holdout", "asked") == {"holdout": None}
    assert server.plan("asked").plan == 1
