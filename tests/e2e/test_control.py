"""Control over REST, as the contract states it: plans, aliases, conditions, the audit, and what a bad version does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moody_model import FINE, NOT_FINITE, RAISES

from routing.splitter import Splitter
from tests.e2e.moody_world import moody_server
from tests.e2e.real_server import WORKERS, Server, Worlds, eventually


@pytest.fixture(scope="module")
def server(worlds: Worlds) -> Server:
    return moody_server(worlds).start()


_numbers = iter(range(1000))


@pytest.fixture
def endpoint(server: Server) -> Iterator[str]:
    """A split endpoint of this test's own; the alias `champion` names its control."""
    name = f"e{next(_numbers)}"
    server.put("/v1/models/dia/aliases/champion", {"version": 1})
    server.create(name, {"control": ("dia@champion", 90), "treatment": ("dia@2", 10)})
    yield name
    server.put(f"/v1/endpoints/{name}/shadows", {"shadows": {}})


def change(server: Server, endpoint: str, action: str, body: object = {}, query: str = "?wait=20s") -> Any:
    """A change that all workers follow."""
    plan = server.request("PUT" if action in ("traffic", "plan", "shadows") else "POST", f"/v1/endpoints/{endpoint}/{action}{query}", body)
    assert plan.status == 200, plan
    assert plan.headers["ETag"] == f'"{plan.json["plan"]}"' or "dry_run" in query
    if "wait" in query:
        assert plan.json["applied"] is True
    return plan.json


def champion(server: Server) -> str:
    return str(server.get("/v1/models/dia/aliases/champion")["version"])


def content(plan: Any) -> Any:
    return {key: plan[key] for key in ("arms", "shadows", "enrolment", "salt", "mode")}


def test_promote_moves_the_champion_and_two_rollbacks_go_back_two(server: Server, endpoint: str) -> None:
    """Promote: control takes the version at 100 %, the other arm goes, the alias moves; rollback undoes all of it, twice goes back two."""
    first = server.get(f"/v1/endpoints/{endpoint}/plan")
    second = change(server, endpoint, "traffic", {"weights": {"control": 50, "treatment": 50}})
    third = change(server, endpoint, "promote")
    assert {name: arm["version"] for name, arm in third["arms"].items()} == {"control": "dia@2"}
    assert champion(server) == "dia@2"
    fourth = change(server, endpoint, "rollback")
    assert (content(fourth), champion(server)) == (content(second), "dia@1")
    fifth = change(server, endpoint, "rollback")
    assert content(fifth) == content(first)
    assert [fifth["plan"], fifth["parent"]] == [5, None]
    assert server.request("POST", f"/v1/endpoints/{endpoint}/rollback", {}).json["code"] == "no-parent"


def test_an_alias_that_named_another_version_stays_where_it_is(server: Server, endpoint: str) -> None:
    """Promote moves `champion` only if it named the old control; a rollback then leaves it alone too."""
    server.put("/v1/models/dia/aliases/champion", {"version": 3})
    change(server, endpoint, "promote", {"arm": "treatment"})
    assert champion(server) == "dia@3"
    change(server, endpoint, "rollback")
    assert champion(server) == "dia@3"


def test_moving_an_alias_moves_no_traffic(server: Server, endpoint: str) -> None:
    """The plan keeps the version that the alias named when it was made."""
    server.put("/v1/models/dia/aliases/champion", {"version": 2})
    plan = server.get(f"/v1/endpoints/{endpoint}/plan")
    assert (plan["plan"], plan["arms"]["control"]["version"]) == (1, "dia@1")


def test_rollback_to_a_plan_by_its_number(server: Server, endpoint: str) -> None:
    """`to` names any earlier plan; an unknown one is 404."""
    for weight in (20, 30, 40):
        change(server, endpoint, "traffic", {"weights": {"control": 100 - weight, "treatment": weight}})
    restored = change(server, endpoint, "rollback", {"to": 2})
    assert restored["arms"]["treatment"]["weight"] == 20
    assert server.request("POST", f"/v1/endpoints/{endpoint}/rollback", {"to": 99}).json["code"] == "plan-not-found"


