"""Looks at the pairs of a shadow, and its report."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from core.errors import Invalid, NotFound
from core.values import Position
from experiments.shadows.agreement import Totals
from experiments.shadows.evidence import EVERY_SECONDS, Looked
from experiments.shadows.looks import FEWEST
from experiments.shadows.table import table
from flows import deploy, housekeep
from flows.deploy import ShadowSpec
from flows.shadow import save_totals
from store import shadows
from store.tables import shadow_totals
from tests.flows.flow_world import order
from tests.flows.shadow_scene import NEW, NEXT, OLD, Scene, entries, surprise


def test_looks_come_on_a_grid(scene: Scene) -> None:
    """One at each grid point that journal time passes, of what was stored before; none where nothing has come."""
    scene.tick(EVERY_SECONDS)
    scene.tick(EVERY_SECONDS + 1.0)
    for number in range(30):
        scene.label(EVERY_SECONDS + 3.0, scene.predict(EVERY_SECONDS + 2.0, 1.0 + number), 1)
    for at in (2.0, 2.5, 2.9, 5.1, 5.2):
        scene.tick(at * EVERY_SECONDS)
        scene.follow()
    looked = scene.totals().labels
    assert (looked.looks, looked.slot, looked.at, looked.rows, looked.units) == (2, 5, 5.1 * EVERY_SECONDS, 30, 30)
    assert looked.planned_sd is not None
    expected = sum(surprise(NEW * (1.0 + number)) - surprise(OLD * (1.0 + number)) for number in range(30)) / 30
    assert (looked.paired.estimate, looked.paired.log_evidence) == (pytest.approx(expected), None)


def test_a_shadow_that_is_better(scene: Scene) -> None:
    """Once enough units are labelled a look shows it, and it stays shown; the report says so in one sentence and in a table."""
    assert scene.report()["reason"] == "not enough data: no label of a mirrored prediction has come, 500 units are needed"
    for number in range(FEWEST):
        x = 0.5 + number % 5
        scene.label(2.0, scene.predict(1.0, x, unit=f"u{number}"), 1)
    scene.follow()
    assert scene.report()["reason"].startswith("not enough data: labels of 500 units, the first look that can tell")
    for at in (EVERY_SECONDS, EVERY_SECONDS + 1.0, 2.0 * EVERY_SECONDS, 2.0 * EVERY_SECONDS + 1.0):
        scene.tick(at)
    scene.follow()
    found = scene.report(None)
    assert found["verdict"] == "better", found
    assert found["reason"].startswith("better: log loss lower by 0.")
    assert found["reason"].endswith("since look 1")
    assert found["loss"]["sequential"]["shown"]["look"] == 1
    assert found["loss"]["fixed"]["estimate"] == pytest.approx(found["loss"]["sequential"]["estimate"])
    assert found["loss"]["fixed"]["wilcoxon_p"] < 1e-6
    assert (found["right"]["verdict"], found["agreement"]["share"], found["looks"]["made"]) == ("refused", 1.0, 2)
    assert table(found).startswith("BETTER  shadow next (c@2) on endpoint credit\n  better: log loss lower by")
    msgspec.json.decode(msgspec.json.encode(found))


def test_few_units(scene: Scene) -> None:
    """How many there are, and how many are needed."""
    for number in range(37):
        scene.label(2.0, scene.predict(1.0, 1.0, unit=f"u{number}"), 1)
    scene.follow()
    found = scene.report()
    assert (found["verdict"], found["reason"]) == ("not_enough_data", "not enough data: labels of 37 units, 500 are needed")


def test_totals_of_an_earlier_version(scene: Scene) -> None:
    """What it stored is read, and what it did not know is taken to be nothing."""
    stored = msgspec.to_builtins(Totals(done=5, errors=1))
    for name in ("labels", "latency_difference"):
        del stored[name]
    with scene.world.store.write() as connection:
        connection.execute(shadow_totals.insert().values(endpoint="credit", shadow="next", version="c@2", totals=stored))
    assert scene.totals() == Totals(done=5, errors=1)
    assert scene.report()["errors"]["share"] == 0.2


def test_what_looks_found_survives_dropping(scene: Scene) -> None:
    """A request that is put aside is counted, and what labels have shown stays."""
    scene.predict(1.0, 1.0)
    before = Totals(done=1, labels=Looked(loss="log_loss", looks=3))
    with scene.world.store.write() as connection:
        save_totals(connection, NEXT, before)
        scene.runner().drop(connection, entries(scene)[0])
    assert scene.totals() == replace(before, dropped=1)


def test_which_shadow(scene: Scene) -> None:
    """A name that no shadow has, and none where there are several, is told; a shadow that was removed still has its report."""
    with pytest.raises(NotFound, match="no shadow 'other'"):
        scene.report("other")
    place = scene.world.place._replace(journal_end=lambda: Position(1, 0))
    deploy.set_shadows(place, "credit", {"next": ShadowSpec("c@2"), "more": ShadowSpec("c@1")}, order(1.0))
    with pytest.raises(Invalid, match="expected one of next, more"):
        scene.report(None)
    deploy.set_shadows(place, "credit", {}, order(2.0))
    with pytest.raises(NotFound, match="has no shadow"):
        scene.report(None)


def test_a_shadow_that_retired(scene: Scene) -> None:
    """Its reader goes, its pairs stay, and so does its report once `record` has counted what was mirrored to it."""
    scene.label(2.0, scene.predict(1.0, 1.0), 1)
    scene.follow()
    with scene.world.store.write() as connection:
        shadows.add_mirrored(connection, {tuple(NEXT): 1})
    deploy.set_shadows(scene.world.place, "credit", {}, order(2.0))
    housekeep.retire_shadows(scene.world.store, scene.journal, lambda: 1e6)
    assert NEXT.reader not in housekeep.wanted_readers(scene.world.store)
    assert (scene.report()["labels"]["rows"], scene.report()["waiting"]) == (1, 0)
