"""A server whose models learn, and how tests register them, teach them over HTTP and look at them."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from core.settings import Settings
from flows import register as flow
from models.learner.settings import LearnerSettings
from routing.changes import Who
from server import home as homes
from tests.e2e.real_server import PATIENCE, Client, Server, eventually

MOST_SAMPLED = 500

Rows = Sequence[tuple[Mapping[str, Any], Any]]


def register(server: Server, directory: Path, factories: str, models: Mapping[str, Rows], **settings: Any) -> None:
    """By name each factory of the Python source as a River model that learns, its sample the first of its rows."""
    source = directory / "models.py"
    source.write_text(factories)
    home, who = homes.create(Settings(home=str(server.home))), Who("test", time.time(), "rows of a stream")
    for name, rows in models.items():
        sample, path = directory / f"{name}.csv", Path(f"{source}:{name}")
        write(sample, rows[:MOST_SAMPLED])
        flow.register(home.store, home.blobs, name, path, who, sample=sample, target="truth", learning=LearnerSettings(**settings))


def write(path: Path, rows: Rows) -> None:
    """The rows as a file, their labels in the column `truth`."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*rows[0][0], "truth"])
        writer.writerows([*x.values(), y] for x, y in rows)


def feed(server: Server, streams: Mapping[str, Rows]) -> None:
    """At each endpoint its rows, one after another: predicted, and the label posted. Beside each other the streams, as nobody waits."""

    def one(name: str) -> None:
        with server.client() as client:
            for x, y in streams[name]:
                serve(client, name, x, y)

    with ThreadPoolExecutor(len(streams)) as pool:
        list(pool.map(one, streams))


def serve(client: Client, name: str, x: Mapping[str, Any], y: Any, unit: str | None = None) -> None:
    """One row predicted, and its label posted."""
    answered = client.predict(name, unit, x)
    assert answered.status == 200, answered
    label = {"prediction_id": answered.json["prediction_id"], "metric": "label", "value": y}
    accepted = client.request("POST", "/v1/outcomes", label)
    assert accepted.status == 202, accepted


def learner(server: Server, name: str) -> Any:
    """What is told of the model's learner."""
    return server.get(f"/v1/models/{name}/learner")


def learnt(server: Server, name: str, labels: int, seconds: float = PATIENCE) -> None:
    """Wait until so many labels are learnt."""
    eventually(lambda: learner(server, name)["labels"] == labels, f"{name} has learnt {labels} labels", seconds)


def on_page(server: Server, line: str) -> float:
    """The value of a line of `/metrics` that begins so."""
    (found,) = (text for text in server.request("GET", "/metrics").content.decode().splitlines() if text.startswith(line + " "))
    return float(found.removeprefix(line))
