"""How the processes that learn are started, and started again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from server import supervisor
from server.cli import cli
from server.processes import LEARNING, NOT_NOW, SUPERVISOR, command
from server.supervisor import Child
from tests.flows.learning.learn_world import LearnWorld

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0
CHILD = """
import pathlib, sys
path, code, *options = sys.argv[1:]
with open(path, "a") as file:
    file.write(" ".join(options) + "\\n")
sys.exit(int(code))
"""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child starts again at once."""
    monkeypatch.setattr(supervisor, "FIRST_BACKOFF", 0.0)


def starts(told: Path, code: int, times: int) -> list[str]:
    """The options of a reader that always ends with `code`, each time that it is started."""
    child = Child("learn:m@1", [sys.executable, "-c", CHILD, str(told), str(code)], dict(os.environ))
    deadline = time.monotonic() + PATIENCE
    while not told.exists() or told.read_text().count("\n") < times:
        assert time.monotonic() < deadline
        child.keep_running()
        time.sleep(0.01)
    child.wait(PATIENCE)
    return told.read_text().split("\n")[:times]


def test_what_crashes_goes_on_carefully(tmp_path: Path) -> None:
    """The event that it was at may be to blame."""
    assert starts(tmp_path / "told", 1, 3) == ["", "--careful", "--careful"]


def test_what_cannot_go_on_now_is_no_crash(tmp_path: Path) -> None:
    """A store that could not be read says nothing against any event."""
    assert starts(tmp_path / "told", NOT_NOW, 3) == ["", "", ""]


def test_a_learner_whose_key_cannot_be_read_says_so(tmp_path: Path) -> None:
    """In its status, since it cannot even begin."""
    world = LearnWorld(tmp_path / "home")
    try:
        world.pair(1.0, 2.0)
        world.learn()
        (tmp_path / "home" / "snapshots.key").write_bytes(b"short")
        environ = {**os.environ, "TILTYARD_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), SUPERVISOR: str(os.getpid())}
        done = subprocess.run(command("server.reader", "learn:m@1"), env=environ, cwd=ROOT, timeout=2 * PATIENCE, check=False)
        assert (done.returncode, world.status()["state"], world.status()["labels"]) == (1, "failing", 1)
        assert "snapshots.key" in world.status()["reason"]
    finally:
        world.close()


@pytest.mark.parametrize("given", ["2", ""])
def test_a_replay_starts_as_learners_do(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """With one hash seed and one thread, whatever the environment of the command is."""
    started = list[dict[str, str]]()

    def execute(_path: str, _arguments: list[str], environ: dict[str, str]) -> None:
        started.append(environ)
        raise SystemExit

    monkeypatch.setenv("PYTHONHASHSEED", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setattr(os, "execve", execute)
    CliRunner().invoke(cli, ["replay", "m@1"])
    assert [LEARNING.items() <= environ.items() for environ in started] == [True]
