"""Child processes that do not outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

SUPERVISOR = "TILTYARD_SUPERVISOR"
"""Where a supervisor tells its children who it is."""


def die_with_parent(parent: int) -> None:
    """Let the kernel end this process when its parent, the process `parent`, dies (Linux only; elsewhere it stays)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the kernel was told
        sys.exit("the parent process is gone")


def supervisor() -> int:
    """The process that started this one, as it said itself."""
    return int(os.environ[SUPERVISOR])


def command(module: str, *arguments: str) -> list[str]:
    """How to run one of our modules in a process of its own; -P keeps the working directory from shadowing our packages."""
    return [sys.executable, "-P", "-m", module, *arguments]
