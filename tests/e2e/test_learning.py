"""Models that learn while they serve: over HTTP, label by label, they come to what River comes to by itself.

With TILTYARD_STREAMS=whole they learn every row of the streams; else the first ones.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from river import evaluate, metrics

from core.clock import from_rfc3339
from core.events import Predicted
from tests.e2e.learning_server import feed, learner, learnt, on_page, register, serve, write
from tests.e2e.real_server import PATIENCE, Server, Worlds, eventually
from tests.e2e.streams import FACTORIES, STREAMS, WHOLE, rows_of

LEARNING_SECONDS = 1800.0 if WHOLE else PATIENCE
"""How long after the last label a learner may take, which gives way to everybody."""
FIRST = 50
MEMORY_BYTES = 3 * 2**30
"""Of one learner; not the default."""
pytestmark = [pytest.mark.timeout(2 * LEARNING_SECONDS)] if WHOLE else []


@pytest.fixture(scope="module")
def learning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with an endpoint of each stream."""
    worlds = Worlds(tmp_path_factory.mktemp("learning"), Path())
    server = worlds.server(empty=True, TILTYARD_LEARNER_MEMORY_BYTES=str(MEMORY_BYTES))
    # Few snapshots come to one that is kept: so there is something to go back to.
    register(server, worlds.directory, FACTORIES, {name: rows_of(name) for name in STREAMS}, keep_every=2)
    server.start()
    try:
        for name in STREAMS:
            server.create(name, {"control": (f"{name}@1", 1)})
        for name in STREAMS:
            eventually(lambda name=name: learner(server, name)["published"], f"the learner of {name} has begun")
        yield server
    finally:
        worlds.close()


@pytest.fixture(scope="module")
def told(learning: Server) -> dict[str, Any]:
    """What the learners tell after each row has been predicted, and its label posted, one after another; and before anything else.

    Between the first rows and the others they publish: so on a slow machine, too, most answers are by what was learnt.
    """
    feed(learning, {name: rows_of(name)[:FIRST] for name in STREAMS})
    for name in STREAMS:
        learnt(learning, name, FIRST)
    feed(learning, {name: rows_of(name)[FIRST:] for name in STREAMS})
    for name in STREAMS:
        learnt(learning, name, len(rows_of(name)), LEARNING_SECONDS)
    return {name: learner(learning, name) for name in STREAMS}


@pytest.fixture(scope="module")
def streamed(learning: Server, told: dict[str, Any]) -> Server:
    """The server from then on. Tests that teach more, or give orders, do so to bananas and shuttle alone."""
    assert told.keys() == STREAMS.keys()
    return learning


@pytest.mark.parametrize("name", STREAMS)
def test_prequential_scores_are_rivers_own(told: dict[str, Any], name: str) -> None:
    """Asked at the label, before it learns: exactly what `progressive_val_score` says of the same rows."""
    stream = STREAMS[name]
    shown = told[name]["scores"]
    assert shown.keys() == stream.metrics.keys()
    for metric, made in stream.metrics.items():
        assert shown[metric] == evaluate.progressive_val_score(rows_of(name), stream.model(), made()).get()


@pytest.mark.parametrize("name", STREAMS)
def test_the_answers_as_served_are_scored_beside_it(told: dict[str, Any], name: str) -> None:
    """A score of their own, of all the rows; better than of one label for all, which a version that is never swapped would give."""
    found = told[name]
    served = found["served"][f"{name}/control"]
    assert served["labels"] == len(rows_of(name))
    assert served["scores"].keys() == found["scores"].keys()
    assert None not in served["scores"].values()
    if name == "phishing":
        truths = [y for _, y in rows_of(name)]
        assert served["scores"]["Accuracy"] > max(map(truths.count, set(truths))) / len(truths) + 0.1


def test_the_served_scores_are_those_of_the_answers(streamed: Server) -> None:
    """Computed anew from the journal: the label that users saw against the one that came."""
    metric, answers = metrics.Accuracy(), (event for event in streamed.events() if isinstance(event, Predicted))
    seen = [event.outputs[0].label for event in answers if event.endpoint == "phishing"]
    for said, (_, truth) in zip(seen, rows_of("phishing"), strict=False):
        metric.update(truth, said)
    assert learner(streamed, "phishing")["served"]["phishing/control"]["scores"]["Accuracy"] == metric.get()


def test_a_first_answer_may_be_none(streamed: Server) -> None:
    """Naive Bayes knows no label before it has learnt one: null, and no failure."""
    first = next(event for event in streamed.events() if isinstance(event, Predicted) and event.endpoint == "segments")
    assert (first.outputs[0].label, first.snapshot) == (None, 0)


