"""What is said of versions and models, changed later."""

from __future__ import annotations

from threading import Barrier, Thread
from typing import Any

import pytest

from core.errors import Conflict, Invalid, NotFound
from flows.registry import showing
from flows.registry.describing import describe_model, describe_version
from store import audit
from tests.flows.registry.registry_world import Registry, by


def describe(registry: Registry, changes: dict[str, Any], if_match: int | None = None, reference: str = "credit@1") -> dict[str, Any]:
    """What is said of the version afterwards."""
    describe_version(registry.store, reference, lambda _: changes, by("bob", 9.0), if_match)
    found: dict[str, Any] = showing.show_version(registry.store, reference)
    return found


def test_a_patch(registry: Registry) -> None:
    """It changes what it names and leaves the rest; null takes away; the revision rises, and searches find the new."""
    registry.add(description="old", owner="ann", tags=("a",), metrics={"auc": 0.5, "f1": 0.4})
    found = describe(registry, {"description": "new words", "owner": None, "tags": ["b", "b"], "metrics": {"auc": None, "mcc": 0.3}})
    assert found["about"] == {"description": "new words", "tags": ["b"], "metrics": {"f1": 0.4, "mcc": 0.3}}
    assert found["revision"] == 2
    for gone in ("old", "owner:ann", "tag:a", "auc>0"):
        assert registry.search(gone) == []
    for come in ("new", "tag:b", "mcc=0.3 f1=0.4", "task:classification"):
        assert registry.search(come) == ["credit@1"]


def test_marks_survive_a_patch(registry: Registry) -> None:
    """What happened to a version is not what is said of it."""
    registry.test(registry.add(), True)
    describe(registry, {"tags": ["b"]})
    assert registry.search("state:tested tag:b") == ["credit@1"]


def test_the_audit_log_says_what_was_and_is(registry: Registry) -> None:
    """Each field that changed, before and after; a patch that changes nothing leaves nothing."""
    registry.add(owner="ann", tags=("a",))
    describe(registry, {"owner": "bob", "tags": ["a"]})
    assert describe(registry, {"owner": "bob"})["revision"] == 2
    with registry.store.read() as connection:
        [row] = audit.newest(connection, 9)
    assert (row["actor"], row["at"], row["action"], row["subject"]) == ("bob", 9.0, "model.describe", "credit@1")
    assert row["detail"] == {"owner": ["ann", "bob"]}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"description": 7}, "description"),
        ({"description": "x" * 4001}, "description"),
        ({"owner": "two\nlines"}, "owner"),
        ({"tags": "a"}, "tags"),
        ({"tags": [""]}, "tags"),
        ({"tags": ["t"] * 201}, "tags"),
        ({"metrics": {"auc": "high"}}, "metrics"),
        ({"metrics": {"a b": 1}}, "metrics"),
        ({"metrics": {"auc": float("inf")}}, "metrics.auc"),
        ({"metrics": [1]}, "metrics"),
        ({"parameters": {"depth": {}}}, "parameters"),
        ({"parents": ["credit"]}, "parents"),
        ({"parents": ["credit@1"]}, "parents"),
    ],
)
def test_what_cannot_be_said(registry: Registry, changes: dict[str, Any], field: str) -> None:
    """It is refused by name, and nothing of the patch is kept."""
    registry.add(owner="ann")
    with pytest.raises(Invalid) as caught:
        describe(registry, {"licence": "MIT", **changes})
    assert caught.value.field == field
    assert caught.value.message.startswith(field)
    assert showing.show_version(registry.store, "credit@1")["about"] == {"owner": "ann"}


def test_a_parent_must_exist(registry: Registry) -> None:
    """When it is named; not when something else is said later."""
    registry.add()
    with pytest.raises(NotFound, match=r"^parents: no version credit@7"):
        describe(registry, {"parents": ["credit@7"]})
    with pytest.raises(NotFound, match=r"^parents: no version credit@7"):
        registry.add(parents=("credit@7",))
    assert describe(registry, {"parents": ["m@1", "m@1"]})["about"] == {"parents": ["m@1"]}


def test_the_loser_of_a_race_is_told(registry: Registry) -> None:
    """Who names a revision that is no more changes nothing."""
    registry.add()
    describe(registry, {"owner": "ann"}, if_match=1)
    with pytest.raises(Conflict, match="If-Match: credit@1 has revision 2, not 1") as caught:
        describe(registry, {"owner": "bob"}, if_match=1)
    assert (caught.value.code, caught.value.field) == ("revision-changed", "If-Match")
    assert describe(registry, {"licence": "MIT"}, if_match=2)["about"] == {"owner": "ann", "licence": "MIT"}


def test_nobody_loses_another_field(registry: Registry) -> None:
    """Many who say something at once without naming a revision: all of it is said, and the revision counts them."""
    registry.add()
    ready = Barrier(8)

    def say(number: int) -> None:
        ready.wait()
        for name in (f"{number}-0", f"{number}-1", f"{number}-2"):
            describe_version(registry.store, "credit@1", lambda _, name=name: {"metrics": {f"m{name}": number}}, by("bob"))
            describe_version(registry.store, "credit@1", lambda said, name=name: {"tags": [*said.tags, f"t{name}"]}, by("bob"))

    threads = [Thread(target=say, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = showing.show_version(registry.store, "credit@1")
    assert (len(found["about"]["metrics"]), len(found["about"]["tags"]), found["revision"]) == (24, 24, 49)
    assert len(registry.search("m7-2=7 tag:t3-1")) == 1


def test_a_model(registry: Registry) -> None:
    """It has a description and an owner, with a revision of its own."""
    describe_model(registry.store, "m", {"description": "of users", "owner": "ann"}, by("bob"), 1)
    describe_model(registry.store, "m", {"owner": None}, by("bob"))
    found = showing.show_model(registry.store, "m", 1)
    assert (found["description"], found["owner"], found["revision"]) == ("of users", "", 3)
    with pytest.raises(Conflict, match="revision 3, not 1"):
        describe_model(registry.store, "m", {"owner": "eve"}, by("eve"), 1)
    for wrong in ({"tags": ["a"]}, {"owner": 3}, {"description": "x" * 5000}):
        with pytest.raises(Invalid):
            describe_model(registry.store, "m", wrong, by("eve"))
    with pytest.raises(NotFound, match="no model 'none'"):
        describe_model(registry.store, "none", {}, by("eve"))
    assert registry.actions() == [("model.describe", "m")] * 2
