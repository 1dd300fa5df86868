"""Child processes that do not outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

SUPERVISOR = "TILTYARD_SUPERVISOR"
"""Where a supervisor tells its children who it is."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Environment of a process whose numeric libraries are to use one core, and to add up in one order."""

LEARNING = {**ONE_THREAD, "PYTHONHASHSEED": "0"}
"""Environment of a learner and of a replay. Sets iterate in an order that the hash seed decides, sums are rounded as threads share them:
with one seed and one thread a replay comes to the same state bit for bit."""

NOT_NOW = 75
"""A process that ends with it (EX_TEMPFAIL of sysexits.h) could not go on for a reason that is no event's, such as the store."""


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