def test_the_learner_is_seen_from_outside(streamed: Server) -> None:
    """By REST and by command line, with all that is told of it."""
    newest = learner(streamed, "phishing")["snapshot"]
    eventually(lambda: set(learner(streamed, "phishing")["workers"].values()) == {newest}, "all workers report the newest snapshot")
    found = learner(streamed, "phishing")
    told = {"version", "labels", "position", "staleness_seconds", "scores", "rolling", "served", "drift", "quarantined", "quarantine"}
    assert told | {"late", "duplicates", "snapshot", "kept", "settings", "running", "state", "workers", "published"} <= found.keys()
    assert (found["version"], found["running"], found["state"]) == ("phishing@1", True, "learning")
    assert (found["staleness_seconds"], found["quarantined"], found["late"]) == (0.0, 0, 0)
    assert (found["applied"], found["snapshot"]) == (True, newest)
    assert from_rfc3339(found["published"]) <= time.time()
    assert streamed.cli("model", "learner", "phishing")["scores"] == found["scores"]
    assert streamed.status("phishing")["learners"]["phishing@1"]["snapshot"] == found["snapshot"]
    page = streamed.cli_text("model", "learner", "phishing@1")
    assert page.startswith("phishing@1  learning: 1250 labels learnt")
    assert "as served by phishing/control" in page


def test_metrics_tell_of_learners(streamed: Server) -> None:
    """Each of the promised lines, with registered names alone as labels."""
    page = streamed.request("GET", "/metrics").content.decode().splitlines()
    of = 'model="phishing",version="1"'
    assert f"tiltyard_learner_labels_total{{{of}}} 1250.0" in page
    assert f"tiltyard_learner_staleness_seconds{{{of}}} 0.0" in page
    assert f"tiltyard_learner_quarantined_total{{{of}}} 0.0" in page
    for name in ("tiltyard_learner_snapshot", "tiltyard_learner_drifts_total"):
        assert any(line.startswith(f"{name}{{{of}}} ") for line in page)
    score = learner(streamed, "phishing")["scores"]["Accuracy"]
    assert f'tiltyard_prequential_score{{metric="Accuracy",model="phishing",version="1",window="all"}} {score}' in page
    served = 'tiltyard_served_score{arm="control",endpoint="phishing",metric="Accuracy",model="phishing",version="1",window='
    assert sum(line.startswith(served) for line in page) == 2


def test_what_was_acknowledged_is_soon_used_by_every_worker(streamed: Server) -> None:
    """Each worker's answers come from a snapshot that knows the label; how soon, the bench measures."""
    before = learner(streamed, "bananas")
    x, y = rows_of("bananas")[0]
    with streamed.client() as client:
        serve(client, "bananas", x, y)
    learnt(streamed, "bananas", before["labels"] + 1)
    newest = learner(streamed, "bananas")["snapshot"]
    assert newest > before["snapshot"]
    eventually(lambda: min(_snapshots(streamed, "bananas", x)) >= newest, "all answers come from it")
    eventually(lambda: learner(streamed, "bananas")["applied"], "the workers report it")


def _snapshots(server: Server, name: str, x: dict[str, Any]) -> list[int]:
    """Which snapshots answer on twenty connections: no worker is left out by chance."""
    start = len(server.events())
    for _ in range(20):
        server.predict(name, x)
    return [event.snapshot for event in server.events()[start:] if isinstance(event, Predicted)]


def test_a_shadow_that_learns_answers_by_its_newest_snapshot(streamed: Server) -> None:
    """As it was registered it would know no label at all, and agree with nobody."""
    kept = learner(streamed, "segments")["kept"][0]["version"]
    streamed.create("mirrored", {"control": (kept, 1)}, shadows={"next": {"version": "segments@1"}})
    for x, _ in rows_of("segments")[:40]:
        streamed.predict("mirrored", x)
    streamed.caught_up("mirrored")
    found = streamed.status("mirrored")["shadows"]["next"]
    assert (found["done"], found["errors"]) == (40, 0)
    assert found["agreement"] > 0.5


def test_a_learner_goes_back_to_what_it_kept(streamed: Server) -> None:
    """Its model is that of the kept version, its scores begin anew, and workers serve it; an order in the journal, and audited."""
    kept = learner(streamed, "bananas")["kept"][-1]
    x, _ = rows_of("bananas")[-1]
    streamed.post("/v1/models/bananas/learner/rollback", {"to": kept["version"]})
    eventually(lambda: learner(streamed, "bananas")["scores"]["Accuracy"] is None, "the scores begin anew")
    found = learner(streamed, "bananas")
    eventually(lambda: min(_snapshots(streamed, "bananas", x)) >= found["snapshot"], "it is served")
    streamed.create("pinned", {"control": (kept["version"], 1)})
    assert streamed.predict("bananas", x)["predictions"] == streamed.predict("pinned", x)["predictions"]
    assert any(row["action"] == "model.learner.rollback" for row in streamed.get("/v1/audit")["audit"])


def test_a_learner_rests_and_goes_on(streamed: Server) -> None:
    """While it is stopped nothing is learnt; then all is that came meanwhile."""
    labels = learner(streamed, "bananas")["labels"]
    x, y = rows_of("bananas")[1]
    assert not streamed.post("/v1/models/bananas/learner/stop", {})["running"]
    assert streamed.request("POST", "/v1/models/bananas/learner/stop", {}).json["code"] == "not-learning"
    assert learner(streamed, "bananas")["state"] == "stopped"
    with streamed.client() as client:
        serve(client, "bananas", x, y)
    eventually(lambda: not streamed.readers("learn:bananas@1"), "its process has ended")
    assert learner(streamed, "bananas")["labels"] == labels
    assert on_page(streamed, 'tiltyard_learner_staleness_seconds{model="bananas",version="1"}') > 0.0
    streamed.cli("model", "learner", "bananas@1", "--start")
    learnt(streamed, "bananas", labels + 1)


