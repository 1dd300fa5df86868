"""Aliases: moves, conditions of moves, history."""

from __future__ import annotations

import pytest

from core.errors import Conflict, Invalid, NotFound
from core.ids import VersionId
from flows import lifecycle
from flows.registry.pointing import history, named_at, remove_alias, set_alias, show_alias
from tests.flows.registry.registry_world import Registry, by


def moves(registry: Registry) -> list[tuple[str | None, str]]:
    """(version, who) of the history, newest first."""
    return [(move["version"], move["by"]) for move in history(registry.store, "m", "champion", 99)["moves"]]


@pytest.fixture
def moved(registry: Registry) -> Registry:
    """champion: 1 from 10 on, 2 from 20 on, none from 30 on, 1 from 40 on."""
    set_alias(registry.store, "m@1", "champion", by("ann", 10.0))
    set_alias(registry.store, "m@2", "champion", by("bob", 20.0))
    remove_alias(registry.store, "m", "champion", by("eve", 30.0))
    set_alias(registry.store, "m@1", "champion", by("ann", 40.0))
    return registry


def test_history(moved: Registry) -> None:
    """Every move is kept with who, when and why, also a removal; and the audit log tells the same."""
    assert moves(moved) == [("m@1", "ann"), (None, "eve"), ("m@2", "bob"), ("m@1", "ann")]
    newest = history(moved.store, "m", "champion", 99)["moves"][0]
    assert newest == {"version": "m@1", "at": "1970-01-01T00:00:40.000Z", "by": "ann", "reason": "because"}
    assert moved.actions() == [("model.alias", "m@1"), ("model.alias", "m@2"), ("model.unalias", "m@2"), ("model.alias", "m@1")]


@pytest.mark.parametrize(
    ("at", "version"), [(0.0, None), (9.99, None), (10.0, "m@1"), (19.0, "m@1"), (20.0, "m@2"), (35.0, None), (40.0, "m@1"), (9e9, "m@1")]
)
def test_what_was_it_then(moved: Registry, at: float, version: str | None) -> None:
    """From a move on the alias names what it was moved to; before the first, and between a removal and the next, nothing."""
    assert named_at(moved.store, "m", "champion", at)["version"] == version


def test_pages_of_the_history(moved: Registry) -> None:
    """Each goes on behind the one before."""
    first = history(moved.store, "m", "champion", 3)
    last = history(moved.store, "m", "champion", 3, first["next"])
    assert [move["version"] for move in (*first["moves"], *last["moves"])] == ["m@1", None, "m@2", "m@1"]
    assert last["next"] is None


def test_a_move_that_is_none(moved: Registry) -> None:
    """Who points an alias where it points already leaves its history as it is."""
    set_alias(moved.store, "m@1", "champion", by("eve", 50.0))
    assert len(moves(moved)) == 4
    assert show_alias(moved.store, "m", "champion") == {
        "alias": "champion",
        "version": "m@1",
        "at": "1970-01-01T00:00:40.000Z",
        "by": "ann",
    }


def test_the_loser_of_a_race_is_told(moved: Registry) -> None:
    """A move on the condition of what the alias names, 0 for none; a removal too."""
    for wrong in (0, 2):
        with pytest.raises(Conflict, match=f"m@champion names version 1, not {wrong}") as caught:
            set_alias(moved.store, "m@3", "champion", by("eve"), wrong)
        assert (caught.value.code, caught.value.field) == ("alias-changed", "If-Match")
        with pytest.raises(Conflict):
            remove_alias(moved.store, "m", "champion", by("eve"), wrong)
    set_alias(moved.store, "m@3", "champion", by("eve"), 1)
    remove_alias(moved.store, "m", "champion", by("eve"), 3)
    with pytest.raises(Conflict, match="m@champion does not stand, not 3"):
        set_alias(moved.store, "m@1", "champion", by("eve"), 3)
    set_alias(moved.store, "m@1", "champion", by("eve"), 0)
    assert moves(moved)[0] == ("m@1", "eve")


def test_what_does_not_exist(registry: Registry) -> None:
    """Versions, models and aliases that do not exist are NotFound, and no alias is a number."""
    for missing in (
        lambda: set_alias(registry.store, "m@9", "champion", by("ann")),
        lambda: remove_alias(registry.store, "m", "champion", by("ann")),
        lambda: show_alias(registry.store, "m", "champion"),
        lambda: history(registry.store, "m", "champion", 9),
        lambda: history(registry.store, "none", "champion", 9),
        lambda: named_at(registry.store, "m", "champion", 0.0),
    ):
        with pytest.raises(NotFound):
            missing()
    for wrong in ("12", "a b", ""):
        with pytest.raises(Invalid, match=r"^alias: expected"):
            set_alias(registry.store, "m@1", wrong, by("ann"))
    assert registry.actions() == []


def test_a_retired_version_gets_no_alias(registry: Registry) -> None:
    """Until it is restored."""
    lifecycle.retire(registry.store, "m@1", by("ann"))
    with pytest.raises(Conflict, match="m@1 is retired: `tiltyard model restore m@1` brings it back") as caught:
        set_alias(registry.store, "m@1", "champion", by("ann"))
    assert caught.value.code == "retired"
    lifecycle.restore(registry.store, "m@1", by("ann"))
    assert set_alias(registry.store, "m@1", "champion", by("ann")) == VersionId("m", 1)
