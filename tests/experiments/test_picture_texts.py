"""The texts of a picture: none is cut off, none lies over another, and they say what decides."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import looks
from experiments.evidence import NO_EVIDENCE
from experiments.methods import group_sequential
from experiments.picture import interims, phases, plot, words
from experiments.report import report as reported
from tests.experiments.conftest import STARTED
from tests.experiments.picture_world import ERRORS, EVERY, LATENCY, REVENUE, corners, ids, points, report, texts

pytestmark = pytest.mark.leaves_open("matplotlib keeps the fonts open that it has used")

SPENDING = {"alpha": 0.05, "test": "group-sequential", "spending": "obrien-fleming", "phi": None}
METRICS = (
    ("average_revenue_per_visiting_user_after_discounts_and_refunds", "success", "increase"),
    ("share.of.requests.answered.later.than.two.seconds.since.monday", "guardrail", "decrease"),
    ("numberofcomplaintsthatreachtheservicedeskwithinfourteendays", "info", "decrease"),
)
ARMS = ("gradient_boosting_with_newer_features_v2", "neural-network-with-embeddings-2026-beta")

Box = tuple[str, Any]


def made_looks(n: int, effect: float = 3.0) -> list[dict[str, float]]:
    """The first `n` of 14 interim looks, with so much drift."""
    return [{"fraction": k / 14, "z": effect * math.sqrt(k / 14), "information": k / 14} for k in range(1, n + 1)]


def spending(found: dict[str, Any], n: int) -> dict[str, Any]:
    """The same report of a group-sequential test with so many interim looks."""
    found["design"] = SPENDING
    for metric in found["metrics"].values():
        if metric["role"] == "success" and n:
            metric["differences"] = {arm: {**d, "interims": made_looks(n)} for arm, d in metric["differences"].items()}
    return found


def boxes(monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], rows: list[dict[str, Any]]) -> tuple[list[Box], tuple[int, int]]:
    """Every text that is drawn with its box in pixels, and the size of the picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    caught: list[Any] = []

    def measure(figure: Any, _: str) -> bytes:
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        shown = [text for text in drawn(figure) if text.get_visible() and text.get_text()]
        caught.extend([(text.get_text(), Text.get_window_extent(text)) for text in shown])
        caught.append(canvas.get_width_height())
        return b""

    monkeypatch.setattr(plot, "_rendered", measure)
    plot.draw(found, rows)
    return caught[:-1], caught[-1]


