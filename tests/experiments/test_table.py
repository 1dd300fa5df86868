"""The report on a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from experiments.evidence import NO_EVIDENCE
from experiments.looks import look
from experiments.methods.summary import EMPTY, of
from experiments.metric import Metric
from experiments.report import report
from experiments.snapshot import Snapshot
from experiments.table import table
from experiments.text import WIDTH

Build = Callable[..., Any]


@pytest.fixture
def rendered(design_of: Build) -> Build:
    def build(snapshot: Snapshot, *metrics: Metric) -> str:
        design = design_of(*metrics)
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
