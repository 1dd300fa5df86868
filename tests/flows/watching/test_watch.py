"""The reader `watch`: what it counts, when it judges, and that all of it follows from the journal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from core import events
from core.events import FALLBACK, FORCED, HELD_OUT, PINNED, Tick
from core.ids import VersionId
from core.values import Output, Position
from flows import deploy, known
from flows.deploy import ArmSpec, HoldoutSpec
from flows.follow import WATCH
from flows.watching.reference import Reference, reference
from flows.watching.state import PANES, pack, unpack
from journal.reader import Reader
from models.card import Card
from models.learner.settings import LearnerSettings, Learnt, RiverCard
from store import plans, positions, registry, watch
from store.tables import watch_states
from tests.flows.flow_world import order
from tests.flows.watching.watch_world import SMALL, Model, Watching, cancer, card_of

X, Y, NAMES = cancer()


def ask(
    watching: Watching, model: Model, rows: int, *, at: float = 10.0, each: int = 1, shift: float = 0.0, seed: int = 1, **more: Any
) -> list[str]:
    """Log requests of `each` rows drawn from the data, the first feature shifted by that many standard deviations; their ids."""
    rng = np.random.default_rng(seed)
    x = X[rng.integers(0, len(X), rows)].copy()
    x[:, 0] += shift * X[:, 0].std()
    outputs, drawn = model.answer(x), x.tolist()
    return [watching.predict(at, drawn[k : k + each], outputs[k : k + each], **more) for k in range(0, rows, each)]


def counted(watching: Watching) -> dict[str, Any]:
    """All that is stored, states as what they hold, and in a form in which rounding does not show."""
    found: dict[str, Any] = {"windows": [(row.kind, row.number, row.alarm, row.summary) for row in watching.windows()]}
    for row in watching.world.rows(watch_states):
        state = msgspec.msgpack.decode(row["body"])
        found[f"{row['endpoint']}/{row['version']}"] = [state[key] for key in ("fresh", "opened", "windows", "changes", "streams")]
    found["filling"] = watching.version()["filling"]
    found["rolling"] = {name: round(psi, 9) for name, psi in watching.version()["rolling"]["features"].items()}
    return found


def test_a_window_is_judged_when_it_is_full(watching: Watching, model: Model) -> None:
    """Of 400 rows, however they are cut into requests; the rest is in the next one."""
    ask(watching, model, 399)
    watching.follow()
    assert watching.version()["window"] is None
    assert watching.version()["reason"] == "no window is full yet (399 rows)"
    ask(watching, model, 60, at=20.0, each=7)
    watching.follow()
    found = watching.version()
    assert (found["window"]["number"], found["window"]["rows"], found["alarm"]) == (1, 400, False)
    assert (found["window"]["from"], found["window"]["to"]) == ("1970-01-01T00:00:10.000Z", "1970-01-01T00:00:20.000Z")
    assert found["filling"] == {"rows": 59, "labels": 0}
    assert set(found["features"]) == set(NAMES)
    assert set(found["predictions"]) == {"label", "probability of 1"}


def test_a_request_that_is_larger_than_windows(watching: Watching, model: Model) -> None:
    """Is cut: 1,000 rows are two windows of 400, and 200 rows of a third."""
    ask(watching, model, 1000, each=1000)
    watching.follow()
    assert [row.number for row in watching.windows()] == [1, 2]
    assert watching.version()["filling"]["rows"] == 200


def test_a_shift_is_named_and_then_forgotten(watching: Watching, model: Model) -> None:
    """The window raises an alarm that names the feature, and later says when the last one was."""
    ask(watching, model, 400)
    ask(watching, model, 400, shift=1.0, at=20.0)
    watching.follow()
    found = watching.version()
    assert found["alarm"]
    assert found["features"][NAMES[0]]["alarm"]
    assert found["reason"].startswith(f"features.{NAMES[0]} distributed otherwise: PSI")
    ask(watching, model, 400, at=30.0)
    watching.follow()
    found = watching.version()
    assert (found["alarm"], found["windows"]["rows"], found["alarms"]["rows"]) == (False, 3, 1)
    assert found["last_alarm"]["rows"]["number"] == 2
    assert [window["alarm"] for window in found["history"]["rows"]] == [False, True, False]


def test_an_old_window_is_judged_with_fewer_rows(watching: Watching, model: Model) -> None:
    """After an hour of journal time, where it has 200; with fewer it waits for more."""
    ask(watching, model, 150, at=0.0)
    ask(watching, model, 50, at=5000.0)
    watching.follow()
    assert watching.windows() == []
    ask(watching, model, 10, at=5001.0)
    watching.follow()
    assert watching.version()["window"]["rows"] == 200
    assert watching.version()["filling"]["rows"] == 10


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_what_is_counted_follows_from_the_journal(watch: Callable[[Card], Watching], model: Model, batch: int) -> None:
    """However many entries are read at a time, and wherever a process died: the same windows, the same counts."""
    card = card_of(X, Y, model, NAMES)
    whole, parts = watch(card), watch(card)
    for each in (whole, parts):
        names = [*ask(each, model, 700, each=5), *ask(each, model, 300, each=3, at=4000.0, shift=1.0, seed=2)]
        for place, name in enumerate(names):
            each.label(5000.0, f"{name}.0", int(place % 3 == 0))
    whole.follow()
    for _ in range(3):  # each of these dies before it has stored all
        watcher = parts.watcher()
        with parts.follower() as follower:
            for _ in range(max(1, 150 // batch)):
                follower.step(watcher.work, batch)
    parts.follow(batch)
    assert counted(parts) == counted(whole)
    assert counted(whole)["windows"]


def test_nothing_is_stored_twice(watching: Watching, model: Model) -> None:
    """An effect whose transaction fails is tried again, and stores the same; two processes never both store."""
    ask(watching, model, 800)
    one, two = watching.watcher(), watching.watcher()
    with watching.follower() as first, watching.follower() as second:
        effect = one.work(entries(watching), 0.0)
        assert effect is not None
        for _ in range(2):
            with watching.store.write(keep=False) as connection:
                assert effect(connection) == 10.0
        assert watching.windows() == []
        assert first.step(watching.watcher().work, 10_000) == 800
        with pytest.raises(Exception, match="another process reads for it"):
            second.step(two.work, 10_000)
    assert [row.number for row in watching.windows()] == [1, 2]


def entries(watching: Watching) -> Any:
    """All that stands in the journal."""
    reader = Reader(watching.journal, Position(1, 0))
    found = reader.read(10_000)
    reader.close()
    return found


def test_a_store_that_fails_meanwhile_costs_no_row(watching: Watching, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read is read again then, and nothing of it was counted before."""
    ask(watching, model, 60)
    ask(watching, model, 1, endpoint="other")
    watcher = watching.watcher()
    get, failures = plans.get, [sa.exc.OperationalError("", {}, Exception("locked"))] * 2

    def fails(connection: sa.Connection, endpoint: str, number: int) -> Any:
        if failures and endpoint == "other":
            raise failures.pop()
        return get(connection, endpoint, number)

    monkeypatch.setattr(plans, "get", fails)
    with watching.follower() as follower:
        steps = [follower.step(watcher.work, 1000) for _ in range(3)]
        follower.store(watcher.effect())
    assert steps == [0, 0, 61]
    assert watching.version()["filling"]["rows"] == 60


