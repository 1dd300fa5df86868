"""The server that the demo talks to: `tiltyard serve` in a process of its own, on a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from core.errors import Unavailable
from core.settings import PREFIX
from server.demo.client import Client

START_SECONDS = 60.0
STOP_SECONDS = 30.0

_STEP = 0.05
_SERVES = re.compile(r"serves on (http://\S+) from")
_PROGRAM = "from server import cli, processes; processes.die_with_parent({parent}); cli.main()"
"""However the demo ends, the kernel ends the server with it."""


class Served:
    """A server that runs; `log` is where it writes."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self.address = self._find_address()

    def wait_ready(self) -> None:
        """Wait until it is ready; raises Unavailable with its last word where it ends, or takes too long."""
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                with Client(self.address) as client:
                    client.get("/readyz")
                    return
            except Unavailable:
                self._check(until)
            time.sleep(_STEP)

    def wait_end(self) -> None:
        """Wait until it ends by itself."""
        self._process.wait()

    def _find_address(self) -> str:
        until = time.monotonic() + START_SECONDS
        while True:
            found = _SERVES.search(self._log.read_text(errors="replace"))
            if found is not None:
                return found[1]
            self._check(until)
            time.sleep(_STEP)

    def _check(self, until: float) -> None:
        if self._process.poll() is not None:
            last = self._log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise Unavailable(f"the server ended with {self._process.returncode}: {last}")
        if time.monotonic() > until:
            raise Unavailable(f"the server is not ready after {START_SECONDS:.0f} seconds")


@contextmanager
def served(home: Path) -> Iterator[Served]:
    """A server of `home` for as long as the context lasts. Raises Unavailable where it does not start."""
    log = home / "server.log"
    program = _PROGRAM.format(parent=os.getpid())
    with log.open("wb") as output:
        # A session of its own: a Ctrl-C at the terminal is for the demo, which then ends the server.
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-P", "-c", program, "serve", "--port", "0"],
            env=_environment(os.environ, home),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Served(process, log)
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and all that it started; a second Ctrl-C must not leave half of it behind."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def _environment(given: Mapping[str, str], home: Path) -> dict[str, str]:
    """Without the settings of another server: they might name its database."""
    return {name: value for name, value in given.items() if not name.startswith(PREFIX)} | {PREFIX + "HOME": str(home)}
