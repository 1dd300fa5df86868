"""An endpoint that is watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.card import Card
from tests.flows.flow_world import World
from tests.flows.watching.watch_world import SMALL, Measures, Model, Watching, cancer, card_of

Watch = Callable[[Card], Watching]


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Watching]]:
    """Watches a version of that card."""
    made: list[Watching] = []

    def build(card: Card, of: Measures = SMALL) -> Watching:
        home = tmp_path / str(len(made))
        home.mkdir()
        made.append(Watching(World(home), home / "journal", card, of))
        return made[-1]

    yield build
    for each in made:
        each.writer.close()


@pytest.fixture(scope="session")
def model() -> Model:
    """Fitted to all rows."""
    x, y, _ = cancer()
    return Model(x, y)


@pytest.fixture
def watching(watch: Callable[..., Watching], model: Model) -> Watching:
    """A version that was registered with all rows and their labels, in windows of 400 rows."""
    x, y, names = cancer()
    return watch(card_of(x, y, model, names))
