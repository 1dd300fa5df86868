"""Shifting traffic under load drops nothing, and every answer can be explained by the plan that it names."""

from __future__ import annotations

import os
import random
import threading
import time
from typing import Any

import pytest

from routing.splitter import Splitter
from tests.e2e.real_server import Server, Worlds

SHIFTS = 5 * int(os.environ.get("TILTYARD_CHAOS", "8"))
CLIENTS = 3


class Load(threading.Thread):
    """One client that asks without a pause for units that come back, and remembers what it was told."""

    def __init__(self, server: Server, number: int, row: dict[str, float], done: threading.Event) -> None:
        super().__init__()
        self._server = server
        self._random = random.Random(number)
        self._row = row
        self._done = done
        self.bad: list[object] = []
        self.answers: list[tuple[str, Any]] = []

    def run(self) -> None:
        with self._server.client() as client:
            while not self._done.is_set():
                unit = f"u{self._random.randrange(500)}"
                reply = client.predict("credit", unit, self._row)
                if reply.status == 200:
                    self.answers.append((unit, reply.json))
                else:
                    self.bad.append(reply)


def shift(server: Server, chance: random.Random, paused: bool) -> bool:
    """One random change; returns whether the endpoint is paused after it."""
    path = "/v1/endpoints/credit/"
    if paused:
        server.post(path + "resume", {})
        return False
    if chance.random() < 0.15:
        server.post(path + "pause", {})
        return True
    weights = {"control": chance.randint(0, 10), "treatment": chance.randint(1, 10), "third": chance.randint(0, 3)}
    server.put(path + "traffic", {"weights": weights, "enrolment": chance.choice([0.3, 1.0])})
    return False


def test_shifts_under_load_drop_nothing_and_each_answer_follows_its_plan(fresh: Worlds, rows: list[dict[str, float]]) -> None:
    """No answer other than 200; each names a plan that existed, and has the arm and version that this plan gives to the unit."""
    server = fresh.server().start()
    server.create("credit", {"control": ("dia@1", 1), "treatment": ("dia@2", 1), "third": ("dia@3", 1)})
    done = threading.Event()
    clients = [Load(server, number, rows[0], done) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    chance, paused = random.Random(1), False
    try:
        for _ in range(SHIFTS):
            paused = shift(server, chance, paused)
            time.sleep(chance.uniform(0.0, 0.3))
    finally:
        done.set()
        for client in clients:
            client.join()
    assert [bad for client in clients for bad in client.bad] == []
    answers = [answer for client in clients for answer in client.answers]
    plans = server.history("credit")
    splitters = {number: Splitter(plan) for number, plan in plans.items()}
    assert len(plans) == SHIFTS + 1
    assert len(answers) > 10 * SHIFTS
    assert len({answer["plan"] for _, answer in answers}) > SHIFTS / 4
    for unit, answer in answers:
        arm = splitters[answer["plan"]].assign(unit).arm
        assert (answer["arm"], answer["model"]) == (arm, plans[answer["plan"]].arms[arm].version)
    server.stop()


def test_every_worker_switches_within_half_a_second(server: Server, rows: list[dict[str, float]]) -> None:
    """With the versions loaded, no new connection is answered by the old plan 500 ms after the call has returned.

    Five times in a row; a machine that is too busy for it for a moment begins anew.
    """
    server.create("fast", {"control": ("dia@1", 1), "treatment": ("dia@2", 1)})
    in_a_row = 0
    for number in range(40):
        plan = server.put("/v1/endpoints/fast/traffic", {"weights": {"control": 1, "treatment": 2 + number}})["plan"]
        time.sleep(0.5)
        quick = {server.predict("fast", rows[0])["plan"] for _ in range(20)} == {plan}
        in_a_row = in_a_row + 1 if quick else 0
        if in_a_row == 5:
            return
    pytest.fail("workers are slower than that")
