"""The rules of tests/conftest.py, tried on tests that break them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

LEAVERS = """
import os, subprocess, threading, time, pytest

def test_thread():
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()

def test_child():
    parent = os.getpid()
    if os.fork() == 0:
        while os.getppid() == parent:
            time.sleep(0.05)
        os._exit(0)

def test_file():
    os.open("/dev/null", os.O_RDONLY)

def test_tidy():
    threading.Thread(target=time.sleep, args=(0.1,)).start()
    subprocess.run(["true"], check=True)
    open("/dev/null").close()

@pytest.mark.leaves_open("a native library opens a file at its first use")
def test_native():
    os.open("/dev/null", os.O_RDONLY)
"""
NEEDS_A_TOOL = """
import pytest
@pytest.mark.promtool
def test_it():
    raise AssertionError("ran without its tool")
"""
IT = "tests/core/test_it.py"
INSTALL = "promtool is missing: sudo apt-get install -y --no-install-recommends prometheus"


def run(house: Path, tests: dict[str, str], *arguments: str, **environment: str) -> tuple[int, str]:
    """Runs tests (path → text) under the rules of the house, with less grace; returns pytest's exit code and output."""
    for name, text in tests.items():
        (house / name).parent.mkdir(parents=True, exist_ok=True)
        (house / name).write_text(text)
    (house / "scripts").mkdir()
    for name in ("setup.cfg", "scripts/system-packages.txt"):
        shutil.copy(ROOT / name, house / name)
    (house / "tests/conftest.py").write_text((ROOT / "tests/conftest.py").read_text().replace("GRACE = 20.0", "GRACE = 2.0"))
    variables = {name: value for name, value in os.environ.items() if name not in {"CI", "COLUMNS"} and not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=house,
        env={**variables, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_test_leaves_nothing_behind(tmp_path: Path) -> None:
    """A thread, child or open file that outlives its test is an error that names it.

    What is just ending is waited for, and a test marked `leaves_open` is let be.
    """
    code, output = run(tmp_path, {IT: LEAVERS})
    assert code == 1
    errors = [line.split(" ")[1:7] for line in output.splitlines() if line.startswith("ERROR")]
    assert [(where.rpartition("::")[2], kind) for where, _, _, _, _, kind in errors] == [
        ("test_thread", "thread"),
        ("test_child", "process"),
        ("test_file", "file"),
    ]
    assert "5 passed, 3 errors" in output


def test_files_and_servers_stay_together(tmp_path: Path) -> None:
    """Of two processes one gets all that start servers, and no file is divided."""
    two = "def test_one():\n    pass\ndef test_two():\n    pass\n"
    servers = ["tests/e2e/test_a.py", "tests/flows/test_b.py", "tests/server/test_c.py", "tests/packaging/test_d.py"]
    code, output = run(tmp_path, dict.fromkeys([*servers, "tests/core/test_e.py", "tests/journal/test_f.py"], two), "-n", "2", "-vv")
    assert code == 0, output
    places = {(file, worker) for worker, file in re.findall(r"^\[(gw\d)\].* PASSED (\S+)::", output, re.MULTILINE)}
    assert len(places) == 6
    assert len({worker for file, worker in places if file in servers}) == 1
    assert len({worker for _, worker in places}) == 2


def test_a_missing_tool_skips_by_name(tmp_path: Path) -> None:
    """The skip names the test and the command that installs the tool."""
    code, output = run(tmp_path, {IT: NEEDS_A_TOOL}, PATH="")
    assert code == 0, output
    assert f"SKIPPED {IT}::test_it - Skipped: {INSTALL}" in output


def test_a_missing_tool_fails_in_ci(tmp_path: Path) -> None:
    """CI skips nothing."""
    code, output = run(tmp_path, {IT: NEEDS_A_TOOL}, PATH="", CI="1")
    assert code == 1
    assert INSTALL in output
