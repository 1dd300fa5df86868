"""Many who change one registry at once: every loser is told, no update is lost, and the audit log agrees with the state."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from threading import Barrier, Thread

from core.errors import Conflict
from core.ids import VersionId
from core.settings import Settings
from flows import lifecycle
from flows.registry import pointing, showing
from store import engine
from store.blobs import Blobs
from tests.flows.registry.registry_world import Registry, by

ROOT = Path(__file__).parents[3]
ROUNDS = 12


def race(*changes: Callable[[], object]) -> list[str]:
    """All at once, each in a thread: "" or the code of the Conflict."""
    ready, codes = Barrier(len(changes)), [""] * len(changes)

    def run(place: int) -> None:
        ready.wait()
        try:
            changes[place]()
        except Conflict as error:
            codes[place] = error.code

    threads = [Thread(target=run, args=(place,)) for place in range(len(changes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return codes


def test_approve_alias_and_retire_at_once(registry: Registry) -> None:
    """Whatever comes first, the end is consistent: retired and without alias, or with it and not retired."""
    for number in range(ROUNDS):
        version = str(registry.add(content=bytes([number])))
        approved, pointed, retired = race(
            lambda version=version: lifecycle.approve(registry.store, version, by("ann")),
            lambda version=version: pointing.set_alias(registry.store, version, "champion", by("bob")),
            lambda version=version: lifecycle.retire(registry.store, version, by("carol")),
        )
        shown = showing.show_version(registry.store, version)
        assert (pointed, retired) in (("", "in-use"), ("retired", ""))
        assert approved in ("", "retired")
        assert (shown["state"] == "retired") == (retired == "")
        assert shown["aliases"] == ([] if pointed else ["champion"])
        done = [action for action, subject in registry.actions() if subject == version]
        assert sorted(done) == sorted(
            action for action, code in (("model.approve", approved), ("model.alias", pointed), ("model.retire", retired)) if code == ""
        )
        assert shown["revision"] == 1 + done.count("model.approve") + done.count("model.retire")


def test_one_winner_of_a_condition(registry: Registry) -> None:
    """Of many who saw the same revision, or the same target of an alias, one comes through."""
    registry.add()
    codes = race(*(lambda name=name: lifecycle.approve(registry.store, "credit@1", by(name), 1) for name in "abcdef"))
    assert sorted(codes) == ["", *["revision-changed"] * 5]
    codes = race(
        *(lambda number=number: pointing.set_alias(registry.store, f"m@{number}", "champion", by("bob"), 0) for number in (1, 2, 3, 4))
    )
    assert sorted(codes) == ["", *["alias-changed"] * 3]
    [move] = pointing.history(registry.store, "m", "champion", 9)["moves"]
    assert move["version"] == pointing.show_alias(registry.store, "m", "champion")["version"]


def test_register_and_delete_at_once(registry: Registry) -> None:
    """A version that can be seen has its blobs, also where another with the same was deleted at that moment."""
    for _ in range(ROUNDS):
        old = registry.add(content=b"same")
        race(
            lambda: registry.add(content=b"same"),
            lambda old=old: lifecycle.delete(registry.store, registry.blobs, str(old), by("bob"), 0.0),
        )
        [digest] = {showing.show_version(registry.store, version)["blobs"]["artefact"] for version in registry.search("")}
        assert registry.blobs.get(digest) == b"same"


CHANGES = """
import json, sys
from pathlib import Path
from core.errors import Conflict
from core.settings import Settings
from flows import lifecycle
from flows.registry import pointing
from flows.registry.describing import describe_version
from routing.changes import Who
from store import engine
home, name, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
store, done = engine.open_existing(Settings(home=home)), []
changes = (
    lambda at: lifecycle.approve(store, "m@1", Who(name, at, "")),
    lambda at: lifecycle.withdraw(store, "m@1", Who(name, at, "")),
    lambda at: lifecycle.retire(store, "m@1", Who(name, at, "")),
    lambda at: lifecycle.restore(store, "m@1", Who(name, at, "")),
    lambda at: pointing.set_alias(store, "m@1", "champion", Who(name, at, "")),
    lambda at: pointing.set_alias(store, "m@2", "champion", Who(name, at, "")),
    lambda at: describe_version(store, "m@1", lambda said: {"tags": [*said.tags, f"{name}-{int(at)}"]}, Who(name, at, "")),
)
for step in range(40):
    change = (step * (number + 2) + number) % len(changes)
    try:
        changes[change](float(step))
        done.append(change)
    except Conflict:
        pass
print(json.dumps(done))
"""


def test_processes(registry: Registry, tmp_path: Path) -> None:
    """Three processes change one version and one alias: what each was told is what the store, its history and the audit log say."""
    processes = [
        subprocess.Popen([sys.executable, "-c", CHANGES, str(tmp_path), name, str(number)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for number, name in enumerate("abc")
    ]
    done = [change for process in processes for change in json.loads(process.communicate()[0])]
    assert [process.returncode for process in processes] == [0, 0, 0]
    actions = [action for action, _ in registry.actions()]
    for change, action in enumerate(("model.approve", "model.withdraw", "model.retire", "model.restore")):
        assert actions.count(action) == done.count(change)
    assert actions.count("model.alias") == done.count(4) + done.count(5)
    shown = registry.show(VersionId("m", 1))
    assert len(shown["about"]["tags"]) == done.count(6) == actions.count("model.describe")
    events = [each["event"] for each in shown["events"]]
    assert len(events) == 1 + sum(done.count(change) for change in range(4))
    assert shown["revision"] == len(events) + done.count(6)
    assert events.count("retired") - events.count("restored") == (shown["state"] == "retired")
    moves = pointing.history(registry.store, "m", "champion", 999)["moves"]
    assert moves[0]["version"] == pointing.show_alias(registry.store, "m", "champion")["version"]
    assert all(newer["version"] != older["version"] for newer, older in pairwise(moves))


def test_a_store_of_another_process_is_the_same(registry: Registry, tmp_path: Path) -> None:
    """What one has changed another sees at once: nothing of the registry is kept in memory."""
    other = engine.open_existing(Settings(home=str(tmp_path)))
    registry.add(tags=("t",))
    lifecycle.delete(other, Blobs(tmp_path / "blobs"), "credit@1", by("bob"), 0.0)
    assert registry.search("") == []