@pytest.mark.parametrize(("flags", "rows"), [(FORCED, 0), (PINNED, 0), (FALLBACK, 50)])
def test_which_rows_count(watching: Watching, model: Model, flags: int, rows: int) -> None:
    """Not what an operator forced or a client pinned; what control answered for another arm is control's."""
    ids = ask(watching, model, 50, flags=flags)
    watching.label(20.0, ids[0], 1)
    watching.follow()
    assert watching.version()["filling"] == {"rows": rows, "labels": min(rows, 1)}


def test_versions_are_counted_apart(watching: Watching, model: Model) -> None:
    """Each with its own columns of the row, against its own sample, also where two arms are served."""
    some = [4, 0, 9]
    with watching.store.write() as connection:
        registry.add_version(
            connection, "c", known.encode(card_of(X[:, some], Y, Model(X[:, some], Y), [NAMES[k] for k in some])), "me", 0.0
        )
    deploy.set_arms(watching.world.place, "credit", {"control": ArmSpec("c@1", 1), "treatment": ArmSpec("c@2", 1)}, None, None, order(1.0))
    ask(watching, model, 400, plan=2, arm="treatment", version="c@2")
    ask(watching, model, 100, plan=2)
    watching.follow()
    found = watching.version("c@2")
    assert (found["arms"], found["window"]["rows"]) == (["treatment"], 400)
    assert not any(one["alarm"] for one in found["features"].values())
    assert set(found["features"]) == {NAMES[k] for k in some}
    assert watching.version("c@1")["filling"]["rows"] == 100


