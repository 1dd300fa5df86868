"""A real server in a home of its own, and how tests talk to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from core import events
from core.clock import from_rfc3339
from core.events import Event, Tick
from core.settings import Settings
from core.values import START, Position
from journal.reader import Reader
from routing.plan import Plan
from store import positions, workers
from store.engine import Store, url_of

WORKERS = 2
TILTYARD = str(Path(sys.executable).parent / "tiltyard")
PATIENCE = 60.0
"""Seconds that something may take on a busy machine before it counts as not happening."""


class Reply(NamedTuple):
    """One answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Client:
    """One keep-alive connection. Connects again after an error, which the caller sees."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def request(self, method: str, path: str, body: object = None, headers: Mapping[str, str] = {}) -> Reply:
        """`body` is sent as JSON unless it is bytes already."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self._connection.request(method, path, data, {"Content-Type": "application/json", **headers})
            response = self._connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def predict(self, endpoint: str, unit: str | None, features: Mapping[str, object]) -> Reply:
        return self.request("POST", f"/v1/endpoints/{endpoint}/predict", {"unit": unit, "features": features})


class Server:
    """`tiltyard serve` on a free port. It gets a session of its own, so that whatever it starts can be found."""

    def __init__(self, home: Path, **environ: str) -> None:
        self.home = home
        self.environ = {**os.environ, "TILTYARD_HOME": str(home), **environ}
        self.log = home.parent / f"{home.name}.log"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> Server:
        """Start, and wait until it is ready."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [TILTYARD, "serve", "--port", "0", "--workers", str(WORKERS), *options],
                env=self.environ,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.home.parent,
            )
        eventually(self._is_ready, f"the server is ready; its log: {self.log}")
        eventually(self._all_serve, f"every worker serves; the log: {self.log}")
        return self

    def stop(self) -> None:
        """SIGTERM: it must exit with 0 and leave nothing running."""
        process = self._running()
        process.terminate()
        assert process.wait(PATIENCE) == 0, self.log.read_text()[-3000:]
        eventually(lambda: not self.processes(), "nothing is left running")
        self.process = None

    def kill(self) -> int:
        """SIGKILL, and wait for it; returns the id that its session had."""
        process = self._running()
        process.kill()
        process.wait(PATIENCE)
        self.process = None
        return process.pid

    def processes(self, session: int | None = None) -> dict[int, str]:
        """Process id → command line of all that runs in the server's session (zombies do not run)."""
        session = session or self._running().pid
        return {pid: command for pid, (of, command) in _sessions().items() if of == session}

    def readers(self, name: str = "") -> list[int]:
        """The ids of the readers' processes whose name begins so."""
        return [pid for pid, command in self.processes().items() if f"server.reader {name}" in command]

    def web(self) -> tuple[int, list[int]]:
        """The web process and its workers."""
        pids = [pid for pid, command in self.processes().items() if "server.web" in command]
        master = next(pid for pid in pids if _parent(pid) == self._running().pid)
        return master, [pid for pid in pids if _parent(pid) == master]

    def client(self) -> Client:
        return Client(self.port)

    def request(self, method: str, path: str, body: object = None, headers: Mapping[str, str] = {}) -> Reply:
        with self.client() as client:
            return client.request(method, path, body, headers)

    def get(self, path: str) -> Any:
        reply = self.request("GET", path)
        assert reply.status == 200, reply
        return reply.json

    def post(self, path: str, body: object, expected: int = 200) -> Any:
        reply = self.request("POST", path, body)
        assert reply.status == expected, reply
        return reply.json

    def put(self, path: str, body: object, expected: int = 200) -> Any:
        reply = self.request("PUT", path, body)
        assert reply.status == expected, reply
        return reply.json

    def predict(self, endpoint: str, features: Mapping[str, object], unit: str | None = None) -> Any:
        return self.post(f"/v1/endpoints/{endpoint}/predict", {"unit": unit, "features": features})

    def create(self, endpoint: str, arms: Mapping[str, tuple[str, float]], **more: object) -> Any:
        """A new endpoint, served by all workers."""
        given = {name: {"version": version, "weight": weight} for name, (version, weight) in arms.items()}
        made = self.post("/v1/endpoints?wait=50s", {"endpoint": endpoint, "arms": given, **more}, 201)
        assert made["applied"], self.status(endpoint)
        return made

    def experiment(self, name: str, endpoint: str, *metrics: str, **design: object) -> None:
        """A running experiment in which all that is answered from now on takes part."""
        full = {"metrics": [{"name": metric} for metric in metrics], "mde": 1.0, "window_seconds": 3600.0, **design}
        made = self.post("/v1/experiments?wait=50s", {"experiment": name, "endpoint": endpoint, "design": full}, 201)
        assert made["applied"], self.status(endpoint)

    def status(self, endpoint: str) -> Any:
        return self.get(f"/v1/endpoints/{endpoint}/status")

    def report(self, experiment: str) -> Any:
        return self.get(f"/v1/experiments/{experiment}/report")

    def plan(self, endpoint: str) -> Plan:
        return to_plan(self.get(f"/v1/endpoints/{endpoint}/plan"))

    def history(self, endpoint: str) -> dict[int, Plan]:
        """Every plan that the endpoint has had."""
        found = map(to_plan, self.get(f"/v1/endpoints/{endpoint}/history?limit=1000")["plans"])
        return {plan.plan: plan for plan in found}

    def caught_up(self, endpoint: str) -> None:
        """Wait until `record` and the endpoint's shadows have read all that stands in the journal."""
        eventually(lambda: not any(map(self.events, self._positions(endpoint))), "the readers are at the journal's end")

    def events(self, start: Position = START) -> list[Event]:
        """What stands in the journal from there on; ticks apart, which `record` appends for itself."""
        found, reader = [], Reader(self.home / "journal", start)
        try:
            while entries := reader.read(1000):
                found += [events.decode(entry.payload) for entry in entries]
        finally:
            reader.close()
        return [event for event in found if not isinstance(event, Tick)]

    def cli(self, *arguments: object, code: int = 0) -> Any:
        """Run a command; its JSON, or where it is to fail what it says on standard error."""
        command = [TILTYARD, *map(str, arguments), *([] if code else ["--json"])]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, cwd=self.home.parent, timeout=120)
        assert done.returncode == code, (done.returncode, done.stderr)
        return done.stderr if code else json.loads(done.stdout)

    def cli_text(self, *arguments: object) -> str:
        """What a command says to people."""
        command = [TILTYARD, *map(str, arguments)]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, cwd=self.home.parent, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, "the server does not run"
        return self.process

    def _is_ready(self) -> bool:
        assert self._running().poll() is None, self.log.read_text()
        found = re.search(r"http://[^ ]*:(\d+) ", self.log.read_text())
        if not found:
            return False
        self.port = int(found[1])
        try:
            return self.request("GET", "/readyz").status == 200
        except OSError:
            return False

    def _all_serve(self) -> bool:
        """Of one that has not reported yet nobody knows whether it has applied a change."""
        with self._store().read() as connection:
            reported = workers.alive(connection, 0.0)
        return sum(f"w{pid}" in reported for pid in self.web()[1]) == WORKERS

    def _positions(self, endpoint: str) -> list[Position]:
        """Where `record` and the endpoint's shadows stand."""
        with self._store().read() as connection:
            every = positions.every(connection)
        return [row.position for reader, row in every.items() if reader.startswith(("record", f"shadow:{endpoint}/"))]

    def _store(self) -> Store:
        return Store(url_of(Settings(home=str(self.home))))


