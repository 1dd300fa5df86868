"""The hot routes of one worker, without a server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

UNUSABLE_STORE = """
import json, os, sys
from werkzeug.test import Client
from core.settings import Settings
from server import home
from server.app import create_app
from server.hot import HotRoutes
from server.worker import Worker
from store import tables

place = home.create(Settings(home=sys.argv[1]))
worker = Worker(place, "w1", "127.0.0.1")
worker.guard.refresh()
client = Client(HotRoutes(worker, create_app(place, worker.routes, worker.guard)))
with place.store.write() as connection:
    for table in tables.metadata.sorted_tables[::-1]:
        table.drop(connection)
found = [
    client.post("/v1/events/clicks", json={"values": {"user": "ann"}}),
    client.post("/v1/models/m/learn", json={"features": {"x": 1.0}, "label": 1}),
    client.get("/v1/features/activity"),
]
print(json.dumps([[one.status_code, one.json["code"], one.headers.get("Retry-After")] for one in found]), flush=True)
os._exit(0)
"""


def test_routes_that_need_the_store_say_that_it_cannot_be_used(tmp_path: Path) -> None:
    """Hot or not, as something that passes: a stream or a model that no worker knows yet is asked for there before it is unknown."""
    ran = subprocess.run(
        [sys.executable, "-c", UNUSABLE_STORE, str(tmp_path / "home")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(ran.stdout) == [[503, "store-unavailable", "1"]] * 3
