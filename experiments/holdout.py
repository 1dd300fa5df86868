"""Units held out beside those that were treated: what both brought, how well both were answered, and by how much they differ.

Units are randomised, so they are what is counted: a figure per unit is a mean of their totals, a figure per row is a ratio of two of their
totals, with a variance by the delta method (see `methods.ratio`). All of it is of a fixed horizon: it holds for one look at a range that
was chosen before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from core.errors import Refused
from experiments.methods import joint, means, ratio, srm, summary
from experiments.methods.joint import Joint
from experiments.methods.summary import Summary
from experiments.text import Data, fitted, grid, number, p_text, span

Population: TypeAlias = Literal["holdout", "treated"]
POPULATIONS: tuple[Population, ...] = ("holdout", "treated")

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
ALPHA = 0.05
FEWEST = 30
"""Units of a population below which the report says that they are few."""
HORIZON = (
    "fixed horizon: each p-value and .95 interval holds for one look at a range that was chosen before; several of them are not adjusted"
)


class Pairs(NamedTuple):
    """A measure of the units of a population: their totals `y`, and what those are per: `x`, empty where they are per unit."""

    y: Sequence[float]
    x: Sequence[float] = ()


def compare(holdout: Pairs, treated: Pairs) -> dict[str, Any]:
    """The means of both with their intervals, and treated less holdout with a two-sided test; `refused` where that cannot be computed."""
    per_row = bool(holdout.x or treated.x)
    sides: dict[str, Any] = {
        name: {"units": len(pairs.y), "mean": _mean(pairs), **_interval(pairs)}
        for name, pairs in zip(POPULATIONS, (holdout, treated), strict=True)
    }
    return {"per": "row" if per_row else "unit", **sides, "difference": _difference(holdout, treated, per_row)}


def balance(units: Mapping[Population, int], share: float) -> dict[str, Any]:
    """Whether as many units are held out as the share says (Pearson's χ²); `refused` where there are too few to tell."""
    counts = [units[name] for name in POPULATIONS]
    try:
        return {"expected": share, "p_value": srm.chi_square(counts, [share, 1.0 - share]).p_value}
    except Refused as error:
        return {"expected": share, "refused": error.message}


def distribution(labels: Mapping[str, int], scores: Sequence[float]) -> dict[str, Any]:
    """The share of each answered label, and quantiles of the scores (values, or probabilities of the second of two classes)."""
    total = sum(labels.values())
    quantiles = np.quantile(scores, QUANTILES).tolist() if len(scores) else []
    return {
        "labels": {label: count / total for label, count in sorted(labels.items())},
        "quantiles": {f"{q:g}": each for q, each in zip(QUANTILES, quantiles, strict=False)},
    }


def few(units: Mapping[Population, int]) -> list[str]:
    """A note where a population is so small that its means are far from normal."""
    small = [f"{units[name]} units of the {name}" for name in POPULATIONS if units[name] < FEWEST]
    return [f"{' and '.join(small)}: with fewer than {FEWEST} the intervals are too narrow and the p-values too small"] if small else []


def table(report: Data) -> str:
    """A report (see `flows.holdout_report.report`) as text that ends in a newline."""
    return "\n\n".join("\n".join(row for line in part for row in fitted(line)) for part in map(list, _parts(report)) if part) + "\n"


def _parts(report: Data) -> Iterator[Iterator[str]]:
    yield _head(report)
    yield _answers(report)
    yield iter([report["method"]])
    yield iter(
        grid(["", "per", *POPULATIONS, "treated - holdout", ".95 interval", "p"], [_row(*one) for one in report["measures"].items()])
    )
    yield (
        f"{name}: no difference, {one['difference']['refused']}"
        for name, one in report["measures"].items()
        if "refused" in one["difference"]
    )
    yield iter(report["notes"])


def _head(report: Data) -> Iterator[str]:
    holdout, split = report["holdout"], report["balance"]
    yield f"holdout of {report['endpoint']}: {holdout['share']:.4g} of the units, served by {holdout['version']}"
    yield f"  from {report['from']} to {report['to']}"
    for name in POPULATIONS:
        one = report["populations"][name]
        said = f"{one['predictions']} predictions, of them {one['fallbacks']} by control in its stead"
        yield f"  {name}: {one['units']} units, {one['rows']} rows in {said}"
    yield "  share of units: " + (f"refused, {split['refused']}" if "refused" in split else f"χ² p {p_text(split['p_value'])}")


def _answers(report: Data) -> Iterator[str]:
    found = {name: report["populations"][name]["answers"] for name in POPULATIONS}
    for kind in ("labels", "quantiles"):
        keys = sorted({key for one in found.values() for key in one[kind]})
        if keys:
            yield f"answers: {'share of each label' if kind == 'labels' else 'quantiles of the score'}"
            yield from (
                "  " + line
                for line in grid(["", *keys], [[name, *(number(one[kind].get(key)) for key in keys)] for name, one in found.items()])
            )


def _row(name: str, one: Data) -> list[str]:
    d = one["difference"]
    figures = ["-"] * 3 if "refused" in d else [number(d["estimate"], sign=True), span(d["lower"], d["upper"]), p_text(d["p_value"])]
    return [name, one["per"], *(number(one[each]["mean"]) for each in POPULATIONS), *figures]


def _difference(holdout: Pairs, treated: Pairs, per_row: bool) -> dict[str, Any]:
    try:
        if per_row:
            found = ratio.difference(_joint(holdout), _joint(treated), alternative="two-sided", alpha=ALPHA)
        else:
            found = means.welch(summary.of(holdout.y), summary.of(treated.y), alternative="two-sided", alpha=ALPHA)
    except Refused as error:
        return {"refused": error.message}
    return {key: getattr(found, key) for key in ("estimate", "se", "p_value", "lower", "upper")}


def _mean(pairs: Pairs) -> float | None:
    below = sum(pairs.x) if pairs.x else len(pairs.y)
    return sum(pairs.y) / below if below else None


def _interval(pairs: Pairs) -> dict[str, Any]:
    try:
        lower, upper = means.interval(_summary(pairs), ALPHA)
    except Refused as error:
        return {"refused": error.message}
    return {"lower": lower, "upper": upper}


def _summary(pairs: Pairs) -> Summary:
    return ratio.linearised(_joint(pairs)) if pairs.x else summary.of(pairs.y)


def _joint(pairs: Pairs) -> Joint:
    return joint.of(pairs.y, pairs.x)
