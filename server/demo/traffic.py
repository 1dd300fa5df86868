"""Live traffic: readings are asked about over HTTP, and what each decision was worth is posted back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import local

from server.demo.client import Client
from server.demo.readings import WORTH, Reading

CONNECTIONS = 8
BATCH = 25
"""Predictions whose outcomes are posted together: few enough that they come well within a window of seconds."""


def replay(address: str, endpoint: str, metric: str, readings: Sequence[Reading], told: Callable[[int], object]) -> float:
    """Ask about each reading once, as a unit of its own, and post the outcomes; `told` is told how many are through.

    Returns the seconds that it took; raises Unavailable where the server does not answer.
    """
    mine, clients = local(), []

    def connect() -> None:
        mine.client = Client(address)
        clients.append(mine.client)

    def ask(batch: Sequence[Reading]) -> int:
        outcomes = [_outcome(mine.client, endpoint, metric, reading) for reading in batch]
        mine.client.post("/v1/outcomes", outcomes)
        return len(batch)

    start = time.monotonic()
    try:
        with ThreadPoolExecutor(CONNECTIONS, initializer=connect) as pool:
            try:
                for count in pool.map(ask, [readings[at : at + BATCH] for at in range(0, len(readings), BATCH)]):
                    told(count)
            finally:
                # Where the demo is ended in between, what has not begun is not asked any more.
                pool.shutdown(wait=False, cancel_futures=True)
    finally:
        for client in clients:
            client.close()
    return time.monotonic() - start


def _outcome(client: Client, endpoint: str, metric: str, reading: Reading) -> dict[str, object]:
    """One prediction, and the outcome of the decision that follows from it: an anomaly is stopped."""
    answer = client.post(f"/v1/endpoints/{endpoint}/predict", {"unit": f"reading-{reading.number}", "features": reading.features})
    stopped = int(answer["predictions"][0]["label"])
    return {"prediction_id": answer["prediction_id"], "metric": metric, "value": WORTH[reading.anomaly, stopped]}
