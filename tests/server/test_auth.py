"""Who comes in, as far as no server is needed to tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import Unauthenticated
from core.settings import Settings
from server.auth import NOBODY, Guard
from store import engine


def test_nobody_comes_in_before_the_tokens_were_read(tmp_path: Path) -> None:
    """A worker whose store cannot be read yet keeps control closed; then it is open on loopback until the first token exists."""
    settings = Settings(home=str(tmp_path))
    guard = Guard(engine.create(settings), settings, "127.0.0.1")
    with pytest.raises(Unauthenticated):
        guard.control(None)
    guard.refresh()
    assert guard.control(None) == NOBODY
