"""Backstage: one process that spawns the web process and one process per reader, starts them again, and keeps house."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from core.errors import Conflict, Invalid, TiltyardError
from flows import housekeep
from flows.follow import RECORD
from flows.learning.learners import parse_learner
from flows.views import features
from server import auth, web
from server.home import Home, clock, to_env
from server.metrics import compact
from server.processes import LEARNING, NOT_NOW, ONE_THREAD, SUPERVISOR, command

STEP_SECONDS = 0.05
FIRST_BACKOFF, MOST_BACKOFF = 0.2, 15.0
STEADY_SECONDS = 10.0
"""A process that has run for so long starts again without waiting."""
STOP_SECONDS = 15.0
BIND_SECONDS = 3.0
"""How long the processes of a server that was killed may need to give its port up."""
MOST_KILLS = 3
"""A process that is killed so often, each time before it ran steadily, may owe it to what it does: the kernel kills for memory."""
WEB = "web"

_log = logging.getLogger("tiltyard.supervisor")


class Child:
    """A process that is to run for as long as it is wanted. One that crashed starts again later and later, and carefully."""

    def __init__(self, name: str, arguments: list[str], environ: dict[str, str], descriptors: tuple[int, ...] = ()) -> None:
        self.name = name
        self._arguments = arguments
        self._environ = environ
        self._descriptors = descriptors
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._next = 0.0
        self._backoff = FIRST_BACKOFF
        self._kills = 0
        self._careful = False
        self.exits = 0

    def keep_running(self) -> None:
        """Start it where it does not run and its time has come."""
        if self._process is not None and self._process.poll() is not None:
            self._ended(self._process.returncode)
        if self._process is None and time.monotonic() >= self._next:
            self._started = time.monotonic()
            careful = ["--careful"] if self._careful else []
            self._process = subprocess.Popen([*self._arguments, *careful], env=self._environ, pass_fds=self._descriptors)  # noqa: S603 - our own modules

    def stop(self) -> None:
        """Ask it to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for its end; kill it where it takes longer."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ended(self, code: int) -> None:
        ran = time.monotonic() - self._started
        self._process = None
        self.exits += 1
        _log.warning("%s ended with %s after %.1f s", self.name, code, ran)
        self._kills = self._kills + 1 if code == -signal.SIGKILL and ran < STEADY_SECONDS else 0
        if code == -signal.SIGKILL and self._kills < MOST_KILLS:
            # Killed from outside is no crash: nothing is to blame on the event that it was at.
            self._careful, self._backoff, self._next = False, FIRST_BACKOFF, 0.0
            return
        self._backoff = FIRST_BACKOFF if ran > STEADY_SECONDS else min(MOST_BACKOFF, 2 * self._backoff)
        self._next = time.monotonic() + self._backoff
        if code == NOT_NOW:
            return
        # What `record` does never takes so much memory that it would be killed for it, and it must not lose an event for a kill.
        # A shadow's model may end it in any way: also with exit code 0.
        asked = code in (0, -signal.SIGTERM, -signal.SIGKILL)
        self._careful = self.name != WEB and not (self.name == RECORD and asked)


class Supervisor:
    """Everything that `tiltyard serve` runs."""

    def __init__(self, home: Home, host: str, port: int, workers: int) -> None:
        auth.check_bind(home.store, home.settings, host)
        self._home = home
        self._lock = _lock(home.path / "server.lock")
        self._socket = _bind(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._stopping = False
        descriptor = self._socket.fileno()
        environ = {
            **os.environ,
            **to_env(home.settings),
            web.SOCKET: str(descriptor),
            web.WORKERS: str(workers),
            web.HOST: host,
            SUPERVISOR: str(os.getpid()),
        }
        # One thread each: a request uses one core, and there are as many workers as cores.
        environ.update(ONE_THREAD)
        self._environ = environ
        self._web = Child(WEB, command("server.web"), environ, (descriptor,))
        self._readers: dict[str, Child] = {}
        self._chores: list[tuple[float, Callable[[], None]]] = [
            (0.1, lambda: housekeep.send_back(home.place, clock)),
            (0.25, self._follow_readers),
            (1.0, lambda: housekeep.keep_journal(home.store, home.journal, home.settings, clock)),
            (5.0, lambda: housekeep.retire_shadows(home.store, home.journal, clock)),
            (60.0, lambda: housekeep.forget_workers(home.store, clock)),
            (60.0, lambda: features.forget_generations(home.store, home.views, clock)),
        ]
        self._due = [0.0] * len(self._chores)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        compact.clear(self._home.metrics)
        housekeep.begin_readers(self._home.store, self._home.journal)
        housekeep.forget_all_workers(self._home.store)
        try:
            while not self._stopping:
                self._step()
                time.sleep(STEP_SECONDS)
        finally:
            self._end()

    def _step(self) -> None:
        self._web.keep_running()
        for child in self._readers.values():
            child.keep_running()
        now = time.monotonic()
        for index, (every, chore) in enumerate(self._chores):
            if now >= self._due[index]:
                self._due[index] = now + every
                self._do(chore)

    def _do(self, chore: Callable[[], None]) -> None:
        try:
            chore()
        except (TiltyardError, OSError) as error:
            _log.error("a chore failed, and is tried again: %s", error)
        except Exception:
            _log.exception("a chore failed, and is tried again")

    def _follow_readers(self) -> None:
        wanted = housekeep.wanted_readers(self._home.store)
        for name in wanted:
            if name not in self._readers:
                self._readers[name] = Child(name, command("server.reader", name), self._environ_of(name))
        for name in [name for name in self._readers if name not in wanted]:
            child = self._readers.pop(name)
            child.stop()
            child.wait(STOP_SECONDS)

    def _environ_of(self, reader: str) -> dict[str, str]:
        return self._environ if parse_learner(reader) is None else {**self._environ, **LEARNING}

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopping = True

    def _end(self) -> None:
        """The web process first: what it still answers, the readers find in the journal at the next start."""
        until = time.monotonic() + STOP_SECONDS
        self._web.stop()
        self._web.wait(until - time.monotonic())
        for child in self._readers.values():
            child.stop()
        for child in self._readers.values():
            child.wait(until - time.monotonic())
        self._socket.close()
        self._lock.close()


def _lock(path: Path) -> IO[str]:
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise Conflict(f"another server serves {path.parent}", code="home-in-use") from None
    return file


def _bind(host: str, port: int) -> socket.socket:
    """Bound here and not by gunicorn: connections wait in the queue while the web process starts again."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    until = time.monotonic() + BIND_SECONDS
    while True:
        try:
            found.bind((host.strip("[]"), port))
            found.listen(2048)
            return found
        except (OSError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno == errno.EADDRINUSE and time.monotonic() < until:
                time.sleep(0.1)
                continue
            found.close()
            raise Invalid(f"host, port: cannot listen on {host}:{port}: {error}", field="port") from None
