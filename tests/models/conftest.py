"""Models registered from files, as a user would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from models.package import Package
from tests.models import onnx_graphs, registering
from tests.models.workshop import Workshop


@pytest.fixture(scope="session")
def register(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Package]:
    """Saves a case's estimator as skops and its data as CSV, and registers both, once in a session."""
    done: dict[str, Package] = {}

    def registered(name: str) -> Package:
        if name not in done:
            done[name] = registering.register(name, tmp_path_factory.mktemp("model"))
        return done[name]

    return registered


@pytest.fixture(scope="session")
def integer_graph() -> bytes:
    """A graph that takes one integer."""
    return onnx_graphs.whole_numbers().SerializeToString()


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """One of its own folder."""
    return Workshop(tmp_path)
