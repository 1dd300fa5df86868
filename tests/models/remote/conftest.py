"""A foreign server for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.models.remote.foreign_server import ForeignServer, http


@pytest.fixture
def foreign() -> Iterator[ForeignServer]:
    """Answers an empty object until it is told otherwise."""
    made = ForeignServer(lambda _request, _socket: http({}))
    yield made
    made.close()
