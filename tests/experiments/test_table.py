"""The report on a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from experiments.evidence import NO_EVIDENCE
from experiments.looks import look
from experiments.methods import joint
from experiments.methods.joint import alone
from experiments.methods.summary import EMPTY, Summary, of
from experiments.metric import Metric
from experiments.report import report
from experiments.snapshot import Snapshot
from experiments.table import table
from experiments.text import WIDTH

Build = Callable[..., Any]


@pytest.fixture
def rendered(design_of: Build) -> Build:
    def build(snapshot: Snapshot, *metrics: Metric, **fields: Any) -> str:
        design = design_of(*metrics, **fields)
        return table(report("e1", "credit", design, snapshot, look(design, snapshot, NO_EVIDENCE)))

    return build


def test_all_of_it(rendered: Build, snapshot_of: Build, summary_of: Build) -> None:
    """Verdict first, then arms, means with intervals, differences by phase, phases, checks, counts and notes."""
    phase = {
        "control": {"revenue": summary_of(1000, 1.0, 1.0), "latency": summary_of(1000, 1.0, 1.0)},
        "treatment": {"revenue": summary_of(1000, 1.2, 1.0), "latency": summary_of(1000, 1.0, 1.0)},
    }
    metrics = Metric(name="revenue"), Metric(name="latency", role="guardrail", direction="decrease", margin=0.3)
    text = rendered(snapshot_of(phase, phase), *metrics)
    lines = text.splitlines()
    assert lines[0] == "PROMOTE  experiment e1 on endpoint credit"
    assert "revenue is shown to be better" in lines[1]
    for expected in (
        "  control     2000  1     [0.95616, 1.0438]",
        "  treatment - control: +0.2 (se 0.031623), relative +20.00%",
        "    phase 2: +0.2 (se 0.044721), share 50.0%",
        "latency (guardrail, continuous, to decrease, window 3600 s, margin 0.3)",
        "    1  2023-11-14T22:13:20.000Z  2023-11-15T22:13:20.000Z  control 50.0%, treatment 50.0%",
        "  ok      unlogged: 0 of 4000 predictions were answered but not logged (at most 1% may be)",
        "outcomes  counted 0, outside_window 0, unanalysed 0, quarantined 0, duplicates 0",
        "excluded  immature 0, cut 0, two_arms 0, forced 0, unlogged 0",
    ):
        assert expected in lines
    assert "(better since look 1)" in text
    assert "(holds since look 1)" in text


def test_nothing_is_wider_than_a_terminal_or_cut_off(rendered: Build, snapshot_of: Build, summary_of: Build) -> None:
    """With the longest names and many arms every line fits, and every word of the report is still there."""
    names = ["control", *(f"{letter * 99}{letter}" for letter in "abcd")]
    metric = Metric(name="m" * 100)
    arms = {name: {metric.name: summary_of(600, 1.0, 1.0)} for name in names}
    text = rendered(snapshot_of(arms, arms), metric)
    assert max(map(len, text.splitlines())) <= WIDTH
    squeezed = "".join(text.split())
    for name in [*names, metric.name]:
        assert name in squeezed


def test_refusals_are_said(rendered: Build, snapshot_of: Build) -> None:
    """What may not be computed shows its reason in place of figures."""
    text = rendered(snapshot_of({"control": {"revenue": of([1.0, 2.0])}, "treatment": {"revenue": EMPTY}}), Metric(name="revenue"))
    assert text.startswith("NOT_ENOUGH_DATA")
    assert "treatment - control: refused, treatment has 0 matured units" in text
    assert not re.search(r"\b(nan|inf)\b", text)


def test_before_anything(rendered: Build) -> None:
    """An experiment without a phase has a table too."""
    assert rendered(Snapshot(0.0, 0.0, []), Metric(name="revenue")).startswith("NOT_ENOUGH_DATA")


def sale(n: int, converted: int) -> dict[str, Summary]:
    return {"sale": Summary(n, converted / n, converted * (1.0 - converted / n))}


def test_few_conversions(rendered: Build, snapshot_of: Build) -> None:
    """While the exact test decides its line is there with who converted, also where nothing else can be said; later it is not."""
    metric = Metric(name="sale", kind="binary")
    text = rendered(snapshot_of({"control": sale(600, 5), "treatment": sale(600, 24)}), metric)
    assert re.search(r"^    exact test while few convert \(control 5, treatment 24\): p 0\.\d+, harm p 1$", text, re.MULTILINE)
    refused = rendered(snapshot_of({"control": sale(20, 20), "treatment": sale(20, 0)}), metric)
    assert "treatment - control: refused, the values do not vary within the arms" in refused
    assert "exact test while few convert (control 20, treatment 0)" in refused
    assert "exact test" not in rendered(snapshot_of({"control": sale(600, 50), "treatment": sale(600, 60)}), metric)


def test_a_group_sequential_test(rendered: Build, snapshot_of: Build, summary_of: Build) -> None:
    """The line of the test that decides names it, with its interim looks; before the first of them what it waits for."""
    snapshot = snapshot_of({arm: {"revenue": summary_of(1000, 1.0, 1.0)} for arm in ("control", "treatment")})
    text = rendered(snapshot, Metric(name="revenue"), maximum=1.0)
    assert "group-sequential: lower bound -" in text
    assert re.search(r"^    1 interim look, the last at 81\.0% of the maximum: z 0$", text, re.MULTILINE)
    assert "waiting: the first of 14 equal steps to 1 planned samples" in rendered(snapshot, Metric(name="revenue"), maximum=1.0, mde=0.01)


def test_what_a_figure_was_made_with(rendered: Build, snapshot_of: Build, rng: np.random.Generator) -> None:
    """Kind, cap, covariate and the values that were read are said above the figures."""
    x = rng.gamma(4.0, 1.0, 900)
    adjusted, plain = joint.of(2.0 * x + rng.normal(size=900), x), alone(of(x))
    metrics = {
        Metric(name="spent", covariate="earlier", estimator="lin"): adjusted,
        Metric(name="rate", kind="ratio", denominator="views", role="info"): adjusted,
        Metric(name="wait", kind="quantile", quantile=0.95, role="info", direction="decrease"): plain,
        Metric(name="loss", kind="label_loss", loss="squared", role="info"): plain,
        Metric(name="capped", cap=9.5, role="info"): plain,
        Metric(name="frozen", cap_percentile=99.0, role="info"): plain,
    }
    arm = {metric.name: each for metric, each in metrics.items()}
    text = rendered(snapshot_of({"control": arm, "treatment": arm}), *metrics)
    for expected in (
        "rate (info, ratio views, to increase, window 3600 s)",
        "wait (info, quantile 0.95, to decrease, window 3600 s)",
        "loss (info, label_loss squared, to increase, window 3600 s)",
        "  as of the last look that scanned: 0 values",
        "  values above 9.5 count as that (declared)",
        "  values above - count as that (percentile 99 of all arms together)",
        "  treatment - control: refused, the cap at percentile 99 is frozen at a look with enough units",
    ):
        assert expected in text.splitlines()
    assert re.search(r"^  covariate earlier \(lin\), explains 9\d\.\d% of the variance$", text, re.MULTILINE)


def test_slices(rendered: Build, snapshot_of: Build, summary_of: Build) -> None:
    """Each part has its units, difference and adjusted p value, or the reason for none; a key without parts says so."""
    arms = {arm: {"revenue": summary_of(700, mean, 1.0)} for arm, mean in (("control", 1.0), ("treatment", 1.2))}
    snapshot = snapshot_of(arms)
    parts = {"nl": snapshot.phases, "de": [msgspec.structs.replace(snapshot.phases[0], arms={})]}
    text = rendered(msgspec.structs.replace(snapshot, slices={"country": parts}), Metric(name="revenue"), slices=["country", "device"])
    assert "slice country (exploratory: it decides nothing)" in text
    assert re.search(r"^  nl +revenue +treatment +700:700 +\+0\.2 \[0\.09\d+, 0\.30\d+\] +0\.000\d+$", text, re.MULTILINE)
    assert re.search(r"^  de +revenue +treatment +0:0 +no phase has 2 matured units in both … +-$", text, re.MULTILINE)
    assert "slice device: no unit has matured yet" in text


def test_several_treatments(rendered: Build, snapshot_of: Build, summary_of: Build) -> None:
    """Each treatment has its verdict and reason in a line, and each its difference."""
    arms = {arm: {"revenue": summary_of(1000, mean, 1.0)} for arm, mean in (("control", 1.0), ("a", 1.4), ("b", 0.6))}
    text = rendered(snapshot_of(arms), Metric(name="revenue"))
    assert text.startswith("ROLLBACK")
    assert "  a: promote: revenue is shown to be better" in text
    assert "  b: rollback: revenue is shown to be worse" in text
    assert "  a - control: +0.4" in text
    assert "  b - control: -0.4" in text