def test_units_held_out_count_for_their_version(watching: Watching, model: Model) -> None:
    """And the report says that it serves the holdout."""
    with watching.store.write() as connection:
        registry.add_version(connection, "c", known.encode(card_of(X, Y, model, NAMES)), "me", 0.0)
    deploy.set_holdout(watching.world.place, "credit", HoldoutSpec(0.1, "c@2"), order(1.0))
    ask(watching, model, 30, plan=2, arm="holdout", version="c@2", flags=HELD_OUT)
    watching.follow()
    assert (watching.version("c@2")["arms"], watching.version("c@2")["filling"]["rows"]) == (["holdout"], 30)
    assert watching.version("c@1")["filling"]["rows"] == 0


def test_missing_values_and_outputs_that_say_nothing(watching: Watching, model: Model) -> None:
    """Count as missing."""
    row: list[Any] = X[0].tolist()
    row[2] = None
    for _ in range(400):
        watching.predict(1.0, [row], [Output(label=None)])
    watching.follow()
    found = watching.version()
    assert found["features"][NAMES[2]]["missing"]["window"] == 1.0
    assert found["predictions"]["label"]["missing"]["window"] == 1.0
    assert "missing in 1 of the rows" in found["predictions"]["probability of 1"]["reason"]


def test_a_journal_from_elsewhere_is_passed_over(watching: Watching, model: Model) -> None:
    """Endpoints, plans and versions that the store does not know, and labels of predictions that are gone."""
    ask(watching, model, 3, endpoint="none")
    ask(watching, model, 3, plan=9)
    ask(watching, model, 3, version="x@1")
    watching.label(1.0, "p1-0-00000000000000ff", 1)
    watching.label(1.0, "no id", 1)
    ask(watching, model, 3)
    watching.follow()
    assert watching.version()["filling"]["rows"] == 3


def register(watching: Watching, model: Model) -> VersionId:
    """A version like c@1, which no plan names any more."""
    with watching.store.write() as connection:
        return registry.add_version(connection, "c", known.encode(card_of(X, Y, model, NAMES)), "me", 0.0)


def test_a_deleted_version_is_passed_over(watching: Watching, model: Model) -> None:
    """What is still kept of it, and what still comes of it: the report and the reader go on with the others."""
    gone = register(watching, model)
    ask(watching, model, 5, version=str(gone))
    watching.follow()
    assert set(watching.report()["versions"]) == {"c@1", "c@2"}
    with watching.store.write() as connection:
        registry.delete_version(connection, gone)
    assert set(watching.report()["versions"]) == {"c@1"}
    ask(watching, model, 500, version=str(gone))
    ask(watching, model, 3)
    watching.follow()
    assert watching.version()["filling"]["rows"] == 3
    assert watching.windows() == []


