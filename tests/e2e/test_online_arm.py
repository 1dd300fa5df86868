"""A concept drifts: the learner notices, its arm beats the static one, and the verdict says so."""

from __future__ import annotations

import csv
import pickle
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from river import linear_model, preprocessing
from river.datasets import synth

from tests.e2e.real_server import Server, Worlds, eventually

BEFORE, AFTER = 400, 2200
TRAINING = 1000


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server on which a static and a learning copy of one model have met a stream whose labels turn round."""
    worlds = Worlds(tmp_path_factory.mktemp("drift"), Path())
    server = worlds.server(empty=True)
    _register(server, worlds.directory)
    server.start()
    try:
        server.create("sine", {"control": ("static@1", 50.0), "treatment": ("online@1", 50.0)})
        server.experiment(
            "drift", "sine", metrics=[{"name": "error", **_LOSS}], mde=0.1, window_seconds=2.0, lateness_seconds=1.0, look_every_seconds=1.0
        )
        _stream(server)
        server.caught_up("sine")
        eventually(lambda: server.report("drift")["verdict"] not in ("not_enough_data", "continue"), "the experiment has a verdict")
        yield server
    finally:
        worlds.close()


_LOSS = {"kind": "label_loss", "loss": "error", "direction": "decrease"}


def test_the_drift_is_found_and_shown(drifted: Server) -> None:
    """The learner's detector has seen it, and not before it was there."""
    drift = drifted.get("/v1/models/online/learner")["drift"]
    assert drift["detections"] >= 1
    assert drift["last"]["label"] > BEFORE
    assert 'tiltyard_learner_drifts_total{model="online",version="1"}' in drifted.request("GET", "/metrics").content.decode()


def test_the_online_arm_beats_the_static_one(drifted: Server) -> None:
    """Its error is lower, as it was served; the verdict is to promote it, with the reason."""
    served = drifted.get("/v1/models/online/learner")["served"]
    assert served["sine/treatment"]["scores"]["Accuracy"] > served["sine/control"]["scores"]["Accuracy"] + 0.2
    report = drifted.report("drift")
    assert report["verdict"] == "promote"
    assert "error" in report["reason"]


def _register(server: Server, directory: Path) -> None:
    """The same trained pipeline twice: one stays as it is, one learns on from all rows."""
    rows = [(_named(x), bool(y)) for x, y in islice(synth.Sine(classification_function=0, seed=1), TRAINING)]
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    for x, y in rows:
        model.learn_one(x, y)
    path, sample = directory / "sine.pkl", directory / "sine.csv"
    path.write_bytes(pickle.dumps(model))
    with sample.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "y"])
        writer.writerows([*x.values(), y] for x, y in rows)
    for name, learn in (("static", "off"), ("online", "arms")):
        server.cli("model", "register", name, path, "--trust-pickle", "--sample", sample, "--target", "y", "--learn", learn)


def _stream(server: Server) -> None:
    stream = synth.ConceptDriftStream(
        synth.Sine(classification_function=0, seed=2), synth.Sine(classification_function=1, seed=3), position=BEFORE, width=20, seed=4
    )
    with server.client() as client:
        for number, (x, y) in enumerate(islice(stream, BEFORE + AFTER)):
            answer = client.predict("sine", f"u{number}", _named(x)).json
            label = {"prediction_id": answer["prediction_id"], "metric": "label", "value": bool(y)}
            assert client.request("POST", "/v1/outcomes", label).status == 202


def _named(x: dict[int, float]) -> dict[str, float]:
    return {"a": x[0], "b": x[1]}
