"""The image's own commands, run in a fresh virtual environment where no Docker is."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
START = 120.0
STOP = 60.0
"""Seconds that a busy machine may take."""

pytestmark = pytest.mark.timeout(900)  # the installation fetches and unpacks half a gigabyte


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, argument), continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def command(instruction: str) -> list[str]:
    """The exec form of the only such instruction."""
    (argument,) = [argument for name, argument in instructions() if name == instruction]
    words = json.loads(argument[argument.index("[") :])
    assert all(isinstance(word, str) for word in words)
    return words


@pytest.fixture(scope="module")
def environment(build_context: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a virtual environment in which the Dockerfile's `pip install` has been run."""
    venv = tmp_path_factory.mktemp("image") / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("TILTYARD_", "PYTHON", "VIRTUAL_ENV"))}
    variables["PATH"] = f"{venv / 'bin'}:{os.environ['PATH']}"
    installs = [argument for name, argument in instructions() if name == "RUN" and "pip install" in argument]
    assert installs
    for install in installs:
        subprocess.run(install, shell=True, check=True, cwd=build_context, env=variables, stdout=subprocess.DEVNULL)
    return variables


def free_port() -> int:
    """Of those that the kernel gives to nobody by itself: another process cannot be given it before the server has it."""
    for port in range(20_000 + os.getpid() % 10_000, 32_768):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def wait_until_healthy(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
                assert answer.status == 200
                return
        except OSError:  # refused, reset, no answer in time, or not 200 yet
            assert server.poll() is None, f"the server ended with {server.returncode}"
            assert time.monotonic() < deadline, f"not healthy after {START} s"
            time.sleep(0.1)


def test_the_image_runs_as_nobody_in_particular() -> None:
    """Not root, an init that reaps, state on a volume, and the port that the start command names."""
    arguments = dict(instructions())
    assert arguments["USER"] == "tiltyard"
    assert command("ENTRYPOINT") == ["tini", "--"]
    assert f"TILTYARD_HOME={arguments['VOLUME']}" in arguments["ENV"]
    assert arguments["EXPOSE"] in command("CMD")


def test_the_installation_is_the_pinned_one(environment: dict[str, str]) -> None:
    """The Dockerfile's `pip install` brings consistent dependencies, each of them at the version of constraints.txt."""
    subprocess.run(["pip", "check"], check=True, env=environment, stdout=subprocess.DEVNULL)
    listed = subprocess.run(["pip", "list", "--format=json"], check=True, env=environment, capture_output=True).stdout
    installed = {canonical(package["name"]): package["version"] for package in json.loads(listed)}
    pins = [line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    pinned = {canonical(name): version for name, version in pins}
    not_pinned = {"pip", "setuptools", "tiltyard"}
    assert {name: version for name, version in installed.items() if name not in not_pinned and pinned.get(name) != version} == {}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_start_command_serves_and_stops(environment: dict[str, str], tmp_path: Path) -> None:
    """CMD, on loopback and a free port, answers /healthz with 200, passes HEALTHCHECK, and exits 0 soon after SIGTERM."""
    port = free_port()
    substitutes = {"0.0.0.0": "127.0.0.1", "8080": str(port)}
    start = [substitutes.get(word, word) for word in command("CMD")]
    check = [word.replace("8080", str(port)) for word in command("HEALTHCHECK")]
    environment = {**environment, "TILTYARD_HOME": str(tmp_path / "home")}
    with subprocess.Popen(start, env=environment, cwd=tmp_path) as server:
        try:
            wait_until_healthy(server, port)
            subprocess.run(check, env=environment, check=True)
            server.send_signal(signal.SIGTERM)
            assert server.wait(STOP) == 0
        finally:
            server.kill()


def test_the_start_command_lets_no_one_in(environment: dict[str, str], tmp_path: Path) -> None:
    """CMD as it stands, without a token: refused with one line that names what is missing."""
    environment = {**environment, "TILTYARD_HOME": str(tmp_path / "home")}
    refused = subprocess.run(command("CMD"), env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=START, check=False)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert "TILTYARD_ADMIN_TOKEN_FILE" in refused.stderr
