"""Whether a version passes: each demand of a suite against what was found, with its reason in one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from experiments.batch import slices
from experiments.batch.figures import BETTER, Figure
from experiments.batch.suite import Latency, Memory, Suite, Threshold
from experiments.text import number, p_text


class Check(NamedTuple):
    """One demand. `passed` is None where a slice is too small to be judged."""

    kind: str
    name: str
    passed: bool | None
    reason: str


class Found(NamedTuple):
    """What the demands are held against: metrics of all rows, slices, the comparison (None without another version), and the rest."""

    metrics: Mapping[str, Figure]
    slices: Mapping[str, Any]
    comparison: Mapping[str, Any] | None
    behaviour: Sequence[Mapping[str, Any]]
    latency: Mapping[str, Any] | None
    memory: Mapping[str, Any] | None


def checks(suite: Suite, found: Found) -> list[Check]:
    """Every demand of the suite with its outcome, in the suite's order."""
    made = [one for threshold in suite.thresholds for one in _threshold(threshold, found, suite.alpha)]
    made += [_behaviour(one) for one in found.behaviour]
    made += list(_latency(suite.latency, found.latency)) + list(_memory(suite.memory, found.memory))
    return made


def verdict(made: Sequence[Check]) -> bool | None:
    """Whether all that were judged passed; None where nothing was."""
    judged = [one.passed for one in made if one.passed is not None]
    return all(judged) if judged else None


def _threshold(one: Threshold, found: Found, alpha: float) -> Iterator[Check]:
    if one.not_worse_than is not None:
        yield _not_worse(one, one.not_worse_than, found.comparison, alpha)
    elif one.slice is not None:
        metrics = slices.find(found.slices, one.slice)
        name = f"{one.metric} of {one.slice}"
        if metrics is None:
            yield Check("threshold", name, False, f"{name}: there is no such slice")
        else:
            yield _bounded(one, name, metrics.get(one.metric))
    elif one.per_slice:
        yield from _per_slice(one, found.slices)
    else:
        yield _bounded(one, one.metric, found.metrics.get(one.metric))


def _per_slice(one: Threshold, found: Mapping[str, Any]) -> Iterator[Check]:
    if not found["columns"]:
        yield Check("threshold", one.metric, False, f"{one.metric} per slice: no column was given to cut slices by")
    for column in found["columns"]:
        for each in column["slices"]:
            name = f"{one.metric} of {column['column']}={each['slice']}"
            if each["rows"] < slices.FEWEST:
                yield Check("threshold", name, None, f"{name}: {each['rows']} rows are too few to be judged")
            else:
                yield _bounded(one, name, each["metrics"].get(one.metric))


def _bounded(one: Threshold, name: str, figure: Figure | None) -> Check:
    if figure is None or figure.value is None:
        why = "the model has no such metric" if figure is None or figure.refused is None else figure.refused
        return Check("threshold", name, False, f"{name}: cannot be judged: {why}")
    low, high, what = figure.value, figure.value, name
    if one.at == "bound":
        if figure.lower is None or figure.upper is None:
            return Check("threshold", name, False, f"{name}: there is no interval to judge by: {figure.refused}")
        low, high, what = figure.lower, figure.upper, f"{name} ({number(figure.value)}), at the end of its interval,"
    if one.min is not None and low < one.min:
        return Check("threshold", name, False, f"{what} is {number(low)}, below {one.min:g}")
    if one.max is not None and high > one.max:
        return Check("threshold", name, False, f"{what} is {number(high)}, above {one.max:g}")
    demands = [f"{word} {limit:g}" for word, limit in (("at least", one.min), ("at most", one.max)) if limit is not None]
    return Check("threshold", name, True, f"{what} is {number(low if one.min is not None else high)}, {' and '.join(demands)} as demanded")


def _not_worse(one: Threshold, other: str, comparison: Mapping[str, Any] | None, alpha: float) -> Check:
    name = f"{one.metric} against {other}"
    if comparison is None:
        return Check("not_worse_than", name, False, f"{name}: nothing was compared")
    row = next((each for each in comparison["metrics"] if each["metric"] == one.metric), None)
    if row is None or row["difference"] is None:
        why = comparison.get("refused") or (row and row["refused"]) or "there is no paired test of it"
        return Check("not_worse_than", name, False, f"{name}: cannot be judged: {why}")
    worse = -row["difference"] if BETTER[one.metric] == "higher" else row["difference"]
    told = f"{name}: {number(row['left'])} against {number(row['right'])}"
    if one.margin is not None:
        return _within(one.margin, row, worse, name, told, BETTER[one.metric] == "higher")
    if row["p_worse"] is None:  # without any spread the difference itself is all there is
        return Check("not_worse_than", name, worse <= 0.0, f"{told}; no test: {row['refused']}")
    passed = row["p_worse"] > alpha
    return Check(
        "not_worse_than", name, passed, f"{told}, {'not ' if passed else ''}significantly worse (one-sided p {p_text(row['p_worse'])})"
    )


def _within(margin: float, row: Mapping[str, Any], worse: float, name: str, told: str, higher: bool) -> Check:
    """Non-inferiority: the one-sided bound must exclude a loss of the margin."""
    bound = row["bound"]
    if bound is None:  # the same answers on all rows
        return Check("not_worse_than", name, worse <= 0.0, f"{told}; no bound: {row['refused']}")
    most = -bound if higher else bound
    passed = most < margin
    return Check(
        "not_worse_than",
        name,
        passed,
        f"{told}, worse by at most {number(max(most, 0.0))}, {'within' if passed else 'beyond'} the margin {margin:g}",
    )


def _behaviour(one: Mapping[str, Any]) -> Check:
    name = one["name"]
    if "refused" in one:
        return Check(one["kind"], name, False, f"{name}: {one['refused']}")
    if one["of"] == 0:
        return Check(one["kind"], name, False, f"{name}: the change alters no row")
    share = f"in {one['share']:.1%} of {one['of']} rows"
    return Check(one["kind"], name, one["passed"], f"{name}: {one['did']} {share}, {one['demanded']:.1%} demanded")


def _latency(limits: Latency | None, found: Mapping[str, Any] | None) -> Iterator[Check]:
    if limits is None:
        return
    for name in ("p50_ms", "p95_ms", "p99_ms"):
        limit = getattr(limits, name)
        if limit is not None:
            yield _limit("latency", f"latency {name.removesuffix('_ms')}", None if found is None else found[name], limit, "ms")
    if limits.times_champion is not None:
        ratio = None if found is None or found.get("ratio") is None else found["ratio"]["value"]
        yield _limit("latency", "latency as a multiple of the other version's", ratio, limits.times_champion, "times")


def _memory(limits: Memory | None, found: Mapping[str, Any] | None) -> Iterator[Check]:
    if limits is not None and limits.peak_mb is not None:
        peak = None if found is None or found["peak_bytes"] is None else found["peak_bytes"] / 1e6
        yield _limit("memory", "memory", peak, limits.peak_mb, "MB")


def _limit(kind: str, name: str, value: float | None, limit: float, unit: str) -> Check:
    if value is None:
        return Check(kind, name, False, f"{name}: was not measured")
    passed = value <= limit
    return Check(kind, name, passed, f"{name} is {value:.4g} {unit}, {'at most' if passed else 'above'} {limit:g}")
