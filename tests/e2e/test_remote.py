"""Models on a staging server as shadow and as arm: two real servers, and one that is slow."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.events import FALLBACK, Predicted
from core.settings import from_environment
from flows import register
from models.remote.transport import LIMIT_SECONDS, MOST_CONNECTIONS
from routing.changes import Who
from server import home as homes
from tests.e2e.real_server import Server, Worlds, eventually
from tests.models.remote.foreign_server import ForeignServer, Model

TOKEN = "a-token-of-the-staging-server"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, diabetes: pd.DataFrame) -> Path:
    """The real rows as a file."""
    path = tmp_path_factory.mktemp("sample") / "sample.csv"
    diabetes.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the token."""
    path = tmp_path_factory.mktemp("token") / "staging"
    path.write_text(TOKEN + "\n")
    return path


@pytest.fixture(scope="module")
def staging(worlds: Worlds, token: Path) -> Server:
    """Serves the endpoint `dia` by `dia@2`, to those with a token."""
    server = worlds.server(TILTYARD_REQUIRE_TOKEN="true", TILTYARD_ADMIN_TOKEN_FILE=str(token))
    server.cli("endpoint", "create", "dia", "--arm", "control=dia@2:1")
    return server.start()


@pytest.fixture(scope="module")
def slow() -> Iterator[ForeignServer]:
    """Another server, whose regression takes half a second where it is told to."""
    pause = [0.0]

    def answer(inputs: list[dict[str, Any]]) -> dict[str, Any]:
        time.sleep(pause[0])
        rows = inputs[0]["shape"][0]
        return {"y": ("FP64", [rows], [1.0] * rows)}

    made = ForeignServer(Model([("x", "FP64", [-1, 10])], answer))
    made.pause = pause  # type: ignore[attr-defined]
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(worlds: Worlds, staging: Server, slow: ForeignServer, token: Path, sample: Path) -> Server:
    """The server that asks them: `dia@4` is the staging server's endpoint, `dia@5` the slow server's model."""
    made = worlds.server(
        TILTYARD_REMOTES=f"staging=http://localhost:{staging.port},slow=http://127.0.0.1:{slow.port}",
        TILTYARD_REMOTE_TOKEN_FILES=f"staging={token}",
    )
    for remote in ("staging/dia", "slow/credit"):
        add(made, remote, sample)
    return made.start()


def add(server: Server, remote: str, sample: Path) -> None:
    """Register the next version of `dia`, in this process: a command of its own would take seconds to import what it needs."""
    home = homes.open_existing(from_environment(server.environ))
    path, who = Path(f"remote:{remote}"), Who("test", time.time(), "")
    register.register(home.store, home.blobs, "dia", path, who, sample=sample, target="target", remotes=home.remotes)


def predictions(server: Server, endpoint: str) -> list[Predicted]:
    """Those of the endpoint that stand in the journal."""
    return [event for event in server.events() if isinstance(event, Predicted) and event.endpoint == endpoint]


def test_a_card_says_where_the_model_is(server: Server, staging: Server) -> None:
    """By the server's name; its address is in no card."""
    card = server.get("/v1/models/dia/versions/4")
    assert (card["format"], card["source"], card["signature"]["task"]) == ("remote", "remote:staging/dia", "regression")
    assert str(staging.port) not in str({**card, "profile": None})
    assert "asks staging/dia: one tensor for each feature; value from 'value'" in card["notes"]


def test_a_remote_arm_answers_as_its_server_does(server: Server, staging: Server, rows: list[dict[str, float]]) -> None:
    """To the last bit, for one row and for many; the row is its arm's, and names the version."""
    server.create("armed", {"control": ("dia@1", 1), "treatment": ("dia@4", 1)})
    token = {"Authorization": f"Bearer {TOKEN}"}
    expected = staging.request("POST", "/v1/endpoints/dia/predict", {"instances": rows[:40]}, token).json["predictions"]
    arms = set()
    for number in range(40):
        found = server.predict("armed", rows[number], f"u{number}")
        arms.add(found["arm"])
        if found["arm"] == "treatment":
            assert (found["model"], found["predictions"], "fallback" in found) == ("dia@4", [expected[number]], False)
    assert arms == {"control", "treatment"}
    unit = next(event.unit for event in predictions(server, "armed") if event.arm == "treatment")
    together = server.post("/v1/endpoints/armed/predict", {"unit": unit, "instances": rows[:40]})
    assert (together["arm"], together["predictions"]) == ("treatment", expected)