class Worlds:
    """Makes homes and servers below one directory, and stops what still runs at the end."""

    def __init__(self, directory: Path, template: Path) -> None:
        self.directory = directory
        self._template = template
        self._servers: list[Server] = []

    def server(self, *, empty: bool = False, **environ: str) -> Server:
        """A server, not started yet, whose home holds the template's models unless `empty`."""
        home = self.directory / f"home{len(self._servers)}"
        if not empty:
            shutil.copytree(self._template, home)
        server = Server(home, **environ)
        self._servers.append(server)
        return server

    def close(self) -> None:
        """A server that a failed test has left is killed with all that it started; others have been stopped, or are now."""
        for server in self._servers:
            if server.process is None:
                continue
            try:
                server.stop()
            finally:
                if server.process is not None:
                    os.killpg(server.process.pid, signal.SIGKILL)
                    server.process.wait()


def eventually(holds: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until it holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


def to_plan(shown: dict[str, Any]) -> Plan:
    """The plan that the API shows."""
    return msgspec.convert({**shown, "at": from_rfc3339(shown["at"])}, Plan)


def _sessions() -> dict[int, tuple[int, str]]:
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, _, _, session = _stat(int(entry.name))[:4]
            command = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in "ZX":
            found[int(entry.name)] = int(session), command
    return found


def _parent(pid: int) -> int:
    try:
        return int(_stat(pid)[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the command's name: state, parent, group, session, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
