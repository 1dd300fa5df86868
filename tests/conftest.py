"""What holds for every test: it leaves nothing behind, and a system tool that it lacks is named."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parent.parent
GRACE = 20.0
"""Seconds in which threads, children and files of a finished test may still go away, on a busy machine too."""

# A busy machine is no failure. CI tries the same examples each time; whoever works on the code tries new ones.
settings.register_profile("tiltyard", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("tiltyard")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So a shell starts what is to run in the background, and every process that a test starts would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def system_packages() -> dict[str, str]:
    """Tool → the Debian package that brings it, as `make test` installs them."""
    lines = (ROOT / "scripts/system-packages.txt").read_text().splitlines()
    return dict(line.split() for line in lines if line and not line.startswith("#"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked with a tool is skipped where that is missing; in CI, which installs all of them, it fails."""
    for tool, package in system_packages().items():
        if item.get_closest_marker(tool) and shutil.which(tool) is None:
            message = f"{tool} is missing: sudo apt-get install -y --no-install-recommends {package}"
            if os.environ.get("CI"):
                pytest.fail(message, pytrace=False)
            pytest.skip(message)


class Sharing(LoadScopeScheduling):
    """How `make test` shares the tests out over two processes.

    A file stays together, for its fixtures. Whatever starts servers stays together too: two of them at once on two cores
    would measure each other. (Not by pytest-xdist's `loadgroup`: pytest 9.2 made that a silent no-op.)
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "servers" if file.split("/")[1] in {"e2e", "flows", "packaging", "server"} else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Sharing:
    """Asked by pytest-xdist."""
    return Sharing(config, log)


@pytest.fixture(scope="session", autouse=True)
def _interpreter_helpers() -> None:
    """multiprocessing starts this child with the first test that needs it, and keeps it for good reasons."""
    resource_tracker.ensure_running()


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves threads, child processes or open files behind, unless marked `leaves_open`."""
    before = _held()
    yield
    if request.node.get_closest_marker("leaves_open") or not _new_since(before):
        return
    gc.collect()
    deadline = time.monotonic() + GRACE
    while left := _new_since(before):
        if time.monotonic() > deadline:
            pytest.fail("left behind: " + "; ".join(left), pytrace=False)
        time.sleep(0.01)


def _new_since(before: dict[str, str]) -> list[str]:
    return [f"{what} {name}" for what, name in _held().items() if what not in before]


def _held() -> dict[str, str]:
    """What this process has, and what it is called. A name may change later, as a child's does when it starts its program."""
    return dict([*_threads(), *_children(), *_files()])


def _threads() -> Iterator[tuple[str, str]]:
    for thread in threading.enumerate():
        if not isinstance(thread, threading._DummyThread):  # a native thread that once called into Python
            yield f"thread {thread.ident}", thread.name


def _children() -> Iterator[tuple[str, str]]:
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in _read(children).split():
            yield f"process {pid}", _read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ")


def _files() -> Iterator[tuple[str, str]]:
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = link.readlink()
        except FileNotFoundError:  # the descriptor of this very listing
            continue
        if not target.name.startswith("store.db"):  # a store keeps connections as long as it lives
            yield f"file {link.name} {target}", ""


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
