"""A full disk: predictions go on and say that they were not logged, outcomes are refused for now; it passes without a restart."""

from __future__ import annotations

import resource

from tests.e2e.real_server import Server, Worlds, eventually

ASKED = 20


def fill(server: Server, full: bool) -> None:
    """Let no write of the web workers into any file succeed, or again all; a limit of files' sizes does as a full disk would."""
    for pid in server.web()[1]:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1 if full else hard, hard))


def test_predictions_go_on_and_what_was_not_logged_is_told_by_itself(fresh: Worlds, rows: list[dict[str, float]]) -> None:
    """The report has the number of unlogged predictions though nothing was asked since; then all is as before."""
    server = fresh.server().start()
    server.create("credit", {"control": ("dia@1", 1), "treatment": ("dia@2", 1)})
    server.experiment("e1", "credit", "revenue")
    outcome = {"endpoint": "credit", "unit": "u0", "metric": "revenue", "value": 1, "id": "first"}
    fill(server, full=True)
    answers = [server.predict("credit", rows[0], f"u{number}") for number in range(ASKED)]
    refused = server.request("POST", "/v1/outcomes", outcome)
    fill(server, full=False)
    assert all(answer["logged"] is False and answer["prediction_id"] is None and answer["predictions"] for answer in answers)
    assert (refused.status, refused.json["code"]) == (503, "journal-unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    eventually(lambda: server.report("e1")["excluded"]["unlogged"] == ASKED, "what was not logged has been told")
    assert server.predict("credit", rows[0], "u0")["prediction_id"]
    assert server.post("/v1/outcomes", outcome, 202)["accepted"] == 1
    eventually(lambda: server.report("e1")["outcomes"]["counted"] == 1, "the outcome was counted")
    server.stop()
