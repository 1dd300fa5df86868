"""Streaming features against a real server: events become features of predictions, whatever is killed meanwhile."""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import time
from contextlib import closing
from typing import Any

import pytest

from core.clock import to_rfc3339
from core.events import Observed, Predicted, Streamed
from core.settings import Settings
from core.values import START, Position
from flows.views.features import decode_view
from flows.views.sources import Occurrences
from journal.lookup import Lookup
from journal.reader import Reader
from models.features.declaration import Stream
from models.features.recompute import recompute
from models.features.table import Table, path_of
from server import home as homes
from store import views as stored
from tests.e2e.real_server import Server, eventually

FRESH_SECONDS = 5.0
"""A deadline for a busy machine. About one second is what is promised of the usual event."""
USUALLY_SECONDS = 2.0

CLICKS = {
    "view": "clicks",
    "key": "unit",
    "endpoints": ["dia"],
    "source": {
        "type": "stream",
        "stream": "clicks",
        "features": {
            "s5": {"aggregate": "mean", "of": "amount", "window_seconds": 600},
            "bmi": {"aggregate": "var", "of": "amount", "window_seconds": 600},
            "clicks": {"aggregate": "count", "window_seconds": 600},
            "spent": {"aggregate": "sum", "of": "amount", "window_seconds": 600},
            "top": {"aggregate": "quantile", "of": "amount", "q": 0.9, "window_seconds": 600},
            "pages": {"aggregate": "distinct", "of": "page", "window_seconds": 600},
            "pace": {"aggregate": "ewm", "of": "amount", "fading": 0.2},
        },
    },
    "defaults": {"s5": 0.0, "bmi": 0.0},
}


@pytest.fixture(scope="module")
def endpoint(server: Server) -> Server:
    """The endpoint `dia`, with a view of the stream `clicks`, one of its own predictions and one of its outcomes."""
    server.create("dia", {"control": ("dia@1", 1)})
    server.put("/v1/features/clicks", CLICKS)
    features = {"asked": {"aggregate": "count", "window_seconds": 600}, "said": {"aggregate": "max", "of": "value", "window_seconds": 600}}
    source: dict[str, Any] = {"type": "stream", "predictions": True, "features": features}
    server.put("/v1/features/asked", {"key": "unit", "endpoints": ["dia"], "source": source})
    features = {"brought": {"aggregate": "sum", "of": "value", "window_seconds": 600}}
    source = {"type": "stream", "outcomes": "revenue", "features": features}
    server.put("/v1/features/brought", {"key": "unit", "endpoints": ["dia"], "source": source})
    eventually(lambda: all(view["generation"] for view in server.get("/v1/features")["views"]), "every view is served")
    return server


def click(server: Server, unit: str, amount: float, **more: Any) -> None:
    server.post("/v1/events/clicks", {"values": {"unit": unit, "amount": amount, "page": int(amount)}, **more}, 202)


def without(row: dict[str, float]) -> dict[str, float]:
    """A row in which the features of the view are left out."""
    return {name: value for name, value in row.items() if name not in ("s5", "bmi")}


def shown(server: Server, view: str, key: str) -> dict[str, Any]:
    """What a view says of an entity; {} of one that it does not know."""
    reply = server.request("GET", f"/v1/features/{view}?key={key}")
    assert reply.status in (200, 404), reply
    return reply.json["values"] if reply.status == 200 else {}


def check(server: Server, view: str) -> None:
    """All that is served is what a computation from nothing gives, at the same place of the journal and the same time."""
    home = homes.open_existing(Settings(home=str(server.home)))
    with home.store.read() as connection:
        row = stored.get(connection, view)
    declared = decode_view(row.body)
    assert isinstance(declared.source, Stream)
    with closing(Table(path_of(home.views, view, row.generation), immutable=False)) as table:
        table._connection.execute("BEGIN")
        meta = table.meta()
        keys = [key for (key,) in table._connection.execute("SELECT key FROM rows")]
        served = {key: table.get(key) for key in keys}
    source, found = Occurrences(home.store, declared, declared.source, Lookup(home.journal).get), []
    with closing(Reader(home.journal, START)) as reader:
        for entry in reader.read(1_000_000):
            if entry.next <= Position(*meta["position"]):
                found += source.of(entry)
    assert served == recompute(declared, found, meta["time"])
    assert sum(meta["figures"].values()) == len(found)


