"""Registering a River model: its learner begins where the journal ends, in the same transaction."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import Invalid, Rejected
from core.ids import VersionId
from core.values import Position
from flows import register
from flows.learning.learners import learner_reader, parse_learner
from flows.shadow import parse_reader
from models.learner.settings import LearnerSettings, Learning
from routing.changes import Who
from store import positions, registry
from store.blobs import Blobs
from tests.flows.flow_world import World
from tests.models.model_zoo import fitted
from tests.models.river_zoo import CASES, write_pickle, write_sample

END = Position(3, 700)
ME = Who("me", 50.0, "because")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved logistic pipeline and its sample."""
    write_pickle(tmp_path / "model.pkl", CASES["logistic"].make())
    write_sample(tmp_path / "sample.csv", CASES["logistic"].rows())
    return tmp_path


def _register(world: World, folder: Path, learning: Learning = None) -> VersionId:
    return register.register(
        world.store,
        Blobs(folder / "blobs"),
        "churn",
        folder / "model.pkl",
        ME,
        sample=folder / "sample.csv",
        target="target",
        trust_pickle=True,
        learning=learning,
        journal_end=lambda: END,
    )


def _readers(world: World) -> dict[str, positions.PositionRow]:
    with world.store.read() as connection:
        return positions.every(connection)


def test_each_learning_version_has_a_learner(bare: World, folder: Path) -> None:
    """A reader of its own name, which begins with what comes from now on."""
    versions = [_register(bare, folder), _register(bare, folder, LearnerSettings(learns_from="all"))]
    assert list(map(str, versions)) == ["churn@1", "churn@2"]
    assert {name: (row.position, row.at) for name, row in _readers(bare).items()} == {
        "learn:churn@1": (END, 50.0),
        "learn:churn@2": (END, 50.0),
    }


def test_what_does_not_learn_has_none(bare: World, folder: Path) -> None:
    """A River model that is to stay as it is."""
    _register(bare, folder, "off")
    assert _readers(bare) == {}


def test_the_version_is_shown_with_what_it_learns_from(bare: World, folder: Path) -> None:
    """As the API gives it."""
    shown = register.show_version(bare.store, str(_register(bare, folder, LearnerSettings(learns_from="arms", late_seconds=60.0))))
    assert (shown["format"], shown["river"]["kind"], shown["river"]["settings"]["late_seconds"]) == ("river", "classifier", 60.0)
    assert any("(arms)" in note for note in shown["notes"])


def test_what_is_refused_leaves_nothing(bare: World, folder: Path) -> None:
    """No version, no learner."""
    with pytest.raises(Invalid, match="Dingo"):
        _register(bare, folder, LearnerSettings(detector="Dingo"))
    write_pickle(folder / "model.pkl", fitted("ridge"))
    with pytest.raises(Invalid, match="only a River model learns"):
        _register(bare, folder, LearnerSettings())
    (folder / "model.pkl").write_bytes(b"none")
    with pytest.raises(Rejected):
        _register(bare, folder)
    with bare.store.read() as connection:
        assert registry.list_models(connection) == ["m"]
    assert _readers(bare) == {}


def test_names_of_learners() -> None:
    """Both ways; names of other readers are none."""
    version = VersionId("churn.eu-1", 12)
    assert learner_reader(version) == "learn:churn.eu-1@12"
    assert parse_learner(learner_reader(version)) == version
    assert parse_learner("shadow:credit/next/churn@1") is None
    assert parse_learner("record") is None
    assert parse_reader(learner_reader(version)) is None
