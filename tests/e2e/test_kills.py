"""Processes are killed at random under load: what was answered or acknowledged is counted exactly once."""

from __future__ import annotations

import http.client
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from core import events
from core.events import ENROLLED, Observed, Predicted
from core.ids import format_prediction_id
from core.values import Position
from journal.reader import Reader
from tests.e2e.real_server import Client, Reply, Server, Worlds, eventually

KILLS = int(os.environ.get("TILTYARD_CHAOS", "8"))
CLIENTS = 3
WINDOW = 25.0
"""Seconds in which what a client has to tell is acknowledged, though the web process is killed meanwhile."""
PAUSE = 0.005


class Customer(threading.Thread):
    """One client: predicts for a new unit, then tells what it was worth: by the prediction, or by the unit, until it is acknowledged."""

    def __init__(self, server: Server, number: int, rows: list[dict[str, float]], done: threading.Event) -> None:
        super().__init__()
        self._server = server
        self._number = number
        self._rows = rows
        self._done = done
        self.answered: dict[str, Any] = {}
        """Unit → the answer."""
        self.broken: set[str] = set()
        """Units whose connection broke: their prediction may have been logged."""
        self.acknowledged: dict[str, tuple[str, float]] = {}
        """Outcome's id → unit and value."""
        self.bad: list[Reply] = []

    def run(self) -> None:
        with self._server.client() as client:
            for count in range(10**9):
                if self._done.is_set():
                    return
                self._visit(client, f"u{self._number}-{count}", count)
                time.sleep(PAUSE)

    def _visit(self, client: Client, unit: str, count: int) -> None:
        try:
            reply = client.predict("credit", unit, self._rows[count % len(self._rows)])
        except (OSError, http.client.HTTPException):
            self.broken.add(unit)
            return
        if reply.status != 200 or not reply.json.get("logged", True):
            self.bad.append(reply)
            return
        self.answered[unit] = reply.json
        subject = {"prediction_id": reply.json["prediction_id"]} if count % 2 else {"endpoint": "credit", "unit": unit}
        self._tell(client, {**subject, "metric": "revenue", "value": count % 7, "id": f"sale {unit}"})
        self.acknowledged[f"sale {unit}"] = unit, count % 7

    def _tell(self, client: Client, outcome: dict[str, Any]) -> None:
        while True:
            try:
                reply = client.request("POST", "/v1/outcomes", outcome)
            except (OSError, http.client.HTTPException):
                time.sleep(PAUSE)
                continue
            if reply.status != 202:
                self.bad.append(reply)
            return


def journal_of(server: Server) -> tuple[dict[str, Predicted], list[Observed]]:
    """Every prediction by its id, and every outcome, as they stand in the journal."""
    reader = Reader(server.home / "journal", Position(1, 0))
    try:
        predicted, observed = {}, []
        while entries := reader.read(1000):
            for entry in entries:
                event = events.decode(entry.payload)
                if isinstance(event, Predicted):
                    predicted[format_prediction_id(entry.address)] = event
                elif isinstance(event, Observed):
                    observed.append(event)
        return predicted, observed
    finally:
        reader.close()


class Aftermath:
    """What clients know, what the journal holds, and what the server reports, after all has come to rest."""

    def __init__(self, server: Server, customers: list[Customer], killed: Counter[str]) -> None:
        self.killed = killed
        self.customers = customers
        self.answered = {unit: answer for customer in customers for unit, answer in customer.answered.items()}
        self.broken = set().union(*(customer.broken for customer in customers))
        self.acknowledged = {id_: told for customer in customers for id_, told in customer.acknowledged.items()}
        self.report = server.report("e1")
        self.shadow = server.status("credit")["shadows"]["next"]
        self.readers = server.status("credit")["readers"]
        self.predicted, self.observed = journal_of(server)


@pytest.fixture(scope="module")
def aftermath(worlds: Worlds, rows: list[dict[str, float]]) -> Iterator[Aftermath]:
    """Load, kills, and quiet: all units have matured, all readers are at the end."""
    server = worlds.server(TILTYARD_SEGMENT_BYTES="30000").start()
    server.create("credit", {"control": ("dia@1", 60), "treatment": ("dia@2", 40)}, shadows={"next": {"version": "dia@3"}})
    server.experiment("e1", "credit", "revenue", window_seconds=WINDOW, look_every_seconds=1.0)
    done = threading.Event()
    customers = [Customer(server, number, rows, done) for number in range(CLIENTS)]
    for customer in customers:
        customer.start()
    try:
        killed = kill_at_random(server, random.Random(7))
        eventually(lambda: enough(customers), "clients went on, in another segment")
    finally:
        done.set()
        for customer in customers:
            customer.join()
    eventually(lambda: server.request("GET", "/readyz").status == 200, "it is ready again")
    server.caught_up("credit")
    eventually(lambda: server.report("e1")["excluded"]["immature"] == 0, "all units have matured", 3 * WINDOW)
    eventually(lambda: server.status("credit")["shadows"]["next"]["waiting"] == 0, "the shadow has caught up")
    yield Aftermath(server, customers, killed)
    server.stop()