def test_an_event_is_a_feature_within_a_second(endpoint: Server, rows: list[dict[str, float]]) -> None:
    """What is posted is filled in at the predictions of its unit, and a client's own value wins."""
    took = []
    for number in range(5):
        unit, amount = f"fresh{number}", 0.01 * (number + 1)
        full = {**rows[0], "s5": amount, "bmi": 0.0}
        wanted = endpoint.predict("dia", full)["predictions"]
        before = endpoint.predict("dia", without(rows[0]), unit)
        assert before["predictions"] == endpoint.predict("dia", {**full, "s5": 0.0})["predictions"]
        click(endpoint, unit, amount)
        click(endpoint, unit, amount)
        start = time.monotonic()
        eventually(
            lambda unit=unit, wanted=wanted: endpoint.predict("dia", without(rows[0]), unit)["predictions"] == wanted,
            "the event is served",
            FRESH_SECONDS,
        )
        took.append(time.monotonic() - start)
        own = {**full, "s5": 7.0}
        assert endpoint.predict("dia", own, unit)["predictions"] == endpoint.predict("dia", own)["predictions"]
        assert set(endpoint.predict("dia", without(rows[0]), unit)["features"]) == {"clicks", "asked", "brought"}
    assert statistics.median(took) <= USUALLY_SECONDS, took


def test_killed_readers_lose_nothing(endpoint: Server) -> None:
    """While events stream in, some late, some twice, the reader is killed again and again: the numbers are those of a recomputation."""
    chance = random.Random(5)
    kills = 0
    for number in range(300):
        event: dict[str, Any] = {"values": {"unit": f"u{chance.randrange(9)}", "amount": chance.random(), "page": chance.randrange(5)}}
        if chance.random() < 0.3:
            event["id"] = f"id{chance.randrange(40)}"
        if chance.random() < 0.2:
            event["timestamp"] = to_rfc3339(time.time() - chance.choice([3.0, 60.0]))
        endpoint.post("/v1/events/clicks", [event] * chance.choice([1, 2]), 202)
        if number % 60 == 30:
            eventually(lambda: endpoint.readers("features:clicks"), "the reader is there again")
            os.kill(endpoint.readers("features:clicks")[0], signal.SIGKILL)
            kills += 1
    click(endpoint, "last", 1.0)
    eventually(lambda: shown(endpoint, "clicks", "last").get("clicks"), "the last event is served")
    assert kills == 5
    check(endpoint, "clicks")
    events = endpoint.get("/v1/features/clicks")["events"]
    assert min(events["duplicates"], events["late"]) > 0
    assert sum(events.values()) == sum(isinstance(event, Streamed) for event in endpoint.events())


def test_killed_while_it_is_declared_anew(endpoint: Server) -> None:
    """A view that is declared anew again and again while its reader is killed at random comes to the numbers of its last declaration."""
    chance = random.Random(7)
    for window in range(500, 508):
        features = {"total": {"aggregate": "sum", "of": "amount", "window_seconds": window}}
        endpoint.put("/v1/features/anew", {"key": "unit", "source": {"type": "stream", "stream": "clicks", "features": features}})
        for _ in range(20):
            click(endpoint, f"a{chance.randrange(5)}", chance.random(), id=f"anew{chance.randrange(90)}")
        time.sleep(chance.random() / 2.0)  # any moment of the work that has begun by now
        for process in endpoint.readers("features:anew"):
            os.kill(process, signal.SIGKILL)
    click(endpoint, "anew", 1.0)
    eventually(lambda: not endpoint.get("/v1/features/anew")["computed_anew"], "the last declaration is served", 30.0)
    eventually(lambda: shown(endpoint, "anew", "anew") == {"total": 1.0}, "the last event is served", 30.0)
    assert endpoint.get("/v1/features/anew")["source"]["features"]["total"]["window_seconds"] == 507
    check(endpoint, "anew")
    endpoint.request("DELETE", "/v1/features/anew")