def test_a_version_that_is_deleted_while_it_is_counted(watching: Watching, model: Model) -> None:
    """Leaves nothing behind: neither its counts nor a window that has just ended."""
    gone = register(watching, model)
    ask(watching, model, 450, version=str(gone), each=50)
    ask(watching, model, 410, each=50)
    with closing(Reader(watching.journal, Position(1, 0))) as reader:
        effect = watching.watcher().work(reader.read(1000), 0.0)
    assert effect is not None
    with watching.store.write() as connection:
        registry.delete_version(connection, gone)
        effect(connection)
        assert set(watch.states(connection)) == {("credit", "c@1")}
    assert [(row.version, row.number) for row in watching.windows()] == [("c@1", 1)]


def test_the_position_follows_what_is_of_no_concern(watching: Watching) -> None:
    """Ticks alone move it too: else nothing of the journal could ever be deleted."""
    for at in (1.0, 2.0):
        watching.writer.append(events.encode(Tick(at)))
    watching.follow()
    with watching.store.read() as connection:
        row = positions.get(connection, WATCH)
    assert row is not None
    assert (row.position > Position(1, 0), row.at) == (True, 2.0)


def test_a_state_of_other_columns_begins_anew(watching: Watching, model: Model) -> None:
    """What was counted on other cells is let go; the numbers of windows go on."""
    ask(watching, model, 450)
    watching.follow()
    fewer = reference(card_of(X[:, :3], Y, Model(X[:, :3], Y), NAMES[:3]))
    assert isinstance(fewer, Reference)
    state = unpack(watching.world.rows(watch_states)[0]["body"], fewer, 0.001)
    assert (state.rows, state.windows, state.panes) == (0, 1, [])
    assert unpack(pack(state), fewer, 0.001).windows == 1


def test_rolling_scores_are_of_the_newest_panes(watching: Watching, model: Model) -> None:
    """As it stands now: a shift shows there before its window is full, and no alarm follows from it."""
    ask(watching, model, 400)
    ask(watching, model, 300, shift=2.0, at=20.0)
    watching.follow()
    found = watching.version()
    assert found["rolling"]["rows"] == (PANES * SMALL.pane)
    assert found["rolling"]["features"][NAMES[0]] > 1.0 > found["features"][NAMES[0]]["score"]
    assert not found["alarm"]


def test_a_learning_version_is_compared_by_its_features_alone(watch: Callable[[Card], Watching], model: Model) -> None:
    """And the report says why."""
    card = card_of(X, Y, model, NAMES)
    for river, says in (
        (RiverCard(kind="classifier", settings=LearnerSettings()), "it learns while it serves"),
        (RiverCard(kind="classifier", learnt=Learnt("c@1", 1, 1, (1, 0), "c@1", "own")), "it has learnt since its sample was answered"),
    ):
        watching = watch(replace(card, river=river))
        ids = ask(watching, model, 400)
        watching.label(11.0, ids[0], 1)
        watching.follow()
        found = watching.version()
        assert set(found["features"]) == set(NAMES)
        assert (found["predictions"], found["label_window"], found["filling"]["labels"]) == ({}, None, 0)
        assert found["notes"][0].startswith(says)


def test_without_a_reference_nothing_is_made_up(watch: Callable[[Card], Watching], model: Model) -> None:
    """No sample, or too few rows in it."""
    card = card_of(X, Y, model, NAMES)
    few = card_of(X[:30], Y[:30], model, NAMES)
    for each, reason in (
        (replace(card, profile=None), "no reference: it was registered without a sample"),
        (few, "no reference: its sample has 30 rows, 50 are needed"),
    ):
        watching = watch(each)
        ask(watching, model, 400)
        watching.follow()
        assert watching.version() == {"arms": ["control"], "alarm": False, "reason": reason, "notes": []}
        assert watching.windows() == []
