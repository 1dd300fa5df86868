"""Batch features on a real server: loaded, served, swapped under load, too old; and the training set that follows from the journal."""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skops import io as skops_io

from core import events
from core.events import Predicted
from core.ids import format_prediction_id
from core.settings import Settings
from core.values import START
from flows.views import load_features
from flows.views.load_features import Load
from journal.reader import Reader
from routing.changes import Who
from server import home as homes
from tests.e2e.real_server import Client, Server, Worlds, eventually

FEATURES = ("a", "low", "high")
THREADS, ROWS, LOADS = 4, 5, 6
ENTITIES = 50


def save(folder: Path, name: str, frame: pd.DataFrame) -> Path:
    """The frame as a file of that name."""
    path = folder / name
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path, index=False)
    return path


def generation(folder: Path, number: int, suffix: str = "csv") -> Path:
    """A table whose columns both encode its number, for every entity in its own way: high is low + 1000."""
    low = 10_000.0 * number + np.arange(ENTITIES)
    return save(folder, f"g{number}.{suffix}", pd.DataFrame({"user_id": np.arange(ENTITIES), "low": low, "high": low + 1000.0}))


def fitted(seed: int = 0, **columns: np.ndarray) -> tuple[pd.DataFrame, Any]:
    """A sample and a pipeline that was fitted on it; the target is a sum that the model can find."""
    random = np.random.default_rng(seed)
    sample = pd.DataFrame({name: random.normal(size=200) for name in FEATURES} | columns)
    sample["y"] = sample[list(FEATURES)] @ np.array([3.0, 1.0, -1.0])
    return sample, make_pipeline(StandardScaler(), LinearRegression()).fit(sample[list(FEATURES)], sample["y"])


@pytest.fixture(scope="module")
def server(worlds: Worlds) -> Iterator[Server]:
    """A server of a linear model of a, low and high."""
    server = worlds.server(empty=True)
    folder = worlds.directory
    sample, pipeline = fitted()
    skops_io.dump(pipeline, folder / "linear.skops")
    server.cli("model", "register", "linear", folder / "linear.skops", "--sample", save(folder, "linear.csv", sample), "--target", "y")
    server.start()
    for endpoint in ("swapped", "stale", "strict", "trained"):
        server.create(endpoint, {"control": ("linear@1", 1.0)})
    yield server
    server.stop()


def load(server: Server, view: str, path: Path, *options: object) -> Any:
    """Load a table; what the command says."""
    return server.cli("feature", "load", view, path, "--key", "user_id", *options)


def load_here(server: Server, view: str, path: Path, **options: Any) -> Any:
    """Load a table from this process, which starts no other one."""
    home = homes.open_existing(Settings(home=str(server.home)))
    order = Load(view=view, path=path, key="user_id", **options)
    return load_features.load(home.store, home.views, order, Who("test", time.time(), "test"))


def ask(server: Server, endpoint: str, user: object, a: float = 0.5) -> Any:
    """One prediction of a user."""
    return server.request("POST", f"/v1/endpoints/{endpoint}/predict", {"features": {"a": a, "user_id": user}})


def serves(server: Server, endpoint: str, view: str, number: int, user: object = 1) -> None:
    """Wait until every worker serves that generation: so many new connections meet all of them."""

    def seen() -> bool:
        replies = [ask(server, endpoint, user) for _ in range(20)]
        return all(reply.status == 200 and reply.json["features"][view]["generation"] == number for reply in replies)

    eventually(seen, f"{endpoint} serves generation {number} of {view}", 20.0)


def predictions(server: Server) -> dict[str, Predicted]:
    """By id what stands in the journal."""
    found, reader = {}, Reader(server.home / "journal", START)
    try:
        while entries := reader.read(1000):
            for entry in entries:
                event = events.decode(entry.payload)
                if isinstance(event, Predicted):
                    found[format_prediction_id(entry.address)] = event
    finally:
        reader.close()
    return found


def served(server: Server, endpoint: str) -> list[list[Any]]:
    """The rows of the endpoint's predictions, as they stand in the journal."""
    return [row for event in predictions(server).values() if event.endpoint == endpoint for row in event.rows]