def test_views_of_its_own_predictions_and_outcomes(endpoint: Server, rows: list[dict[str, float]]) -> None:
    """The endpoint's own predictions and outcomes become features of their units."""
    answers = [endpoint.predict("dia", row, "self") for row in rows[:3]]
    for answer in answers[:2]:
        endpoint.post("/v1/outcomes", {"prediction_id": answer["prediction_id"], "metric": "revenue", "value": 2.5}, 202)
    endpoint.post("/v1/outcomes", {"endpoint": "dia", "unit": "self", "metric": "revenue", "value": 1.0}, 202)
    most = max(answer["predictions"][0]["value"] for answer in answers)
    eventually(lambda: shown(endpoint, "asked", "self") == {"asked": 3, "said": most}, "predictions are counted", FRESH_SECONDS)
    eventually(lambda: shown(endpoint, "brought", "self") == {"brought": 6.0}, "outcomes are added up", FRESH_SECONDS)
    assert {Predicted, Observed} <= {type(event) for event in endpoint.events()}
    for view in ("asked", "brought"):
        check(endpoint, view)


def test_metrics_tell_age_and_events(endpoint: Server) -> None:
    """The metrics page tells how old each view is, and what became of its events."""

    def lines() -> dict[str, float]:
        page = endpoint.request("GET", "/metrics").content.decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in page if line.startswith("tiltyard_feature")}

    click(endpoint, "counted", 1.0)
    before = endpoint.get("/v1/features/clicks")
    counted = f'tiltyard_feature_events_total{{generation="{before["generation"]}",kind="used",view="clicks"}}'
    eventually(lambda: lines()[counted] >= before["events"]["used"], "the events are counted")
    eventually(lambda: lines()['tiltyard_feature_age_seconds{view="asked"}'] < FRESH_SECONDS, "a view without events stays fresh")


def test_what_is_refused(endpoint: Server) -> None:
    """Bad events and declarations are answered with the field, and nothing of them is kept."""
    before = len(endpoint.events())
    for path, body, status, field in (
        ("/v1/events/unknown", {"values": {"a": 1}}, 404, "stream"),
        ("/v1/events/clicks", {"values": {}}, 422, "values"),
        ("/v1/events/clicks", [{"values": {"a": 1}}, {"values": {"a": [1]}}], 422, "[1].values.a"),
        ("/v1/events/clicks", {"values": {"a": 1}, "timestamp": "yesterday"}, 422, "timestamp"),
    ):
        reply = endpoint.request("POST", path, body)
        assert (reply.status, reply.json["field"]) == (status, field), reply
    assert len(endpoint.events()) == before
    for change, field in (
        ({"endpoints": ["nowhere"]}, "endpoints[0]"),
        ({"view": "other"}, "view"),
        ({"source": {"type": "batch"}}, "view"),
        ({"key": ""}, "key"),
    ):
        reply = endpoint.request("PUT", "/v1/features/clicks", {**CLICKS, **change})
        assert (reply.status >= 400, reply.json["field"]) == (True, field), reply
    reply = endpoint.request("PUT", "/v1/features/again", {**CLICKS, "view": "again"})
    assert (reply.status, reply.json["code"]) == (409, "feature-exists")


def test_the_command_line(endpoint: Server, rows: list[dict[str, float]]) -> None:
    """A view is declared from a file, shown, and dropped; then its features are the client's again."""
    file = endpoint.home.parent / "view.json"
    features = {"visits": {"aggregate": "count", "window_seconds": 60}}
    source = {"type": "stream", "stream": "visits", "features": features}
    file.write_text(json.dumps({"view": "visits", "key": "unit", "endpoints": ["dia"], "source": source}))
    assert endpoint.cli("feature", "declare", file)["view"] == "visits"
    endpoint.post("/v1/events/visits", {"values": {"unit": "ann"}}, 202)
    eventually(lambda: shown(endpoint, "visits", "ann") == {"visits": 1}, "the event is served", FRESH_SECONDS)
    assert endpoint.cli("feature", "show", "visits", "ann")["values"] == {"visits": 1}
    assert "visits" in endpoint.cli_text("feature", "list")
    assert "1 used" in endpoint.cli_text("feature", "show", "visits")
    endpoint.cli("feature", "drop", "visits")
    assert "no feature view 'visits'" in endpoint.cli("feature", "show", "visits", code=1)
    eventually(lambda: not endpoint.readers("features:visits"), "its reader has stopped")
    eventually(lambda: "visits" not in endpoint.predict("dia", rows[0])["features"], "nothing is filled in from it")
