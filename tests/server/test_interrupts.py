"""Ctrl-C while a model runs: it is never a failure of the model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from river import base

from models.learner import snapshot
from server.processes import SUPERVISOR, command
from store import learners
from tests.flows.learning import learn_world
from tests.flows.learning.learn_world import LearnWorld

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
SIGNAL = "TEST_INTERRUPTED_BY"
"""Where a process is told which signal comes while its model learns."""


class Interrupted(base.Regressor):
    """While it learns, the signal comes."""

    def predict_one(self, x: dict[str, Any]) -> float:
        return 0.0

    def learn_one(self, x: dict[str, Any], y: float) -> None:
        if SIGNAL in os.environ:
            os.kill(os.getpid(), int(os.environ[SIGNAL]))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LearnWorld]:
    """A home whose learner has begun; one label is told after that."""
    monkeypatch.setattr(learn_world, "KEY", snapshot.key(tmp_path / "home.key"))
    made = LearnWorld(tmp_path / "home", Interrupted())
    (tmp_path / "home.key").rename(tmp_path / "home" / "snapshots.key")
    yield made
    made.close()


def environ(world: LearnWorld) -> dict[str, str]:
    """Of a process of that home, to which Ctrl-C comes while the model learns."""
    home = str(world.journal.parent)
    found = {"TILTYARD_HOME": home, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", SUPERVISOR: str(os.getpid())}
    return {**os.environ, **found, SIGNAL: str(int(signal.SIGINT))}


def test_a_replay_ends(world: LearnWorld) -> None:
    """At once, and tells nothing."""
    world.pair(1.0, 2.0)
    world.learn()
    arguments = [sys.executable, "-c", "from server.cli import cli; cli()", "replay", "m@1"]
    done = subprocess.run(arguments, env=environ(world), capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGINT, ""), done.stderr


def test_a_learner_goes_on(world: LearnWorld) -> None:
    """Until its supervisor ends it: the label is learnt."""
    world.pair(1.0, 2.0)
    process = subprocess.Popen(command("server.reader", "learn:m@1"), env=environ(world), cwd=ROOT)
    try:
        deadline = time.monotonic() + PATIENCE
        while labels_and_quarantined(world) != (1, 0):
            assert time.monotonic() < deadline, labels_and_quarantined(world)
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        assert process.wait(PATIENCE) == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()


def labels_and_quarantined(world: LearnWorld) -> tuple[int, int] | None:
    """What the learner says; None before it has begun."""
    with world.store.read() as connection:
        found = learners.newest(connection, world.version)
    status = {} if found is None else msgspec.json.decode(found.status)
    return None if not status else (status["labels"], status["quarantined"])
