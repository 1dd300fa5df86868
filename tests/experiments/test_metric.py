"""A metric is checked when it is made: each rule by the field it names and what it says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from core.errors import Invalid
from experiments.metric import LABEL, Metric
from experiments.units import Window

RATIO = {"kind": "ratio", "denominator": "views"}
QUANTILE = {"kind": "quantile", "quantile": 0.95}
LOSS = {"kind": "label_loss", "loss": "squared"}

WRONG: list[tuple[dict[str, Any], str, str]] = [
    # fields, the one that is named, what the message says
    ({"name": ""}, "metrics.name", "metrics.name: expected a name of 1 to 100"),
    ({"name": "a?"}, "metrics.name", "metrics.name: expected a name"),
    ({"kind": "ratio"}, "denominator", "metrics.m.denominator: a ratio metric needs one"),
    ({"denominator": "views"}, "denominator", "only a ratio metric has one, this is a continuous metric"),
    ({**RATIO, "denominator": "no name"}, "metrics.m.denominator", "metrics.m.denominator: expected a name"),
    ({"kind": "quantile"}, "quantile", "metrics.m.quantile: a quantile metric needs one"),
    ({"quantile": 0.95}, "quantile", "only a quantile metric has one, this is a continuous metric"),
    ({**QUANTILE, "quantile": 0.0}, "quantile", "expected a number between 0 and 1 such as 0.95, got 0.0"),
    ({**QUANTILE, "quantile": 95}, "quantile", "expected a number between 0 and 1 such as 0.95, got 95"),
    ({**QUANTILE, "quantile": float("nan")}, "quantile", "expected a number between 0 and 1"),
    ({"kind": "label_loss"}, "loss", "metrics.m.loss: a label_loss metric needs one"),
    ({"kind": "binary", "loss": "error"}, "loss", "only a label_loss metric has one, this is a binary metric"),
    ({"outcome": "no name"}, "metrics.m.outcome", "metrics.m.outcome: expected a name"),
    ({**LOSS, "outcome": "revenue"}, "outcome", "a label_loss metric is computed from the outcome label"),
    ({"source": "latency"}, "source", "only a quantile metric can be of the latency, and it then has no outcome"),
    ({**QUANTILE, "source": "latency", "outcome": "wait"}, "source", "only a quantile metric can be of the latency"),
    ({"kind": "binary", "cap": 1.0}, "cap", "metrics.m.cap: a binary metric has none"),
    ({**RATIO, "cap": 1.0}, "cap", "a ratio metric has none"),
    ({**QUANTILE, "cap_percentile": 99.0}, "cap", "a quantile metric has none"),
    ({"cap": 1.0, "cap_percentile": 99.0}, "cap", "expected either cap or cap_percentile, got both"),
    ({"cap": 0.0}, "cap", "metrics.m.cap: expected a finite number above 0, got 0.0"),
    ({"cap": float("inf")}, "cap", "expected a finite number above 0, got inf"),
    ({"cap_percentile": 49.9}, "cap_percentile", "expected a percentile from 50 to below 100 such as 99, got 49.9"),
    ({"cap_percentile": 100.0}, "cap_percentile", "expected a percentile from 50 to below 100"),
    ({"cap_percentile": float("nan")}, "cap_percentile", "expected a percentile from 50 to below 100"),
    ({**RATIO, "covariate": "earlier"}, "covariate", "metrics.m.covariate: a ratio metric has none"),
    ({**QUANTILE, "covariate": "champion_score"}, "covariate", "a quantile metric has none"),
    ({"estimator": "lin"}, "estimator", "metrics.m.estimator: only a metric with a covariate has one"),
    ({"window_seconds": 0.0}, "window_seconds", "metrics.m.window_seconds: expected a finite number above 0, got 0.0"),
    ({"window_seconds": float("nan")}, "window_seconds", "expected a finite number above 0, got nan"),
    ({"lateness_seconds": -1.0}, "lateness_seconds", "metrics.m.lateness_seconds: expected 0 or more, got -1.0"),
    ({"lateness_seconds": float("inf")}, "lateness_seconds", "expected 0 or more, got inf"),
    ({"role": "guardrail", "margin": -0.1}, "margin", "metrics.m.margin: expected a finite number above 0, got -0.1"),
    ({"margin": 0.1}, "margin", "only a guardrail has one, the role of this metric is success"),
    ({"role": "info", "margin": 0.1}, "margin", "only a guardrail has one, the role of this metric is info"),
    ({"weight": 0.0}, "weight", "metrics.m.weight: expected a finite number above 0, got 0.0"),
    ({"role": "guardrail", "weight": 1.0}, "weight", "only a success metric has one, the role of this metric is guardrail"),
]


@pytest.mark.parametrize(("fields", "field", "message"), WRONG, ids=[f"{row[1]}-{i}" for i, row in enumerate(WRONG)])
def test_wrong(fields: dict[str, Any], field: str, message: str) -> None:
    """Each rule is refused by the name of its field, with what was expected; from JSON too."""
    with pytest.raises(Invalid) as caught:
        Metric(**{"name": "m", **fields})
    assert message in caught.value.message
    assert caught.value.field == field
    with pytest.raises(Invalid):
        msgspec.convert({"name": "m", **fields}, Metric)


RIGHT: list[dict[str, Any]] = [
    {},
    {"kind": "count", "cap": 10.0, "weight": 2.0},
    {"kind": "binary", "direction": "decrease", "covariate": "earlier", "estimator": "lin"},
    {**RATIO, "role": "info", "window_seconds": 60.0, "lateness_seconds": 0.0},
    {**QUANTILE, "source": "latency", "role": "guardrail", "margin": 0.01, "direction": "decrease"},
    {**LOSS, "outcome": LABEL, "cap_percentile": 50.0, "covariate": "champion_score"},
]


@pytest.mark.parametrize("fields", RIGHT, ids=lambda fields: fields.get("kind", "default"))
def test_right(fields: dict[str, Any]) -> None:
    """What follows the rules comes back from JSON as it went."""
    metric = Metric(name="m", **fields)
    assert msgspec.json.decode(msgspec.json.encode(metric), type=Metric) == metric


def test_unknown_fields_and_words() -> None:
    """A misspelt field or word of a declaration is an error, not a default."""
    for wrong in ({"wieght": 1.0}, {"kind": "mean"}, {"role": "harm"}, {"direction": "up"}, {"covariate": "age"}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"name": "m", **wrong}, Metric)


@pytest.mark.parametrize(
    ("fields", "numerator", "counts_all"),
    [
        ({}, "m", True),
        ({"kind": "count", "outcome": "clicks"}, "clicks", True),
        ({"kind": "binary"}, "m", True),
        (RATIO, "m", False),
        (QUANTILE, "m", False),
        ({**QUANTILE, "source": "latency"}, None, False),
        (LOSS, LABEL, False),
    ],
)
def test_what_it_is_computed_from(fields: dict[str, Any], numerator: str | None, counts_all: bool) -> None:
    """Sums count a unit without outcomes as 0, the others leave it out; the outcomes are the metric's own, another's, labels or none."""
    metric = Metric(name="m", **fields)
    assert (metric.numerator, metric.counts_all) == (numerator, counts_all)


def test_its_window_and_sign() -> None:
    """A window of its own, each part by itself, comes before the design's; the sign makes of a difference an improvement."""
    assert Metric(name="m").window(60.0, 5.0) == Window(60.0, 5.0)
    assert Metric(name="m", window_seconds=30.0).window(60.0, 5.0) == Window(30.0, 5.0)
    assert Metric(name="m", lateness_seconds=0.0).window(60.0, 5.0) == Window(60.0, 0.0)
    assert [Metric(name="m", direction=way).sign for way in ("increase", "decrease")] == [1.0, -1.0]