def kill_at_random(server: Server, chance: random.Random) -> Counter[str]:
    """`kill -9` of KILLS processes: a web worker, the web process, a reader; each kind at least once where there are enough."""
    killed: Counter[str] = Counter()
    kinds = ["worker", "reader", "worker", "reader", "web", "reader", "worker", "reader"]
    for number in range(KILLS):
        time.sleep(chance.uniform(0.4, 1.4))
        kind = kinds[number % len(kinds)]
        try:
            os.kill(victim(server, kind, chance), signal.SIGKILL)
        except ProcessLookupError:  # it has just been replaced
            continue
        killed[kind] += 1
    return killed


def enough(customers: list[Customer]) -> bool:
    """Whether the load was long enough to show something: a slow machine needs more time for as much."""
    ids = [answer["prediction_id"] for customer in customers for answer in list(customer.answered.values())]
    return len(ids) > 20 * KILLS and address_segment(ids[-1]) > 1


def victim(server: Server, kind: str, chance: random.Random) -> int:
    found: list[int] = []

    def look() -> list[int]:
        try:
            master, workers = server.web()
        except StopIteration:
            master, workers = 0, []
        found[:] = {"worker": workers, "web": [master] if master and workers else [], "reader": server.readers()}[kind]
        return found

    eventually(look, f"a {kind} runs")
    return chance.choice(found)


def test_the_load_was_real(aftermath: Aftermath) -> None:
    """Processes of each kind died, and clients went on."""
    assert sum(aftermath.killed.values()) >= 0.8 * KILLS
    assert len(aftermath.answered) > 20 * KILLS
    assert max(address_segment(id_) for id_ in aftermath.predicted) > 1  # the journal was rotated meanwhile


def address_segment(prediction_id: str) -> int:
    return int(prediction_id[1:].partition("-")[0], 16)


def test_nobody_got_an_error(aftermath: Aftermath) -> None:
    """Connections broke; what was answered was answered well."""
    assert [reply for customer in aftermath.customers for reply in customer.bad] == []


def test_every_answered_prediction_is_in_the_journal_as_it_was_answered(aftermath: Aftermath) -> None:
    """And what else stands there is of requests whose connection broke: at most one each."""
    for unit, answer in aftermath.answered.items():
        record = aftermath.predicted[answer["prediction_id"]]
        assert (record.unit, record.arm, record.version, record.plan) == (unit, answer["arm"], answer["model"], answer["plan"])
        assert record.outputs[0].value == answer["predictions"][0]["value"]
    answered = {answer["prediction_id"] for answer in aftermath.answered.values()}
    rest = Counter(record.unit for id_, record in aftermath.predicted.items() if id_ not in answered)
    assert set(rest) <= aftermath.broken
    assert set(rest.values()) <= {1}


def test_the_report_counts_each_prediction_and_unit_once(aftermath: Aftermath) -> None:
    """By arm, exactly as the journal has them."""
    enrolled = [record for record in aftermath.predicted.values() if record.flags & ENROLLED]
    assert len(enrolled) == len(aftermath.predicted)
    arms = aftermath.report["arms"]
    assert {arm: one["predictions"] for arm, one in arms.items()} == Counter(record.arm for record in enrolled)
    assert {arm: one["units"] for arm, one in arms.items()} == Counter({record.unit: record.arm for record in enrolled}.values())


def test_each_acknowledged_outcome_is_counted_once_and_repetitions_are_told(aftermath: Aftermath) -> None:
    """acknowledged ⊆ stored; counted = the distinct ones; duplicates = the others; each arm's sum is what clients told of it."""
    stored = Counter(event.id for event in aftermath.observed)
    assert set(stored) == set(aftermath.acknowledged)
    repeated = sum(stored.values()) - len(stored)
    expected = {"counted": len(stored), "outside_window": 0, "unanalysed": 0, "quarantined": 0, "duplicates": repeated}
    assert aftermath.report["outcomes"] == expected
    sums: Counter[str] = Counter()
    for unit, value in aftermath.acknowledged.values():
        sums[aftermath.answered[unit]["arm"]] += value
    shown = aftermath.report["metrics"]["revenue"]["arms"]
    assert {arm: one["sum"] for arm, one in shown.items()} == pytest.approx(dict(sums))
    assert {arm: one["units"] for arm, one in shown.items()} == {arm: one["units"] for arm, one in aftermath.report["arms"].items()}


def test_the_shadow_did_each_prediction_once(aftermath: Aftermath) -> None:
    """Though it was killed as well; and nobody put an event aside."""
    total = len(aftermath.predicted)
    shadow = aftermath.shadow
    assert (shadow["mirrored"], shadow["done"], shadow["dropped"], shadow["errors"]) == (total, total, 0, 0)
    assert {one["set_aside"] for one in aftermath.readers.values()} == {0}