def test_pause_sends_all_to_control_and_resume_restores_the_split(server: Server, endpoint: str, rows: list[dict[str, float]]) -> None:
    """Weights are remembered, the phase stays, and a paused endpoint refuses a shift."""
    before = server.get(f"/v1/endpoints/{endpoint}/plan")
    paused = change(server, endpoint, "pause")
    assert (paused["mode"], paused["arms"], paused["phase"]) == ("paused", before["arms"], before["phase"])
    assert {server.predict(endpoint, rows[0], f"u{number}")["arm"] for number in range(60)} == {"control"}
    for action in ("pause", "traffic"):
        body = {"weights": {"control": 1, "treatment": 1}} if action == "traffic" else {}
        method = "PUT" if action == "traffic" else "POST"
        reply = server.request(method, f"/v1/endpoints/{endpoint}/{action}", body)
        assert (reply.status, reply.json["code"]) == (409, "paused")
    assert content(change(server, endpoint, "resume")) == content(before)


def test_a_lost_race_is_409_and_changes_nothing(server: Server, endpoint: str) -> None:
    """`If-Match` with the current plan passes, once."""
    path, body = f"/v1/endpoints/{endpoint}/traffic", {"weights": {"control": 1, "treatment": 1}}
    assert server.request("PUT", path, body, {"If-Match": '"1"'}).status == 200
    lost = server.request("PUT", path, body, {"If-Match": '"1"'})
    assert (lost.status, lost.json["code"], lost.json["field"]) == (409, "plan-changed", "If-Match")
    assert server.request("PUT", path, body, {"If-Match": "newest"}).status == 422
    assert server.get(f"/v1/endpoints/{endpoint}/plan")["plan"] == 2


def test_of_many_writers_with_the_same_condition_one_wins(server: Server, endpoint: str) -> None:
    """Eight at once: one 200, seven 409."""
    statuses: list[int] = []

    def write(number: int) -> None:
        body = {"weights": {"control": 1, "treatment": number}}
        statuses.append(server.request("PUT", f"/v1/endpoints/{endpoint}/traffic", body, {"If-Match": "1"}).status)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(1, 9)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(statuses) == [200, *[409] * 7]


def test_a_dry_run_shows_and_changes_nothing(server: Server, endpoint: str) -> None:
    """Neither plan, nor alias, nor audit."""
    audit = server.get("/v1/audit")
    shown = change(server, endpoint, "promote", query="?dry_run=true")
    assert (shown["dry_run"], shown["plan"], list(shown["arms"])) == (True, 2, ["control"])
    body = {"endpoint": "never", "arms": {"control": {"version": "dia@1", "weight": 1}}}
    assert server.request("POST", "/v1/endpoints?dry_run=true", body).json["dry_run"]
    assert server.request("GET", "/v1/endpoints/never").status == 404
    assert (server.get(f"/v1/endpoints/{endpoint}/plan")["plan"], champion(server)) == (1, "dia@1")
    assert server.get("/v1/audit") == audit


def test_every_change_leaves_a_row_in_the_audit(server: Server, endpoint: str) -> None:
    """Who, what, which plan, and why, newest first; there is no way to change it."""
    change(server, endpoint, "traffic", {"weights": {"control": 1, "treatment": 1}, "reason": "first"})
    change(server, endpoint, "pause", {"reason": "second"})
    change(server, endpoint, "resume", {"reason": "third"})
    change(server, endpoint, "promote", {"reason": "fourth"})
    change(server, endpoint, "rollback", {"reason": "fifth"})
    mine = [row for row in server.get("/v1/audit?limit=50")["audit"] if row["subject"] == endpoint]
    actions = ["rollback", "promote", "resume", "pause", "traffic", "create"]
    assert [row["action"] for row in mine] == [f"endpoint.{action}" for action in actions]
    assert [row["detail"]["reason"] for row in mine[:-1]] == ["fifth", "fourth", "third", "second", "first"]
    assert [row["detail"]["plan"] for row in mine] == [6, 5, 4, 3, 2, 1]
    assert all(row["actor"] for row in mine)
    assert server.request("DELETE", "/v1/audit").status == 405


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("traffic", {"weights": {"control": 70, "treatment": 30}}),
        ("traffic", {"weights": {"control": 90, "treatment": 10}, "enrolment": 0.5}),
        ("shadows", {"shadows": {"next": {"version": "dia@3"}}}),
        ("pause", {}),
    ],
)
def test_an_experiment_outlives_weights_enrolment_shadows_and_pause(
    server: Server, endpoint: str, action: str, body: dict[str, object]
) -> None:
    """It runs on, and the new plan carries it."""
    name = f"x-{endpoint}"
    server.experiment(name, endpoint, "revenue")
    assert change(server, endpoint, action, body)["experiment"] == name
    assert server.get(f"/v1/experiments/{name}")["state"] == "running"


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("plan", {"arms": {"control": {"version": "dia@1", "weight": 1}, "treatment": {"version": "dia@3", "weight": 1}}}),
        ("plan", {"arms": {"control": {"version": "dia@1", "weight": 1}, "other": {"version": "dia@2", "weight": 1}}}),
        ("promote", {"reason": "it has won"}),
    ],
    ids=["another version", "another set", "promote"],
)
def test_an_experiment_ends_with_its_arms_and_says_why(server: Server, endpoint: str, action: str, body: dict[str, object]) -> None:
    """The plan carries none any more, the experiment names the reason, and its report can still be read."""
    name = f"x-{endpoint}"
    server.experiment(name, endpoint, "revenue")
    assert change(server, endpoint, action, body)["experiment"] is None
    shown = server.get(f"/v1/experiments/{name}")
    assert shown["state"] == "stopped"
    assert shown["stopped_because"]
    assert server.report(name)["stopped_because"] == shown["stopped_because"]
    assert server.request("POST", f"/v1/experiments/{name}/stop", {}).json["code"] == "experiment-stopped"


