"""Starting and ending: nothing is left running, and one home has one server."""

from __future__ import annotations

import os
import signal
import time

from tests.e2e.real_server import PATIENCE, Worlds, eventually

QUICKLY = 8.0
"""Seconds; it takes 1 to 3 on two busy cores, and a process that had to be killed would take 15."""


def test_sigterm_ends_everything_quickly_with_exit_code_0(fresh: Worlds) -> None:
    """Web workers, readers and the supervisor itself are gone, and a request that was answered is there after the restart.

    A machine that is too busy to be quick gets another try.
    """
    server = fresh.server().start()
    server.create("credit", {"control": ("dia@1", 1)}, shadows={"next": {"version": "dia@2"}})
    for _ in range(4):
        eventually(lambda: len(server.readers()) == 3, "record, watch and the shadow run")
        start = time.monotonic()
        server.stop()
        took = time.monotonic() - start
        server.start()
        if took < QUICKLY:
            break
    assert took < QUICKLY
    assert server.status("credit")["plan"] == 1
    server.stop()


def test_sigint_ends_it_as_sigterm_does(fresh: Worlds) -> None:
    """Ctrl-C: exit code 0, nothing left."""
    server = fresh.server().start()
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGINT)
    assert server.process.wait(PATIENCE) == 0
    eventually(lambda: not server.processes(), "nothing is left running")
    server.process = None


def test_a_killed_supervisor_leaves_no_process(fresh: Worlds) -> None:
    """`kill -9` of the supervisor ends web workers and readers too, and the home can be served again."""
    server = fresh.server().start()
    eventually(lambda: server.readers("record"), "record runs")
    session = server.kill()
    eventually(lambda: not server.processes(session), "all its processes are gone")
    server.start()
    server.stop()


def test_a_second_server_on_the_same_home_is_refused(fresh: Worlds) -> None:
    """It exits with 1 and one clear line; the first goes on."""
    server = fresh.server().start()
    said = server.cli("serve", "--port", "0", code=1)
    assert len(said.splitlines()) == 1
    assert str(server.home) in said
    assert server.get("/readyz") == {"ready": True}
    server.stop()


def test_a_port_that_is_taken_is_said_in_one_line(fresh: Worlds) -> None:
    """Exit 1, and a line that names the port."""
    server = fresh.server().start()
    other = fresh.server()
    said = other.cli("serve", "--port", server.port, code=1)
    assert len(said.splitlines()) == 1
    assert str(server.port) in said
    server.stop()
