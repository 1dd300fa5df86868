"""What happens to a version: approval, retirement, restoration, deletion; what stands in the way, and what stays."""

from __future__ import annotations

from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from core import events
from core.errors import Conflict, NotFound
from core.events import Tick
from core.ids import VersionId
from flows import deploy, known, learner, lifecycle
from flows.deploy import ArmSpec, Order, ShadowSpec
from flows.learning.learners import learner_reader
from flows.lifecycle import Kept
from flows.registry import pointing, showing
from journal.writer import Writer
from store import audit, learners, positions, watch
from store import registry as rows
from store.blobs import Blobs
from store.engine import Store
from store.watch import WindowRow
from tests.flows.flow_world import World
from tests.flows.learning.learning_world import RIVER, LearningWorld, taught
from tests.flows.registry.registry_world import DAY, Registry, by

RETENTION = 30 * DAY
ARMS = {"control": ArmSpec("m@1", 1), "treatment": ArmSpec("m@2", 1)}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A home with four versions of which nothing is said."""
    return Registry(tmp_path)


@pytest.fixture
def serving(registry: Registry) -> Registry:
    """m@1 and m@2 are arms, m@3 is a shadow, m@4 has an alias."""
    deploy.create(registry.place, "e", ARMS, {"next": ShadowSpec("m@3")}, 1.0, "salt", Order(by("ann", 5.0)))
    pointing.set_alias(registry.store, "m@4", "candidate", by("ann"))
    return registry


def delete(registry: Registry, reference: str, at: float = 0.0) -> VersionId:
    """Deletes it at that time."""
    return lifecycle.delete(registry.store, registry.kept, reference, by("bob", at))


def refused(error: pytest.ExceptionInfo[Conflict]) -> tuple[str, str]:
    """The code and the message."""
    return error.value.code, error.value.message


def test_states_follow(registry: Registry) -> None:
    """registered → tested → approved → serving → retired, each as soon as it is so; and back."""
    version = VersionId("m", 1)
    assert registry.state(version) == "registered"
    registry.test(version, True)
    assert registry.state(version) == "tested"
    registry.test(version, False)
    assert registry.state(version) == "registered"
    lifecycle.approve(registry.store, "m@1", by("bob"))
    assert registry.state(version) == "approved"
    deploy.create(registry.place, "e", ARMS, {}, 1.0, "salt", Order(by("ann")))
    assert registry.state(version) == "serving"
    deploy.set_arms(registry.place, "e", {"control": ArmSpec("m@2", 1)}, None, None, Order(by("ann", 1.0)))
    lifecycle.withdraw(registry.store, "m@1", by("bob"))
    assert registry.state(version) == "registered"
    lifecycle.retire(registry.store, "m@1", by("bob"))
    assert registry.state(version) == "retired"
    lifecycle.restore(registry.store, "m@1", by("bob"))
    assert registry.state(version) == "registered"
    events = ["registered", "tested", "test failed", "approved", "approval withdrawn", "retired", "restored"]
    shown = registry.show(version)
    assert [each["event"] for each in shown["events"]] == events
    assert shown["revision"] == len(events)


def test_since_when_it_serves(serving: Registry) -> None:
    """The plan that brought it, through plans that kept it; a gap begins it anew."""
    deploy.set_traffic(serving.place, "e", {"control": 1, "treatment": 3}, None, Order(by("eve", 6.0)))
    brought = {"endpoint": "e", "kind": "arm", "name": "treatment", "plan": 1, "since": "1970-01-01T00:00:05.000Z", "by": "ann"}
    assert serving.show(VersionId("m", 2))["uses"] == [brought]
    assert serving.show(VersionId("m", 3))["uses"] == [{"endpoint": "e", "kind": "shadow", "name": "next"}]
    deploy.set_arms(serving.place, "e", {"control": ArmSpec("m@1", 1)}, None, None, Order(by("eve", 7.0)))
    deploy.set_arms(serving.place, "e", ARMS, None, None, Order(by("eve", 8.0)))
    assert [use["plan"] for use in serving.show(VersionId("m", 2))["uses"]] == [4]
    assert [use["plan"] for use in serving.show(VersionId("m", 1))["uses"]] == [1]


def test_approvals_are_shown(registry: Registry) -> None:
    """By whom and why; each gives one, and a withdrawal takes all of them."""
    for name in ("ann", "bob"):
        lifecycle.approve(registry.store, "m@1", by(name))
    with pytest.raises(Conflict, match="approved by bob already"):
        lifecycle.approve(registry.store, "m@1", by("bob"))
    approvals = registry.show(VersionId("m", 1))["approvals"]
    assert [(each["by"], each["reason"]) for each in approvals] == [("ann", "because"), ("bob", "because")]
    lifecycle.withdraw(registry.store, "m@1", by("carol"))
    with pytest.raises(Conflict, match="m@1 is not approved") as caught:
        lifecycle.withdraw(registry.store, "m@1", by("carol"))
    assert caught.value.code == "not-approved"
    assert registry.show(VersionId("m", 1))["approvals"] == []


@pytest.mark.parametrize(
    ("version", "where"),
    [("m@1", "arm control of e"), ("m@2", "arm treatment of e"), ("m@3", "shadow next of e"), ("m@4", "alias candidate")],
)
def test_what_is_in_use_is_not_retired(serving: Registry, version: str, where: str) -> None:
    """Nor deleted; the refusal names where, also while traffic is paused."""
    deploy.pause(serving.place, "e", Order(by("ann", 6.0)))
    with pytest.raises(Conflict) as caught:
        lifecycle.retire(serving.store, version, by("bob"))
    assert refused(caught) == ("in-use", f"{version} is in use: {where}")
    with pytest.raises(Conflict) as caught:
        delete(serving, version)
    assert refused(caught) == ("in-use", f"{version} is in use: {where}")
    assert "model.retire" not in dict(serving.actions())


def test_a_retired_version_is_put_into_no_plan(registry: Registry) -> None:
    """Neither as an arm nor as a shadow, in a new plan nor a changed one; restored it is."""
    lifecycle.retire(registry.store, "m@2", by("bob"))
    for arms, shadows in ((ARMS, {}), ({"control": ArmSpec("m@1", 1)}, {"s": ShadowSpec("m@2")})):
        with pytest.raises(Conflict, match="m@2 is retired") as caught:
            deploy.create(registry.place, "e", arms, shadows, 1.0, "salt", Order(by("ann")))
        assert caught.value.code == "retired"
    lifecycle.restore(registry.store, "m@2", by("bob"))
    deploy.create(registry.place, "e", ARMS, {}, 1.0, "salt", Order(by("ann")))


def test_a_rollback_restores_what_was_retired(serving: Registry) -> None:
    """Going back is never refused: the version is restored in the same transaction, which its history and the audit log say."""
    deploy.promote(serving.place, "e", None, Order(by("ann", 6.0)))
    lifecycle.retire(serving.store, "m@1", by("bob", 7.0))
    deploy.rollback(serving.place, "e", None, Order(by("eve", 8.0), dry_run=True))
    assert serving.state(VersionId("m", 1)) == "retired"
    deploy.rollback(serving.place, "e", None, Order(by("eve", 8.0)))
    shown = serving.show(VersionId("m", 1))
    assert (shown["state"], shown["events"][-1]["event"], shown["events"][-1]["by"]) == ("serving", "restored", "eve")
    assert serving.actions()[-2:] == [("model.restore", "m@1"), ("endpoint.rollback", "e")]


def promoted_twice(registry: Registry) -> None:
    """Plan 1 serves m@1; plan 3 promoted m@2 and plan 5 m@3, `champion` along with them; m@2 is deleted since."""
    deploy.create(registry.place, "e", {"control": ArmSpec("m@1", 1)}, {}, 1.0, "salt", Order(by("ann", 1.0)))
    pointing.set_alias(registry.store, "m@1", "champion", by("ann"))
    for old, new in ((1, 2), (2, 3)):
        arms = {"control": ArmSpec(f"m@{old}", 1), "next": ArmSpec(f"m@{new}", 1)}
        deploy.set_arms(registry.place, "e", arms, {}, None, Order(by("ann", 2.0 * old)))
        deploy.promote(registry.place, "e", None, Order(by("ann", 2.0 * old + 1.0)))
    lifecycle.retire(registry.store, "m@2", by("bob", 6.0))
    delete(registry, "m@2", at=RETENTION + 7.0)


def test_a_rollback_passes_what_was_deleted(registry: Registry) -> None:
    """An alias moves at once to where it ends, there and back, whatever it named between."""
    promoted_twice(registry)
    for number, version in ((1, "m@1"), (5, "m@3")):
        deploy.rollback(registry.place, "e", number, Order(by("eve", RETENTION + 8.0)))
        assert pointing.show_alias(registry.store, "m", "champion")["version"] == version
    history = pointing.history(registry.store, "m", "champion", 9)["moves"]
    assert [move["version"] for move in history] == ["m@3", "m@1", "m@3", "m@2", "m@1"]


def test_no_alias_goes_back_to_what_was_deleted(registry: Registry) -> None:
    """The refusal says which alias and what to do, and changes nothing; once that is done the rollback goes through."""
    deploy.create(registry.place, "e", {"control": ArmSpec("m@1", 1)}, {}, 1.0, "salt", Order(by("ann", 1.0)))
    arms = {"control": ArmSpec("m@2", 1), "next": ArmSpec("m@3", 1)}
    deploy.set_arms(registry.place, "e", arms, {}, None, Order(by("ann", 2.0)))
    pointing.set_alias(registry.store, "m@2", "champion", by("ann"))
    deploy.promote(registry.place, "e", None, Order(by("ann", 3.0)))
    lifecycle.retire(registry.store, "m@2", by("bob", 4.0))
    delete(registry, "m@2", at=RETENTION + 5.0)
    with pytest.raises(Conflict, match="m@champion would name m@2 again, which was deleted: point it elsewhere or take it away") as caught:
        deploy.rollback(registry.place, "e", 1, Order(by("eve", RETENTION + 6.0)))
    assert (caught.value.code, caught.value.field) == ("version-deleted", "alias")
    assert pointing.show_alias(registry.store, "m", "champion")["version"] == "m@3"
    pointing.set_alias(registry.store, "m@1", "champion", by("eve"))
    deploy.rollback(registry.place, "e", 1, Order(by("eve", RETENTION + 7.0)))
    assert pointing.show_alias(registry.store, "m", "champion")["version"] == "m@1"


def test_conditions_and_what_is_done_already(registry: Registry) -> None:
    """Each change takes the revision that was seen; retiring twice, restoring what is not retired and approving what is are refused."""
    for change in (lifecycle.approve, lifecycle.withdraw, lifecycle.retire, lifecycle.restore):
        with pytest.raises(Conflict, match="If-Match: m@1 has revision 1, not 2") as caught:
            change(registry.store, "m@1", by("bob"), 2)
        assert caught.value.code == "revision-changed"
    with pytest.raises(Conflict, match="not retired"):
        lifecycle.restore(registry.store, "m@1", by("bob"))
    lifecycle.retire(registry.store, "m@1", by("bob"), 1)
    for change in (lifecycle.retire, lifecycle.approve):
        with pytest.raises(Conflict) as caught:
            change(registry.store, "m@1", by("bob"))
        assert caught.value.code == "retired"
    with pytest.raises(NotFound):
        lifecycle.retire(registry.store, "m@9", by("bob"))


def test_delete(registry: Registry) -> None:
    """Card, tests and blobs go; what happened, the audit log and the number stay; blobs that another version names stay too."""
    gone = registry.add(content=b"shared", metrics={"auc": 0.5})
    registry.add(content=b"shared")
    alone = registry.add(content=b"alone")
    for version in (gone, alone):
        registry.test(version, True)
        lifecycle.retire(registry.store, str(version), by("bob"))
        assert delete(registry, str(version)) == version
        with pytest.raises(NotFound):
            registry.show(version)
    assert registry.blobs.holds(sha256(b"shared").hexdigest())
    assert not registry.blobs.holds(sha256(b"alone").hexdigest())
    assert registry.search("") == ["credit@2"]
    events = [each["event"] for each in showing.events_of(registry.store, alone)]
    assert events == ["registered", "tested", "retired", "deleted"]
    assert registry.actions()[-1] == ("model.delete", "credit@3")
    assert str(registry.add()) == "credit@4"


def test_what_was_watched_of_a_version_goes_with_it(registry: Registry) -> None:
    """Counts and windows at every endpoint; those of other versions stay."""
    with registry.store.write() as connection:
        watch.save_states(connection, {("e", "m@4"): b"4", ("e", "m@1"): b"1"})
        watch.add_windows(connection, [WindowRow("f", version, "rows", 1, True, b"{}", None) for version in ("m@4", "m@1")])
    delete(registry, "m@4")
    with registry.store.read() as connection:
        assert watch.states(connection) == {("e", "m@1"): b"1"}
        assert [len(watch.newest(connection, "f", version, "rows", 9)) for version in ("m@4", "m@1")] == [0, 1]


def test_the_newest_number_is_not_given_again(registry: Registry) -> None:
    """Also where all versions of a model were deleted: the model stays, with none."""
    delete(registry, str(registry.add()))
    found = showing.show_model(registry.store, "credit", 9)
    assert (found["latest"], found["count"], found["versions"]) == (None, 0, [])
    assert str(registry.add()) == "credit@2"


def test_what_was_never_used_is_deleted_at_once(registry: Registry) -> None:
    """What an alias or a plan has named must be retired before."""
    delete(registry, "m@4")
    pointing.set_alias(registry.store, "m@3", "candidate", by("ann"))
    pointing.set_alias(registry.store, "m@1", "candidate", by("ann"))
    with pytest.raises(Conflict, match="m@3 has been used by an alias: retire it first") as caught:
        delete(registry, "m@3")
    assert caught.value.code == "not-retired"
    lifecycle.retire(registry.store, "m@3", by("bob"))
    delete(registry, "m@3")


def test_plans_of_the_retention_keep_a_version(serving: Registry) -> None:
    """A plan that was current within the retention may have rows in the journal; one that ended before has none any more."""
    deploy.set_arms(serving.place, "e", {"control": ArmSpec("m@1", 1)}, {}, None, Order(by("ann", 6.0)))
    with pytest.raises(Conflict, match=r"plan 1 of e names m@2: retire it first"):
        delete(serving, "m@2", at=RETENTION + 7.0)
    for version in ("m@2", "m@3"):
        lifecycle.retire(serving.store, version, by("bob"))
        with pytest.raises(Conflict, match=f"plan 1 of e names {version}: the journal may still hold rows of it") as caught:
            delete(serving, version, at=RETENTION + 5.9)
        assert caught.value.code == "in-use"
        delete(serving, version, at=RETENTION + 6.1)


def test_rows_in_the_journal_keep_a_version(serving: Registry) -> None:
    """A quiet endpoint's segment may hold rows that are older than the retention: a version that was in a plan since then stays."""
    deploy.set_arms(serving.place, "e", {"control": ArmSpec("m@1", 1)}, {}, None, Order(by("ann", 6.0)))
    lifecycle.retire(serving.store, "m@2", by("bob"))
    with closing(Writer(serving.kept.journal)) as writer:
        writer.append(events.encode(Tick(5.9)))
    with pytest.raises(Conflict, match="the journal may still hold rows of it"):
        delete(serving, "m@2", at=RETENTION + 900.0)


