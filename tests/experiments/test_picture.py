"""The picture of an experiment: what is in it, that the same data give the same bytes, and what cannot be drawn."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from core.clock import to_rfc3339
from core.errors import Conflict, Invalid, Refused
from experiments.picture import panel, phases, plot, words
from tests.experiments.picture_world import ERRORS, LATENCY, REVENUE, START, corners, ids, points, report, texts

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.leaves_open("matplotlib keeps the fonts open that it has used")


def settings() -> dict[str, Any]:
    """Those of matplotlib for this process; to ask for the backend would import pyplot."""
    return {name: mpl.rcParams[name] for name in mpl.rcParams if name != "backend"}


def test_a_picture_has_what_it_promises() -> None:
    """Title with verdict and reason, estimate, both bounds, zero, MDE, phases with their shares, the look of the crossing."""
    found = report(REVENUE, phases=3, better=60)
    svg = plot.draw(found, points(found))
    assert {"estimate", "lower", "upper", "between", "zero", "mde", "phase-1", "phase-2", "phase-3", "shown-better"} <= set(ids(svg))
    said = texts(svg)
    for text in (
        "CONTINUE   experiment e1 on endpoint shop",
        "not enough evidence yet, a < b & c",
        "revenue: treatment − control",
        "success, to increase; now +0.301 [-0.1, +0.7]",
        "better since look 60",
        "phase 1 (90:10)",
        "phase 3 (70:30)",
        "between the always-valid bounds, each at 95 %",
        "phase (shares control:treatment)",
        "MDE",
    ):
        assert text in said
    assert "margin" not in ids(svg)
    assert "shown-worse" not in ids(svg)


def test_the_same_data_give_the_same_bytes() -> None:
    """In this process and in another, whatever was drawn before; and the settings of the process stay as they were."""
    before = settings()
    found = report(REVENUE, LATENCY, phases=2, worse=30)
    first = plot.draw(found, points(found))
    plot.draw(report(REVENUE), points(report(REVENUE)), form="png")
    assert plot.draw(found, points(found)) == first
    assert settings() == before
    code = (
        "import sys; from experiments.picture import plot; from tests.experiments.picture_world import *;"
        "f = report(REVENUE, LATENCY, phases=2, worse=30); sys.stdout.buffer.write(plot.draw(f, points(f)));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT).stdout == first


def test_success_metrics_come_first() -> None:
    """Then guardrails, with their margin and their own words, then the rest."""
    found = report(ERRORS, LATENCY, REVENUE, better=50, worse=60)
    svg = plot.draw(found, points(found))
    titles = [text for text in texts(svg) if text.endswith(": treatment − control")]
    assert titles == ["revenue: treatment − control", "latency: treatment − control", "errors: treatment − control"]
    assert {"margin", "mde", "shown-better", "shown-worse"} <= set(ids(svg))
    assert "not worse since look 50" in texts(svg)
    assert "worse since look 60" in texts(svg)


def test_metrics_can_be_chosen() -> None:
    """Only those named; a name that the experiment does not have is refused."""
    found = report(REVENUE, LATENCY)
    assert [text for text in texts(plot.draw(found, points(found), ["latency"])) if "− control" in text][:1] == [
        "latency: treatment − control"
    ]
    assert "revenue: treatment − control" not in texts(plot.draw(found, points(found), ["latency"]))
    with pytest.raises(Invalid, match="metric: expected one of revenue, latency, got 'clicks'"):
        plot.draw(found, points(found), ["clicks"])


def test_each_treatment_has_a_panel() -> None:
    """Side by side."""
    found = report(REVENUE, arms=("bold", "plain"))
    svg = plot.draw(found, points(found))
    assert {"revenue: bold − control", "revenue: plain − control"} <= set(texts(svg))
    assert "phase (shares control:bold:plain)" in texts(svg)


def test_thousands_of_looks_are_thinned() -> None:
    """To some 600 points a line, the look of a crossing among them; few looks are drawn as they are."""
    found = report(REVENUE, looks=4000, better=1234)
    rows = points(found)
    for row in rows:
        row["estimate"] += 0.05 * math.sin(row["look"] ** 2)
    svg = plot.draw(found, rows)
    assert 500 <= corners(svg, "estimate") <= 610
    assert len(svg) < 200_000
    few = report(REVENUE, looks=500)
    assert corners(plot.draw(few, [row for row in rows if row["look"] <= 500]), "estimate") >= 450


def test_thinning_keeps_ends_and_crossings() -> None:
    """And the order."""
    all_points = [panel.Point(look, START + look, 0.0, None, None) for look in range(1, 4001)]
    kept = [point.look for point in panel.thinned(all_points, {1235})]
    assert kept == sorted(kept)
    assert {1, 1235, 4000} <= set(kept)
    assert len(kept) <= 601
    assert max(b - a for a, b in pairwise(kept)) <= 7
    assert panel.thinned(all_points[:600], set()) == all_points[:600]


def test_first_looks_do_not_set_the_scale() -> None:
    """Bounds of a few units are cut off; zero, the MDE, and what the last look says are not."""
    found = report(REVENUE)
    rows = points(found)
    rows[0]["estimate"] = 1e6
    low, high = panel._limits(
        panel.of(found, "revenue", "treatment", [panel.Point(r["look"], r["at"], r["estimate"], r["lower"], r["upper"]) for r in rows])
    )
    assert low < -0.1
    assert 0.7 < high < 10.0


def test_what_may_not_be_computed_leaves_a_reason() -> None:
    """A metric that no look has found says why; the others are drawn."""
    found = report(REVENUE, LATENCY)
    found["metrics"]["latency"]["differences"]["treatment"]["refused"] = "the values do not vary within the arms"
    svg = plot.draw(found, [row for row in points(found) if row["metric"] == "revenue"])
    assert "the values do not vary within the arms" in texts(svg)
    assert ids(svg).count("estimate") == 1


def test_a_png_is_a_thousand_pixels_wide() -> None:
    """As its header says."""
    found = report(REVENUE, looks=1)
    png = plot.draw(found, points(found), form="png")
    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">I", png[16:20]) == (1000,)


@pytest.mark.parametrize(("made", "said"), [(0, "no look has been made yet"), (7, "no look of 7 has found 2 matured units in both arms")])
def test_without_looks_there_is_no_picture(made: int, said: str) -> None:
    """And it is said which it is."""
    found = report(REVENUE, looks=made)
    with pytest.raises(Conflict, match=f"experiment 'e1' has nothing to draw: {said}"):
        plot.draw(found, [])


@pytest.mark.parametrize("size", [0.0, 1e-320, 1e-100, 1e100])
def test_extreme_figures_are_drawn(size: float) -> None:
    """All the same, tiny, large: still a picture."""
    found = report(REVENUE, looks=30, better=25, worse=30)
    assert "estimate" in ids(plot.draw(found, points(found, size=size)))


def test_figures_that_no_axis_can_hold_are_refused() -> None:
    """Rather than drawn as infinity."""
    found = report(REVENUE, looks=30)
    with pytest.raises(Refused, match="too large to be drawn"):
        plot.draw(found, points(found, size=1e300))


def test_labels_of_phases_do_not_overlap() -> None:
    """Phases close together are written on several lines; where there is no place left, the line of the phase stays."""
    found = report(REVENUE, phases=1)
    first = found["phases"][0]
    found["phases"] = [{**first, "phase": k + 1, "from": to_rfc3339(START + 60.0 * k)} for k in range(6)]
    labels, levels = phases.labels(found, 8.0)
    assert [label.level for label in labels] == [0, 1, 2, None, None, None]
    assert levels == 3
    found["phases"] = [{**first, "from": found["looks"]["last"]}]
    label = phases.labels(found, 8.0)[0][0]
    assert 6.5 < label.left == pytest.approx(8.0 - words.inches("phase 1 (90:10)", words.SMALL))
    found["phases"] *= 6
    assert ids(plot.draw(found, points(found))).count("phase-1") == 6
