"""The process that audits and builds one upload, away from everything else: with limits on its memory, time and files.

python -P -m server.builder FOLDER PARENT MEMORY SECONDS   (the order is in the folder)
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import sys
from pathlib import Path

from server.processes import die_with_parent


def limit(memory: int, seconds: float) -> None:
    """At most so many bytes of memory and of each file, so many seconds of processors, no core dump; the first to go where memory ends.

    What it writes is its user's alone, as blobs are.
    """
    processor = math.ceil(seconds) + 1
    for kind, most in (
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_FSIZE, memory),
        (resource.RLIMIT_CPU, processor),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text("1000")
    os.nice(10)
    os.umask(0o077)


def main() -> None:
    """Build what the order in the folder says."""
    folder, parent, memory, seconds = sys.argv[1:]
    die_with_parent(int(parent))
    limit(int(memory), float(seconds))
    from flows import upload  # here, within the limits

    upload.build(Path(folder))


if __name__ == "__main__":
    main()