def test_a_draft_starts_and_stops_once_and_another_cannot_run_beside_it(server: Server, endpoint: str) -> None:
    """At most one runs on an endpoint; start and stop each make a plan."""
    design = {"metrics": [{"name": "revenue"}], "mde": 1}
    for name in ("one", "two"):
        body = {"experiment": name + endpoint, "endpoint": endpoint, "design": design, "draft": True}
        assert server.post("/v1/experiments", body, 201)["state"] == "draft"
    assert server.request("GET", f"/v1/experiments/one{endpoint}/report").json["code"] == "experiment-draft"
    assert server.post(f"/v1/experiments/one{endpoint}/start", {})["state"] == "running"
    plan = server.get(f"/v1/endpoints/{endpoint}/plan")
    assert (plan["plan"], plan["experiment"], plan["phase"]) == (2, f"one{endpoint}", 1)
    assert server.post(f"/v1/experiments/two{endpoint}/start", {}, 409)["code"] == "experiment-running"
    assert server.post(f"/v1/experiments/one{endpoint}/stop", {})["state"] == "stopped"
    assert server.get(f"/v1/endpoints/{endpoint}/plan")["experiment"] is None
    assert server.post(f"/v1/experiments/two{endpoint}/start", {})["state"] == "running"


def test_a_forced_arm_is_marked_and_left_out_of_the_analysis(server: Server, endpoint: str, rows: list[dict[str, float]]) -> None:
    """The operator's header overrides; the report counts the row as forced and nowhere else."""
    name = f"x-{endpoint}"
    server.experiment(name, endpoint, "revenue")
    for _ in range(5):
        reply = server.request(
            "POST", f"/v1/endpoints/{endpoint}/predict", {"unit": "u", "features": rows[0]}, {"X-Tiltyard-Force-Arm": "treatment"}
        )
        assert (reply.status, reply.json["arm"], reply.json["model"]) == (200, "treatment", "dia@2")
    eventually(lambda: server.report(name)["excluded"]["forced"] == 5, "the rows were recorded")
    assert sum(arm["predictions"] for arm in server.report(name)["arms"].values()) == 0


@pytest.mark.parametrize("mood", [RAISES, NOT_FINITE], ids=["raises", "answers NaN"])
def test_a_treatment_that_fails_is_answered_by_control_and_keeps_its_arm(server: Server, mood: float) -> None:
    """The answer says `fallback`, is control's, and counts for the arm that was assigned."""
    endpoint = f"falls{mood:g}"
    server.create(endpoint, {"control": ("plain@1", 1), "treatment": ("moody@1", 1)})
    server.experiment(f"x-{endpoint}", endpoint, "revenue")
    splitter, expected = Splitter(server.plan(endpoint)), {"control": 0, "treatment": 0}
    for number in range(40):
        unit, bad = f"u{number}", number % 2 == 0
        answer = server.predict(endpoint, {"mood": mood if bad else FINE, "x": number}, unit)
        arm = splitter.assign(unit).arm
        failed = bad and arm == "treatment"
        assert (answer["arm"], answer.get("fallback", False)) == (arm, failed)
        assert answer["model"] == ("moody@1" if arm == "treatment" and not failed else "plain@1")
        assert answer["predictions"][0]["value"] == pytest.approx(number, abs=1e-6)
        expected[arm] += 1
    server.caught_up(endpoint)
    arms = server.report(f"x-{endpoint}")["arms"]
    assert {arm: (one["units"], one["predictions"]) for arm, one in arms.items()} == {arm: (n, n) for arm, n in expected.items()}