def test_a_swap_under_load_shows_no_half_of_a_generation(server: Server, worlds: Worlds) -> None:
    """While tables are loaded one after another, every request of several rows is answered by one generation, and none fails."""
    load(server, "numbers", generation(worlds.directory, 1), "--endpoint", "swapped")
    serves(server, "swapped", "numbers", 1)
    stop, replies, seen = threading.Event(), [], set()

    def press(seed: int) -> None:
        with Client(server.port) as client:
            while not stop.is_set():
                rows = [{"a": 0.0, "user_id": (seed + 7 * place) % ENTITIES} for place in range(ROWS)]
                reply = client.request("POST", "/v1/endpoints/swapped/predict", {"instances": rows})
                replies.append(reply)
                seen.add(reply.json["features"]["numbers"]["generation"] if reply.status == 200 else 0)

    threads = [threading.Thread(target=press, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        for number in range(2, LOADS + 1):
            found = load_here(server, "numbers", generation(worlds.directory, number, "parquet" if number % 2 else "csv"))
            assert (found["generation"], found["rows"]) == (number, ENTITIES)
            eventually(lambda: number in seen, f"a request meets generation {number}")  # noqa: B023 - waited for here
        serves(server, "swapped", "numbers", LOADS)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert {reply.status for reply in replies} == {200}
    told = {reply.json["prediction_id"]: reply.json["features"]["numbers"]["generation"] for reply in replies}
    logged = {name: event.rows for name, event in predictions(server).items() if name in told}
    assert len(logged) == len(replies)
    for name, rows in logged.items():
        assert {low // 10_000 for _, low, _ in rows} == {told[name]}, "every row is of the generation that the answer names"
        assert all(high == low + 1000.0 for _, low, high in rows)
    predicted = {round(1000.0 * value["value"]) for reply in replies for value in reply.json["predictions"]}
    assert len(predicted) == 1, "low and high of different generations would answer something else"


def test_features_that_are_too_old_are_the_default_and_the_answer_tells_their_age(server: Server, worlds: Worlds) -> None:
    """The age is that of the table, not of its load; a new load makes the features fresh again."""
    path = generation(worlds.directory, 7)
    options = ("--endpoint", "stale", "--max-age", "1h", "--default", "low=1", "--default", "high=2.5")
    load(server, "aging", path, *options, "--as-of", "2020-01-01T00:00:00Z")
    serves(server, "stale", "aging", 1)
    reply = ask(server, "stale", 3)
    age = reply.json["features"]["aging"]["age_seconds"]
    assert age == pytest.approx(time.time() - 1577836800.0, abs=60.0)
    assert served(server, "stale")[-1] == [0.5, 1.0, 2.5]
    load(server, "aging", path)
    serves(server, "stale", "aging", 2)
    assert ask(server, "stale", "3").json["features"]["aging"]["age_seconds"] < 60.0
    assert served(server, "stale")[-1] == [0.5, 70_003.0, 71_003.0]


def test_features_that_are_too_old_are_an_error_where_declared(server: Server, worlds: Worlds) -> None:
    """503 with its code; a client that sends all itself is answered."""
    options = ("--endpoint", "strict", "--max-age", "0.001s", "--on-stale", "error")
    load(server, "strict", generation(worlds.directory, 8), *options)
    eventually(lambda: ask(server, "strict", 1).status == 503, "the view is declared and stale")
    assert all(ask(server, "strict", 1).json["code"] == "features-stale" for _ in range(5))
    assert server.predict("strict", {"a": 1.0, "low": 2.0, "high": 3.0})["features"]["strict"]["generation"] == 1


def test_unknown_entities_and_keys_are_told(server: Server, worlds: Worlds) -> None:
    """The model knows no missing values: the error names view, key and feature. A row without the key says nothing of its entity."""
    load_here(server, "numbers", generation(worlds.directory, 9), endpoints=("swapped",))
    eventually(lambda: "features" in ask(server, "swapped", 1).json, "the view is served")
    refused = ask(server, "swapped", "nobody")
    assert (refused.status, refused.json["field"]) == (422, "features.low")
    assert "view numbers for user_id 'nobody'" in refused.json["detail"]
    keyless = server.request("POST", "/v1/endpoints/swapped/predict", {"features": {"a": 1.0}})
    assert (keyless.status, keyless.json["field"]) == (422, "features.user_id")
    by_context = server.request("POST", "/v1/endpoints/swapped/predict", {"features": {"a": 1.0}, "context": {"user_id": 4}})
    assert by_context.status == 200


def test_tensors_by_feature_are_filled_in_too(server: Server, worlds: Worlds) -> None:
    """V2: with one tensor for each feature that the client has; rows of a matrix say all themselves."""
    load_here(server, "numbers", generation(worlds.directory, 10), endpoints=("swapped",))
    eventually(lambda: "features" in ask(server, "swapped", 1).json, "the view is served")
    inputs = [
        {"name": "a", "shape": [2], "datatype": "FP64", "data": [0.0, 1.0]},
        {"name": "user_id", "shape": [2], "datatype": "INT64", "data": [1, 2]},
    ]
    found = server.post("/v2/models/swapped/infer", {"inputs": inputs})
    first, second = found["outputs"][0]["data"]
    assert math.isclose(second - first, 3.0, rel_tol=1e-6)
    assert json.loads(found["parameters"]["features"])["numbers"]["generation"] >= 1
    keys = [{"name": "user_id", "shape": [2, 1], "datatype": "INT64", "data": [1, 2]}]
    for path in ("/v2/models/swapped/infer", "/v2/models/linear/versions/1/infer"):
        assert "instances[0].a" in server.request("POST", path, {"inputs": keys}).json["error"], "a key alone is no matrix"


def test_entities_that_cannot_be_read_are_answered_by_the_defaults_and_counted(server: Server, worlds: Worlds) -> None:
    """No request fails on a damaged file; nobody is told an age, and `/metrics` says how many look-ups have failed."""
    server.create("spoilt", {"control": ("linear@1", 1.0)})
    load_here(server, "spoilt", generation(worlds.directory, 12), endpoints=("spoilt",), defaults={"low": "1", "high": "2.5"})
    with closing(sqlite3.connect(server.home / "views" / "spoilt.g1.db", isolation_level=None)) as other:
        other.execute("UPDATE rows SET features = x'C1'")
    serves(server, "spoilt", "spoilt", 1)
    reply = ask(server, "spoilt", 3)
    assert (reply.status, reply.json["features"]["spoilt"]) == (200, {"age_seconds": None, "generation": 1})
    assert served(server, "spoilt")[-1] == [0.5, 1.0, 2.5]
    asked = len(served(server, "spoilt"))

    def counted() -> bool:
        lines = server.request("GET", "/metrics").content.decode().splitlines()
        found = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith('tiltyard_feature_failed_lookups_total{view="spoilt"}')]
        return found == [asked]

    eventually(counted, "every look-up that failed is counted")


def test_metrics_tell_age_generation_and_rows(server: Server, worlds: Worlds) -> None:
    """Of every view."""
    found = load_here(server, "measured", generation(worlds.directory, 11), as_of=1577836800.0)
    lines = dict(line.rsplit(" ", 1) for line in server.request("GET", "/metrics").content.decode().splitlines() if line[0] != "#")
    assert float(lines['tiltyard_feature_generation{view="measured"}']) == found["generation"]
    assert float(lines['tiltyard_feature_rows{view="measured"}']) == ENTITIES
    assert float(lines['tiltyard_feature_age_seconds{view="measured"}']) > 1e8


def test_a_training_set_is_what_was_served(server: Server, worlds: Worlds) -> None:
    """Not what the features are by now: the registered pipeline answers the written rows as the server has; one fitted on them, once
    served, answers them alike."""
    folder = worlds.directory
    random = np.random.default_rng(5)
    table = pd.DataFrame({"user_id": [f"u{n}" for n in range(20)], "low": random.normal(size=20), "high": random.normal(size=20)})
    load(server, "profile", save(folder, "profile.csv", table), "--endpoint", "trained")
    serves(server, "trained", "profile", 1, "u1")
    answers = [ask(server, "trained", f"u{number % 20}", float(a)).json for number, a in enumerate(random.normal(size=60))]
    truths = {one["prediction_id"]: one["predictions"][0]["value"] * 2.0 + 1.0 for one in answers}
    posts = [{"prediction_id": name, "metric": "label", "value": value} for name, value in truths.items()]
    server.post("/v1/outcomes", [*posts, {**posts[0], "value": 0.0}], 202)
    later = table.assign(low=table["low"] + 100.0, high=table["high"] * 3.0)
    load_here(server, "profile", save(folder, "later.csv", later))
    serves(server, "trained", "profile", 2, "u1")  # which predicts: without labels these rows are left out

    path = folder / "training.parquet"
    said = server.cli("feature", "training-set", "trained", "-o", path, "--labelled-only")
    frame = parquet.read_table(path).to_pandas()
    assert (said["rows"], said["labelled"], said["journal_expired"]) == (60, 60, False)
    assert dict(zip(frame["prediction_id"], frame["label"], strict=True)) == truths, "the first label wins"
    assert frame["answered_value"].tolist() == [one["predictions"][0]["value"] for one in answers]
    given = frame[list(FEATURES)]
    np.testing.assert_allclose(fitted()[1].predict(given), frame["answered_value"], rtol=1e-9)

    pipeline = make_pipeline(StandardScaler(), LinearRegression()).fit(given, frame["label"])
    skops_io.dump(pipeline, folder / "retrained.skops")
    sample = save(folder, "retrained.parquet", frame[[*FEATURES, "label"]])
    server.cli("model", "register", "retrained", folder / "retrained.skops", "--sample", sample, "--target", "label")
    server.create("again", {"control": ("retrained@1", 1.0)})
    replies = [server.predict("again", row)["predictions"][0]["value"] for row in given.to_dict("records")]
    np.testing.assert_allclose(replies, pipeline.predict(given), rtol=1e-9)
    np.testing.assert_allclose(replies, frame["label"], rtol=1e-9)
