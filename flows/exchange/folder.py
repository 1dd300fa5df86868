"""A folder that is there as a whole, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from core.errors import Conflict, Invalid


@contextmanager
def fresh(directory: Path) -> Iterator[Path]:
    """A folder beside `directory` to write into; it takes that name once all is written, and is gone where something fails.

    Raises Conflict where `directory` holds anything, Invalid where it cannot be made.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Conflict(f"{directory}: exists, and is no empty folder", field="directory", code="folder-not-empty")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    except OSError as error:
        raise Invalid(f"{directory}: {error.strerror or error}", field="directory") from None
    try:
        yield beside
        beside.chmod(0o755)
        beside.replace(directory)
    except OSError as error:
        raise Invalid(f"{directory}: {error.strerror or error}", field="directory") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