def test_a_remote_shadow_is_compared_like_any_other(server: Server, rows: list[dict[str, float]]) -> None:
    """It is named by its server and model; the plan shows both names; its difference is that of the two models."""
    server.create("mirrored", {"control": ("dia@1", 1)}, shadows={"next": {"remote": "staging/dia"}, "same": {"version": "dia@2"}})
    shown = server.get("/v1/endpoints/mirrored/plan")["shadows"]
    assert shown == {
        "next": {"version": "dia@4", "sample": 1.0, "remote": "staging/dia"},
        "same": {"version": "dia@2", "sample": 1.0},
    }
    for number in range(60):
        server.predict("mirrored", rows[number], f"u{number}")
    eventually(lambda: all(one["done"] == 60 for one in server.status("mirrored")["shadows"].values()), "both have caught up")
    found = server.status("mirrored")["shadows"]
    assert (found["next"]["errors"], found["next"]["mirrored"]) == (0, 60)
    assert found["next"]["mean_difference"] == pytest.approx(found["same"]["mean_difference"])
    assert server.get("/v1/endpoints/mirrored/shadows/next/report")["verdict"] == "not_enough_data"


def test_a_shadow_that_is_not_registered_is_not_found(server: Server) -> None:
    """The answer says how to register it; what is no remote is refused by name; the plan stays."""
    server.create("refusing", {"control": ("dia@1", 1)})
    path = "/v1/endpoints/refusing/shadows"
    reply = server.request("PUT", path, {"shadows": {"next": {"remote": "staging/none"}}})
    assert (reply.status, reply.json["code"], reply.json["field"]) == (404, "remote-not-registered", "shadows.next")
    assert "tiltyard model register NAME remote:staging/none --sample FILE" in reply.json["detail"]
    for body in ({}, {"version": "dia@1", "remote": "staging/dia"}, {"remote": "http://127.0.0.1/x"}):
        reply = server.request("PUT", path, {"shadows": {"next": body}})
        assert (reply.status, reply.json["field"]) == (422, "shadows.next")
    assert server.plan("refusing").plan == 1
    changed = server.cli("endpoint", "shadows", "refusing", "--shadow", "next=remote:staging/dia:0.5")
    assert changed["shadows"] == {"next": {"version": "dia@4", "sample": 0.5, "remote": "staging/dia"}}


def test_registering_names_what_is_wrong(server: Server, sample: Path) -> None:
    """In one line: a version that the server does not have loaded, a role that is none."""
    told = server.cli("model", "register", "dia", "remote:staging/dia@9", "--sample", sample, code=1)
    assert told.startswith("tiltyard: remote:staging/dia@9: the server 'staging' says of /v2/models/dia/versions/9: 409")
    wrong = server.cli("model", "register", "dia", "remote:slow/credit", "--remote-output", "y", code=2)
    assert "--remote-output: expected each of label=NAME" in wrong


