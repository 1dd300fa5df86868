"""`make chaos`: the test-suite's kill tests with many more kills than a test run has time for.

python -m benchmarks.chaos [KILLS]   (1000 where not given)
"""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.site import ROOT

KILLS = 1000
TESTS = ("tests/journal/test_kills.py", "tests/e2e/test_kills.py", "tests/e2e/test_learner_kills.py", "tests/e2e/test_shifts.py")


def main() -> int:
    """Run them one after the other; pytest's exit code."""
    environ = {**os.environ, "TILTYARD_CHAOS": str(int(sys.argv[1]) if len(sys.argv) > 1 else KILLS)}
    return subprocess.run([sys.executable, "-m", "pytest", "-v", "--timeout=0", *TESTS], cwd=ROOT, env=environ).returncode


if __name__ == "__main__":
    sys.exit(main())
