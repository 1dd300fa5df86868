"""What the journal's tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.values import START, Position
from journal.reader import Entry, Reader


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where a journal may be; nothing is there yet."""
    return tmp_path / "journal"


@pytest.fixture
def read_all(directory: Path) -> Callable[..., list[Entry]]:
    """Everything from a position to the end of the journal, by a reader of its own."""

    def read(position: Position = START, limit: int = 7) -> list[Entry]:
        reader = Reader(directory, position)
        found = []
        while entries := reader.read(limit):
            found += entries
        reader.close()
        return found

    return read
