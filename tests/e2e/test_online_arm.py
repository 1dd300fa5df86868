"""A concept drifts: the learner notices, its arm beats the static one, and the verdict says so."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from river import linear_model, preprocessing
from river.datasets import synth

from tests.e2e.learning_server import learner, learnt, on_page, serve, write
from tests.e2e.real_server import Server, Worlds, eventually

BEFORE, AFTER = 400, 2200
WIDTH = 20
"""Rows that the labels take to turn, about: so long before the middle of it they are still the old ones."""
TRAINING = 1000


class Drifted(NamedTuple):
    """A server after the drift, and what its learner told of drifts before there was one."""

    server: Server
    calm: dict[str, Any]


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drifted]:
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
        stream = enumerate(_stream())
        _post(server, islice(stream, BEFORE - WIDTH))
        learnt(server, "online", BEFORE - WIDTH)
        calm = learner(server, "online")["drift"]
        _post(server, stream)
        server.caught_up("sine")
        eventually(lambda: server.report("drift")["verdict"] not in ("not_enough_data", "continue"), "the experiment has a verdict")
        yield Drifted(server, calm)
    finally:
        worlds.close()


_LOSS = {"kind": "label_loss", "loss": "error", "direction": "decrease"}


def test_the_drift_is_found_and_shown(drifted: Drifted) -> None:
    """The learner's detector has seen it, and not before it was there; `/metrics` counts what the learner tells."""
    assert (drifted.calm["detections"], drifted.calm["last"]) == (0, None)
    drift = learner(drifted.server, "online")["drift"]
    assert drift["detections"] >= 1
    assert drift["last"]["label"] > BEFORE
    assert on_page(drifted.server, 'tiltyard_learner_drifts_total{model="online",version="1"}') == drift["detections"]


def test_the_online_arm_beats_the_static_one(drifted: Drifted) -> None:
    """Its error is lower, as it was served; the verdict is to promote it, with the reason."""
    served = learner(drifted.server, "online")["served"]
    assert served["sine/treatment"]["scores"]["Accuracy"] > served["sine/control"]["scores"]["Accuracy"] + 0.2
    report = drifted.server.report("drift")
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
    write(sample, rows)
    for name, learn in (("static", "off"), ("online", "arms")):
        server.cli("model", "register", name, path, "--trust-pickle", "--sample", sample, "--target", "truth", "--learn", learn)


def _stream() -> Iterator[tuple[dict[str, float], bool]]:
    old, new = synth.Sine(classification_function=0, seed=2), synth.Sine(classification_function=1, seed=3)
    stream = synth.ConceptDriftStream(old, new, position=BEFORE, width=WIDTH, seed=4)
    return ((_named(x), bool(y)) for x, y in islice(stream, BEFORE + AFTER))


def _post(server: Server, rows: Iterable[tuple[int, tuple[dict[str, float], bool]]]) -> None:
    """Each row as one of a unit of its own."""
    with server.client() as client:
        for number, (x, y) in rows:
            serve(client, "sine", x, y, f"u{number}")


def _named(x: dict[int, float]) -> dict[str, float]:
    return {"a": x[0], "b": x[1]}