def test_a_label_of_another_kind_is_put_aside_and_told(streamed: Server) -> None:
    """That it cannot be learnt comes out where the model is known: it is counted, shown with the reason, and the next one is learnt."""
    labels = learner(streamed, "bananas")["labels"]
    x, y = rows_of("bananas")[2]
    with streamed.client() as client:
        serve(client, "bananas", x, "ripe")
        serve(client, "bananas", x, y)
    learnt(streamed, "bananas", labels + 1)
    found = learner(streamed, "bananas")
    reason = "label: expected 0 or 1, false or true, got the text 'ripe'"
    assert (found["quarantined"], [row["reason"] for row in found["quarantine"]]) == (1, [reason])
    assert on_page(streamed, 'tiltyard_learner_quarantined_total{model="bananas",version="1"}') == 1.0


def test_a_learner_takes_no_more_than_it_may(streamed: Server) -> None:
    """Its memory is limited as the setting says, and it gives way to those who answer."""
    (process,) = streamed.readers("learn:phishing@1")
    assert resource.prlimit(process, resource.RLIMIT_DATA) == (MEMORY_BYTES, MEMORY_BYTES)
    assert os.getpriority(os.PRIO_PROCESS, process) == min(os.getpriority(os.PRIO_PROCESS, 0) + 10, 19)
    threads = {int(each.name): os.sched_getscheduler(int(each.name)) for each in Path(f"/proc/{process}/task").iterdir()}
    assert (threads[process], os.SCHED_IDLE in threads.values()) == (os.SCHED_OTHER, True)


def test_examples_are_learnt_without_a_prediction(streamed: Server) -> None:
    """Posted, or from a file; the same id counts once; what is wrong is named, and nothing of it is kept."""
    labels = learner(streamed, "shuttle")["labels"]
    rows = [{"features": x, "label": y, "id": f"row{number % 9}"} for number, (x, y) in enumerate(rows_of("shuttle")[:10])]
    assert streamed.post("/v1/models/shuttle/learn", rows, 202) == {"accepted": 9, "duplicates": 1}
    assert streamed.post("/v1/models/shuttle/learn", rows[0], 202) == {"accepted": 1, "duplicates": 0}
    learnt(streamed, "shuttle", labels + 9)
    eventually(lambda: learner(streamed, "shuttle")["duplicates"] == 1, "the repeated one is counted")
    wrong = {"features": {**rows[0]["features"], next(iter(rows[0]["features"])): "high"}, "label": True}
    refused = streamed.request("POST", "/v1/models/shuttle/learn", [rows[1], wrong])
    assert (refused.status, refused.json["field"].partition(".features.")[0]) == (422, "[1]")
    assert streamed.request("POST", "/v1/models/nobody/learn", rows[0]).json["code"] == "model-not-found"


def test_only_that_route_teaches(streamed: Server) -> None:
    """By POST alone; an alias or a model of that name is asked for like any other."""
    assert streamed.request("GET", "/v1/models/shuttle/learn").status == 405
    assert streamed.request("GET", "/v1/models/shuttle/aliases/learn").json["code"] == "alias-not-found"
    assert streamed.request("GET", "/v1/models/learn").json["code"] == "model-not-found"


def test_a_file_of_examples(streamed: Server, tmp_path: Path) -> None:
    """The sample that the model was registered with, of columns that it takes and one that names the rows."""
    labels = learner(streamed, "bananas")["labels"]
    path = tmp_path / "more.csv"
    write(path, [({"key": number, **x}, y) for number, (x, y) in enumerate(rows_of("bananas")[:50])])
    said = streamed.cli("model", "learn", "bananas", path, "--label", "truth", "--id", "key")
    assert said == {"accepted": 50, "duplicates": 0}
    learnt(streamed, "bananas", labels + 50)
    assert "no column 'nothing'" in streamed.cli("model", "learn", "bananas", path, "--label", "nothing", code=1)


def test_what_has_no_learner_says_so(streamed: Server) -> None:
    """A kept version is static; of a model that does not exist nothing is told."""
    kept = learner(streamed, "segments")["kept"][0]["version"].partition("@")[2]
    missing = streamed.request("GET", f"/v1/models/segments/learner?version={kept}")
    assert (missing.status, missing.json["code"]) == (404, "learner-not-found")
    assert streamed.request("GET", "/v1/models/nobody/learner").json["code"] == "model-not-found"
    assert streamed.request("GET", "/v1/models/segments/learner?version=x").json["field"] == "version"
    strange = streamed.request("POST", "/v1/models/segments/learner/rollback", {"to": "phishing@1"})
    assert (strange.status, strange.json["code"]) == (409, "not-kept")
