"""Where a version came from, as far as this machine can tell: the file it was trained on, and the commit of its code."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from core.errors import Invalid

_GIT_SECONDS = 2.0


def training_data(reference: str) -> dict[str, str | None]:
    """The reference, and the SHA-256 of what it names where that is a file here; a folder or an address has none.

    Raises Invalid where the file cannot be read.
    """
    path = Path(reference)
    try:
        digest = _digest(path) if path.is_file() else None
    except OSError as error:
        raise Invalid(f"training_data: {reference}: {error.strerror}", field="training_data") from None
    return {"training_data": reference, "training_data_digest": digest}


def commit_of(folder: Path) -> str:
    """The git commit that is checked out in the folder; "" where it is none's, or git does not say."""
    command = ["git", "-C", str(folder), "rev-parse", "--verify", "--quiet", "HEAD"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