def test_a_slow_remote_holds_up_nobody(server: Server, slow: ForeignServer, rows: list[dict[str, float]]) -> None:
    """50 at once, half a second each: who gets a connection in time is answered, the others by control; and those of control at once."""
    server.create("slow", {"control": ("dia@1", 1), "treatment": ("dia@5", 1)})
    units = [f"u{number}" for number in range(400)]
    arms = {unit: server.predict("slow", rows[0], unit)["arm"] for unit in units}
    slow.pause[0] = 0.5  # type: ignore[attr-defined]
    taken: dict[str, list[tuple[float, bool]]] = {"control": [], "treatment": []}

    def ask(arm: str, unit: str) -> None:
        with server.client() as client:
            begun = time.perf_counter()
            reply = client.predict("slow", unit, rows[0])
            taken[arm].append((time.perf_counter() - begun, reply.json.get("fallback", False)))
            assert reply.status == 200

    treated = [unit for unit in units if arms[unit] == "treatment"][: 3 * MOST_CONNECTIONS + 2]
    threads = [threading.Thread(target=ask, args=("treatment", unit)) for unit in treated]
    for thread in threads:
        thread.start()
    for unit in [unit for unit in units if arms[unit] == "control"][:50]:
        ask("control", unit)
    for thread in threads:
        thread.join()
    slow.pause[0] = 0.0  # type: ignore[attr-defined]
    slow.drop()
    answered = [seconds for seconds, fallback in taken["treatment"] if not fallback]
    assert len(answered) >= 2 * MOST_CONNECTIONS, taken["treatment"]
    assert max(seconds for seconds, _ in taken["treatment"]) < LIMIT_SECONDS + 1.5
    assert not any(fallback for _, fallback in taken["control"])
    assert statistics.median(seconds for seconds, _ in taken["control"]) < 0.1


@pytest.mark.leaves_open("the staging server of the whole module is started again")
def test_a_server_that_dies_costs_no_answer(server: Server, staging: Server, rows: list[dict[str, float]]) -> None:
    """Control answers for the arm and the rows are marked; the shadow counts errors and goes on; once it is back, all is as before."""
    server.create("dying", {"control": ("dia@1", 1), "treatment": ("dia@4", 1)}, shadows={"next": {"remote": "staging/dia"}})

    def ask(count: int, units: str) -> list[Any]:
        found = [server.predict("dying", rows[number], f"{units}{number}") for number in range(count)]
        return [one for one in found if one["arm"] == "treatment"]

    def counts() -> Any:
        found = server.status("dying")["shadows"]["next"]
        assert found["mirrored"] == found["done"] + found["dropped"] + found["waiting"], found
        return found

    assert not any("fallback" in one for one in ask(20, "a"))
    eventually(lambda: counts()["done"] == 20, "the shadow has caught up")
    assert counts()["errors"] == 0
    port = staging.port
    staging.stop()
    fallen = ask(20, "b")
    assert fallen
    assert all(one["fallback"] and one["model"] == "dia@1" for one in fallen)
    assert {event.unit for event in predictions(server, "dying") if event.flags & FALLBACK} >= {f"b{n}" for n in range(20)} & {
        event.unit for event in predictions(server, "dying") if event.arm == "treatment"
    }
    eventually(lambda: counts()["done"] == 40, "the shadow has gone on")
    assert (counts()["errors"], counts()["dropped"]) == (20, 0)
    assert "remote staging/dia: the server 'staging'" in counts()["last_error"]
    staging.start("--port", str(port))
    eventually(lambda: "fallback" not in server.predict("dying", rows[0], fallen_unit(server)), "the arm answers again")
    ask(20, "c")
    eventually(lambda: counts()["waiting"] == 0, "the shadow has caught up")
    assert counts()["errors"] < counts()["done"]


def fallen_unit(server: Server) -> str:
    """A unit of the remote arm."""
    return next(event.unit for event in predictions(server, "dying") if event.arm == "treatment" and event.unit)


def test_a_remote_whose_model_has_changed_gets_no_traffic(
    server: Server, staging: Server, sample: Path, rows: list[dict[str, float]]
) -> None:
    """Its golden rows are answered otherwise: the plan is sent back with the reason, and the old one goes on."""
    add(server, "staging/dia", sample)
    staging.cli("endpoint", "arms", "dia", "--arm", "control=dia@3:1", "--wait", "30")
    server.create("changed", {"control": ("dia@1", 1)})
    arms = {"control": {"version": "dia@1", "weight": 1}, "treatment": {"version": "dia@6", "weight": 1}}
    assert server.put("/v1/endpoints/changed/plan?wait=30s", {"arms": arms})["applied"] is False
    eventually(lambda: server.plan("changed").plan == 3, "the plan was sent back")
    plan = server.plan("changed")
    assert set(plan.arms) == {"control"}
    assert "golden row 0 differs" in plan.reason
    assert server.predict("changed", rows[0], "u")["model"] == "dia@1"
