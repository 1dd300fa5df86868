"""River models of every kind learn over HTTP as River does by itself; a replay agrees, and tells what another version would have learnt."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from river import anomaly, datasets, evaluate, forest, linear_model, metrics, preprocessing

from server.processes import LEARNING
from tests.e2e.learning_server import feed, learner, learnt, register
from tests.e2e.real_server import Server, Worlds

FACTORIES = """
from river import anomaly, forest, linear_model, preprocessing, time_series


def woods():
    return forest.ARFClassifier(n_models=3, seed=1)


def line():
    return preprocessing.StandardScaler() | linear_model.LinearRegression()


def other():
    return preprocessing.StandardScaler() | linear_model.LinearRegression(l2=0.5)


def odd():
    return anomaly.QuantileFilter(anomaly.HalfSpaceTrees(seed=1), q=0.9)


def season():
    return time_series.HoltWinters(alpha=0.3, beta=0.1, gamma=0.6, seasonality=4)
"""

ROWS: dict[str, list[tuple[dict[str, Any], Any]]] = {
    "woods": list(islice(datasets.ImageSegments(), 150)),
    "line": list(datasets.ChickWeights())[:200],
    "odd": list(islice(datasets.Shuttle(), 200)),
    "season": [({"horizon": 1}, 10.0 + step % 4 + step / 10) for step in range(60)],
}

ALONE = {
    "woods": (
        lambda: forest.ARFClassifier(n_models=3, seed=1),
        {"CrossEntropy": metrics.CrossEntropy, "Accuracy": metrics.Accuracy},
    ),
    "line": (
        lambda: preprocessing.StandardScaler() | linear_model.LinearRegression(),
        {"MAE": metrics.MAE, "RMSE": metrics.RMSE},
    ),
    "odd": (
        lambda: anomaly.QuantileFilter(anomaly.HalfSpaceTrees(seed=1), q=0.9),
        {"RollingROCAUC": lambda: metrics.RollingROCAUC(window_size=1000)},
    ),
}
"""The same models for River by itself, with the metrics that score them. A forecaster is not asked row by row."""

REPLAYS = """
import json, sys
from server.cli import cli
for order in json.loads(sys.argv[1]):
    cli(order, standalone_mode=False)
"""
"""Several commands in one process, in the environment that they would start anew for: each process takes seconds to begin."""


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose learners have learnt all rows, the one of `other` those of `line` that its shadow was shown."""
    worlds = Worlds(tmp_path_factory.mktemp("kinds"), Path())
    server = worlds.server(empty=True)
    register(server, worlds.directory, FACTORIES, ROWS)
    register(server, worlds.directory, FACTORIES, {"other": ROWS["line"]}, learns_from="all")
    server.start()
    try:
        for name in ROWS:
            shadows = {"next": {"version": "other@1"}} if name == "line" else {}
            server.create(name, {"control": (f"{name}@1", 1)}, shadows=shadows)
        feed(server, ROWS)
        for name, rows in {**ROWS, "other": ROWS["line"]}.items():
            learnt(server, name, len(rows))
        yield server
    finally:
        worlds.close()


@pytest.fixture(scope="module")
def replayed(taught: Server) -> dict[str, Any]:
    """What a replay of each learner says; and one of `line` in which `other` learns in its stead."""
    orders = {name: [f"{name}@1"] for name in (*ROWS, "other")} | {"instead": ["line@1", "--with", "other@1", "--into", "whatif"]}
    command = [sys.executable, "-c", REPLAYS, json.dumps([["replay", *order, "--json"] for order in orders.values()])]
    said = subprocess.run(command, env={**taught.environ, **LEARNING}, stdout=subprocess.PIPE, text=True, timeout=120, check=True).stdout
    return dict(zip(orders, json.loads("[" + said.replace("\n}\n{", "\n},\n{") + "]"), strict=True))


@pytest.mark.parametrize("name", ALONE)
def test_scores_are_rivers_own(taught: Server, name: str) -> None:
    """Exactly what `progressive_val_score` says of the same rows."""
    make, scored_by = ALONE[name]
    expected = {metric: evaluate.progressive_val_score(ROWS[name], make(), made()).get() for metric, made in scored_by.items()}
    assert learner(taught, name)["scores"] == expected


def test_a_forecaster_learns_the_series(taught: Server) -> None:
    """After fifteen seasons it knows both the season and the trend: the next steps are no surprise."""
    ahead = [taught.predict("season", {"horizon": steps})["predictions"][0]["value"] for steps in range(1, 5)]
    assert ahead == pytest.approx([10.0 + step % 4 + step / 10 for step in range(60, 64)], abs=0.5)
    assert None not in learner(taught, "season")["scores"].values()


@pytest.mark.parametrize("name", [*ROWS, "other"])
def test_a_replay_comes_to_the_same(replayed: dict[str, Any], name: str) -> None:
    """Bit for bit, whatever the kind, and whether its own answers taught it or those that were mirrored to it."""
    found = replayed[name]
    assert (found["equal"], found["reason"], found["quarantined"]) == (True, None, 0)
    assert found["labels"] == len(ROWS.get(name, ROWS["line"]))


def test_what_another_version_would_have_learnt(taught: Server, replayed: dict[str, Any]) -> None:
    """The same as it has learnt as a shadow of the same rows; and what came of it is a version that can be served."""
    instead, (x, _) = replayed["instead"], ROWS["line"][0]
    assert (instead["with"], instead["into"], instead["labels"]) == ("other@1", "whatif@1", len(ROWS["line"]))
    assert instead["fingerprint"] == replayed["other"]["fingerprint"]
    assert instead["fingerprint"] != replayed["line"]["fingerprint"]
    taught.create("whatif", {"control": ("whatif@1", 1)})
    taught.create("other", {"control": ("other@1", 1)})
    assert taught.predict("whatif", x)["predictions"] == taught.predict("other", x)["predictions"]