def drawn(figure: Any) -> Iterator[Any]:
    """Texts of a figure, but labels of ticks beyond an axis, which are not drawn."""
    from matplotlib.text import Text

    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            hidden |= {id(tick.label1) for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    return (text for text in figure.findobj(Text) if id(text) not in hidden)


CASES: dict[str, dict[str, Any]] = {
    "one treatment": {"metrics": (REVENUE, LATENCY), "better": 60},
    "two treatments": {"metrics": (REVENUE, LATENCY), "arms": ("bold", "plain"), "better": 68, "worse": 95},
    "six metrics": {
        "metrics": (REVENUE, LATENCY, ERRORS, *((f"{name}_2", role, to) for name, role, to in (REVENUE, LATENCY, ERRORS))),
        "better": 50,
        "worse": 90,
        "phases": 3,
    },
    "long names": {"metrics": METRICS, "arms": ARMS, "better": 66, "phases": 3, "experiment": "e" * 100, "endpoint": "W" * 100},
    "one look": {"metrics": (REVENUE, LATENCY), "looks": 1},
    "500 looks": {"metrics": (REVENUE, LATENCY), "looks": 500, "better": 345, "worse": 40},
    "three phases": {"metrics": (REVENUE,), "phases": 3, "better": 99},
    "nine treatments": {"metrics": (REVENUE,), "arms": tuple(f"variant_{k}" for k in range(9)), "phases": 3},
    "no bounds": {"metrics": (REVENUE,), "looks": 3, "better": 3, "worse": 2},
    "interim looks": {"metrics": (REVENUE, LATENCY), "arms": ("bold", "plain"), "interims": 9},
    "no interim look": {"metrics": (REVENUE,), "interims": 0},
}


@pytest.mark.parametrize("case", CASES)
def test_no_text_is_cut_off_or_covered(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each lies inside the picture, and none over another."""
    how = dict(CASES[case])
    metrics, made = how.pop("metrics"), how.pop("interims", None)
    found = report(*metrics, **how)
    found = found if made is None else spending(found, made)
    shown, (wide, high) = boxes(monkeypatch, found, points(found, bounds_from=1 if case == "one look" else 20))
    assert len(shown) > 10
    for text, box in shown:
        assert 0.0 <= box.x0 < box.x1 <= wide, text
        assert 0.0 <= box.y0 < box.y1 <= high, text
    for (text, a), (other, b) in combinations(shown, 2):
        apart = a.x1 <= b.x0 + 0.5 or b.x1 <= a.x0 + 0.5 or a.y1 <= b.y0 + 0.5 or b.y1 <= a.y0 + 0.5
        assert apart, (text, other)


@pytest.mark.parametrize("look", [1, 50, 65, 70, 85, 100])
def test_the_text_of_a_crossing_ends_inside_its_panel(look: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is, also in the narrow panels of two columns."""
    found = report(LATENCY, arms=("bold", "plain"), better=look)
    shown, _ = boxes(monkeypatch, found, points(found))
    marks = [box for text, box in shown if text == f"not worse since look {look}"]
    assert [(box.x0 >= 95.0, box.x1 <= 475.0) for box in marks[:1]] == [(True, True)]
    assert [(box.x0 >= 595.0, box.x1 <= 975.0) for box in marks[1:]] == [(True, True)]


@pytest.mark.parametrize(("sign", "marked"), [(1.0, {"better": 2}), (-1.0, {"worse": 2})])
def test_a_marked_look_leaves_room_for_its_text(sign: float, marked: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its estimate is the outermost of all: the text is no higher than its panel, and no lower."""
    found = report(REVENUE, looks=3, **marked)
    rows = [{**row, "estimate": sign * 0.1 * (5.0 - abs(row["look"] - 2))} for row in points(found)]
    shown, (_, high) = boxes(monkeypatch, found, rows)
    box = next(box for text, box in shown if "since look 2" in text)
    assert 115.0 <= box.y0 < box.y1 <= 325.0 < high


def test_names_are_written_in_full() -> None:
    """Broken into lines where they are too long for one."""
    found = report(*METRICS, arms=ARMS)
    said = "".join(texts(plot.draw(found, points(found)))).replace(" ", "")
    for metric, _, _ in METRICS:
        for arm in ARMS:
            assert f"{metric}:{arm}−control" in said
    assert f"sharesofphases:control:{ARMS[0]}:{ARMS[1]}" in said


def test_figures_stay_together() -> None:
    """An estimate and its bounds are on one line."""
    found = report(REVENUE, arms=("bold", "plain"))
    assert texts(plot.draw(found, points(found, size=1.2345e-7))).count("now +3.7158e-08 [-1.2345e-08, +8.6415e-08]") == 2


def test_each_treatment_has_its_sentence() -> None:
    """Its own verdict and reason; the experiment's, which is one of theirs, is not said twice."""
    found = report(REVENUE, arms=("bold", "plain"))
    said = texts(plot.draw(found, points(found)))
    assert {"bold: continue: no evidence yet for bold", "plain: continue: no evidence yet for plain"} <= set(said)
    assert found["reason"] not in said
    alone = report(REVENUE)
    assert alone["reason"] in texts(plot.draw(alone, points(alone)))


def test_the_band_of_one_look_can_be_seen() -> None:
    """As a bar from bound to bound."""
    found = report(REVENUE, looks=1)
    assert corners(plot.draw(found, points(found, bounds_from=1)), "between") == 2


def test_a_group_sequential_test_shows_what_decides() -> None:
    """The bound at each interim look and the statistic there, and that the band is of another test."""
    found = spending(report(REVENUE, LATENCY), 5)
    svg = plot.draw(found, points(found))
    assert (ids(svg).count("interim-z"), ids(svg).count("interim-bound")) == (1, 1)
    bound = group_sequential.bounds(0.05, [k / 14 for k in range(1, 6)])[-1]
    said = texts(svg)
    assert f"5 interim looks, the last at 35.7% of the maximum: z +1.7928, bound {bound:+.5g}" in said
    assert "group-sequential bound on z, α = 0.05" in said
    assert "between the always-valid bounds, each at 95 %" in said
    header = " ".join(said)
    assert "The bands are always-valid bounds, which decide on harm and guardrails alone." in header
    assert "Success is decided by the group-sequential bounds (obrien-fleming spending), at interim looks." in header
    assert "takes more" not in header


def test_bounds_of_several_tests_are_said_to_be_of_one() -> None:
    """Success of one among several takes more than its own bound."""
    found = spending(report(REVENUE, arms=("bold", "plain")), 5)
    assert "These are the bounds of one test; for one of 2 to be shown takes more." in " ".join(texts(plot.draw(found, points(found))))


def test_each_interim_look_has_its_bound() -> None:
    """As the test itself has it, at what was gathered; none where too little of alpha was spent."""
    found = spending(report(REVENUE), 14)
    made = found["metrics"]["revenue"]["differences"]["treatment"]["interims"]
    made[0] |= {"fraction": 0.001, "information": 0.001}
    made[-1]["information"] = 1.2
    panel = interims.of(found, "revenue", "treatment")
    assert panel.bounds[0] is None
    assert panel.bounds == group_sequential.bounds(0.05, [look["fraction"] for look in made], information=panel.information)
    assert (panel.z, panel.information[-1]) == ([look["z"] for look in made], 1.2)
    assert {"interim-z", "interim-bound"} <= set(ids(plot.draw(found, points(found))))


def test_before_the_first_interim_look() -> None:
    """That there is none is said where it would be."""
    found = spending(report(REVENUE), 0)
    svg = plot.draw(found, points(found))
    assert "no interim look yet" in texts(svg)
    assert "interim-z" not in ids(svg)


@pytest.mark.parametrize(
    ("test", "metric", "said"),
    [
        ("fixed-horizon", "revenue", True),
        ("always-valid", "revenue", False),
        ("fixed-horizon", "latency", False),
        ("group-sequential", "latency", False),
    ],
)
def test_another_test_is_named_only_where_it_decides(test: str, metric: str, said: bool) -> None:
    """Not where the band is the test, nor where no success metric is drawn."""
    found = report(REVENUE, LATENCY)
    found["design"] = {**SPENDING, "test": test}
    svg = plot.draw(found, points(found), [metric])
    assert ("Success is decided once, at the horizon, by a fixed-horizon test." in " ".join(texts(svg))) is said
    assert "interim-z" not in ids(svg)


def test_a_report_has_what_its_bounds_are_drawn_from(design_of: Any, snapshot_of: Any, summary_of: Any) -> None:
    """Where the statistic reaches the bound that is drawn, and not before, the report says that it is shown."""
    design, evidence = design_of(maximum=1.0, interim_looks=4), NO_EVIDENCE
    for k, n in enumerate((600, 900, 1300), start=1):
        arms = {arm: {"revenue": summary_of(n, mean, 1.0)} for arm, mean in (("control", 1.0), ("treatment", 1.1))}
        snapshot = snapshot_of(arms, at=STARTED + 4000.0 * k)
        evidence = looks.look(design, snapshot, evidence)
        found = reported("e1", "shop", design, snapshot, evidence)
        row = {"look": k, "treatment": "treatment", "metric": "revenue", "at": snapshot.at, "estimate": 0.1, "lower": None, "upper": None}
        panel = plot._panels(found, "revenue", [row])[1]
        reached = any(bound is not None and z >= bound for z, bound in zip(panel.z, panel.bounds, strict=True))
        assert reached is (found["metrics"]["revenue"]["differences"]["treatment"]["shown"] is not None)
        assert reached is (k > 1)
        assert "interim-z" in ids(plot.draw(found, [row]))


@given(st.text("abc_W. -", max_size=60), st.floats(0.5, 4.0))
def test_wrapped_lines_fit_and_leave_nothing_out(text: str, wide: float) -> None:
    """But the spaces at which they were broken."""
    lines = words.wrapped(text, wide)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(words.inches(line) <= wide for line in lines)


@given(st.floats(0.0, 9.0), st.floats(0.1, 3.0), st.floats(3.0, 9.0))
def test_held_texts_end_inside(place: float, width: float, wide: float) -> None:
    """And begin at their place where they can."""
    left = words.held(place, width, wide)
    assert 0.0 <= left <= wide - width + 1e-12
    assert left == pytest.approx(place if place + width <= wide else wide - width)


def test_a_phase_of_too_many_arms_is_named_alone() -> None:
    """Where its shares are wider than the panel."""
    found = report(REVENUE, arms=tuple(f"arm{k}" for k in range(30)), looks=round(3600.0 / EVERY))
    assert [label.text for label in phases.labels(found, 3.8)[0]] == ["phase 1"]
    assert phases.labels(found, 20.0)[0][0].text.startswith("phase 1 (90:0.333:")