def test_a_blob_that_is_registered_again_meanwhile_stays(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the blobs of a registration and its transaction another version that names the same is deleted: nothing is lost."""
    old = registry.add(content=b"same")
    write = Store.write
    deleted: list[VersionId] = []

    def delete_before(store: Store, **how: bool) -> object:
        if not deleted:
            deleted.append(old)
            delete(registry, str(old))
            assert not registry.blobs.holds(sha256(b"same").hexdigest())
        return write(store, **how)

    monkeypatch.setattr(Store, "write", delete_before)
    registry.add(content=b"same")
    assert Blobs.get(registry.blobs, sha256(b"same").hexdigest()) == b"same"


def test_a_crash_while_deleting_leaves_blobs_and_no_hole(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version goes before its blobs: whatever can be seen can be loaded."""
    version = registry.add(content=b"alone")

    def crash(*_: object) -> None:
        raise OSError("no more")

    monkeypatch.setattr(Blobs, "remove", crash)
    with pytest.raises(OSError, match="no more"):
        delete(registry, str(version))
    assert registry.search("") == []
    assert registry.blobs.get(sha256(b"alone").hexdigest()) == b"alone"


def test_a_learner_stops_with_its_version(tmp_path: Path) -> None:
    """A retired version's learner stops and cannot be started; while it runs the version is not deleted; its snapshots go with it."""
    world = LearningWorld(World(tmp_path), tmp_path)
    world.publish(3, taught(1))
    kept = Kept(world.blobs, world.journal, RETENTION)
    with pytest.raises(Conflict, match="the learner of river@1 runs") as caught:
        lifecycle.delete(world.store, kept, "river@1", by("bob"))
    assert caught.value.code == "in-use"
    lifecycle.retire(world.store, "river@1", by("bob", 9.0))
    with world.store.read() as connection:
        assert positions.get(connection, learner_reader(RIVER)) is None
        assert [row["action"] for row in audit.newest(connection, 2)] == ["model.learner.stop", "model.retire"]
    with pytest.raises(Conflict, match="river@1 is retired"):
        learner.start(world.store, world.journal, "river@1", by("bob"))
    lifecycle.delete(world.store, kept, "river@1", by("bob"))
    with world.store.read() as connection:
        assert learners.newest(connection, RIVER) is None
        # The other one was made of the same file: its blobs are still there.
        card = known.decode_card(rows.version_row(connection, VersionId("still", 1)).card)
    assert all(world.blobs.holds(digest) for digest in card.blobs.values())