def test_a_control_that_fails_is_503_and_names_the_version(server: Server) -> None:
    """There is nobody to fall back to; good rows are answered on."""
    server.create("nobody", {"control": ("moody@1", 1)})
    reply = server.request("POST", "/v1/endpoints/nobody/predict", {"features": {"mood": RAISES, "x": 1}})
    assert (reply.status, reply.json["code"]) == (503, "model-failed")
    assert "moody@1" in reply.json["detail"]
    assert reply.headers["Retry-After"]
    assert server.predict("nobody", {"mood": FINE, "x": 1})["predictions"] == [{"value": 1.0}]


def damage(server: Server, version: str) -> None:
    """Overwrite the middle of the version's blobs."""
    model, _, number = version.partition("@")
    digests = _digests(server.get(f"/v1/models/{model}/versions/{number}"))
    paths = [path for path in (server.home / "blobs").rglob("*") if path.name in digests]
    assert paths
    for path in paths:
        _flip(path)


def _digests(card: Any) -> set[str]:
    if isinstance(card, dict):
        return set().union(*(_digests(value) for key, value in card.items() if key != "source_digest"), set())
    if isinstance(card, list):
        return set().union(*map(_digests, card), set())
    return {card} if isinstance(card, str) and len(card) == 64 else set()


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def test_a_version_damaged_after_its_registration_is_sent_back_by_itself(fresh: Worlds, rows: list[dict[str, float]]) -> None:
    """All traffic goes on with the former plan; the history says which version failed on whom and why."""
    server = fresh.server().start()
    server.create("credit", {"control": ("dia@1", 1)})
    damage(server, "dia@3")
    arms = {"control": {"version": "dia@1", "weight": 1}, "treatment": {"version": "dia@3", "weight": 1}}
    made = server.put("/v1/endpoints/credit/plan?wait=5s", {"arms": arms})
    assert (made["plan"], made["applied"]) == (2, False)
    with server.client() as client:
        answers = [client.predict("credit", f"u{number}", rows[0]) for number in range(100)]
    assert {(answer.status, answer.json["model"]) for answer in answers} == {(200, "dia@1")}
    eventually(lambda: server.get("/v1/endpoints/credit/plan")["plan"] == 3, "the plan was sent back")
    restored = server.get("/v1/endpoints/credit/plan")
    assert (list(restored["arms"]), restored["by"]) == (["control"], "tiltyard")
    assert "dia@3" in restored["reason"]
    assert "damaged" in restored["reason"]
    eventually(lambda: server.status("credit")["applied"], "all workers serve the restored plan")
    assert [plan["plan"] for plan in server.get("/v1/endpoints/credit/history")["plans"]] == [3, 2, 1]
    assert {row["actor"] for row in server.get("/v1/audit")["audit"] if row["subject"] == "credit"} >= {"tiltyard"}
    server.stop()


def test_a_first_plan_that_cannot_be_served_says_so_and_hurts_no_other(fresh: Worlds, rows: list[dict[str, float]]) -> None:
    """There is none to go back to: 503 with a reason in the status, while other endpoints answer; another plan mends it."""
    server = fresh.server().start()
    server.create("good", {"control": ("dia@1", 1)})
    damage(server, "dia@3")
    body = {"endpoint": "bad", "arms": {"control": {"version": "dia@3", "weight": 1}}}
    assert server.post("/v1/endpoints?wait=5s", body, 201)["applied"] is False
    eventually(lambda: sum(bool(worker["failed"]) for worker in server.status("bad")["workers"]) == WORKERS, "every worker has tried it")
    assert server.request("POST", "/v1/endpoints/bad/predict", {"features": rows[0]}).status == 503
    failed = [one for worker in server.status("bad")["workers"] for one in worker["failed"]]
    assert {one["version"] for one in failed} == {"dia@3"}
    assert all("damaged" in one["reason"] for one in failed)
    assert server.predict("good", rows[0])["model"] == "dia@1"
    mended = server.put("/v1/endpoints/bad/plan?wait=20s", {"arms": {"control": {"version": "dia@2", "weight": 1}}})
    assert mended["applied"] is True
    assert server.predict("bad", rows[0])["model"] == "dia@2"
    server.stop()
