"""Does the answer stay, or move the right way, when one feature is changed: what is asked, and how the answers are judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import UNSET

from core.errors import Invalid
from core.values import Label, Output, Value
from experiments.batch.suite import Behaviour, Change, written
from experiments.losses import true_class
from experiments.methods.proportion import proportion

MOST_ROWS = 2000
"""Rows on which behaviour is tried, chosen at random."""

ROUNDING = 1e-9
"""A value that moves by less than this share of itself stays: a batch of other rows may round otherwise."""


def changed(values: Sequence[Value], change: Change, rng: np.random.Generator) -> list[Value]:
    """A feature's values (rows,) as the change leaves them; what is missing stays missing, unless `set`. Raises Invalid on a text that
    would have to be a number."""
    if change.set is not UNSET:
        return [change.set] * len(values)
    if change.replace is not None:
        return [change.replace.get(written(value), value) for value in values]
    if change.permute:
        return [values[place] for place in rng.permutation(len(values))]
    numbers = _numbers(values)
    if change.noise is not None:
        size = change.noise * float(np.nanstd(numbers)) if np.isfinite(numbers).any() else 0.0
        moved = numbers + rng.normal(0.0, size, numbers.size)
    else:
        moved = numbers * change.times if change.times is not None else numbers + (change.add or 0.0)
    return [None if value is None else _as(value, new) for value, new in zip(values, moved.tolist(), strict=True)]


def judge(check: Behaviour, before: Sequence[Output], after: Sequence[Output], positive: Label | None, alpha: float) -> dict[str, Any]:
    """In how many of the rows that were changed the answer did as is demanded, and whether that is the share demanded.

    Raises Invalid where the label of a directional check has no probability.
    """
    label = positive if check.label is None else check.label
    kept = [_kept(check, left, right, label) for left, right in zip(before, after, strict=True)]
    found = proportion(sum(kept), len(kept), alpha)
    return {**found, "passed": bool(kept) and found["share"] >= check.share, "worst": _worst(check, before, after, label)}


def _kept(check: Behaviour, before: Output, after: Output, label: Label | None) -> bool:
    if check.answer is None and check.tolerance is None and before.label is not UNSET:
        return before.label == after.label
    if check.answer is None:
        return _apart(before, after) <= (check.tolerance or 0.0) + ROUNDING * _size(before)
    rise = _aimed(after, label) - _aimed(before, label)
    slack = (check.tolerance or 0.0) + ROUNDING * _size(before)
    return rise >= -slack if check.answer == "not_fall" else rise <= slack


def _worst(check: Behaviour, before: Sequence[Output], after: Sequence[Output], label: Label | None) -> float | None:
    """The largest move that was not to be, in the units of the answer; None where answers are labels alone."""
    moves = []
    for left, right in zip(before, after, strict=True):
        if check.answer is None:
            if left.probabilities is UNSET and left.value is UNSET:
                return None
            moves.append(_apart(left, right))
        else:
            rise = _aimed(right, label) - _aimed(left, label)
            moves.append(max(0.0, -rise if check.answer == "not_fall" else rise))
    return max(moves, default=None)


def _apart(before: Output, after: Output) -> float:
    """The difference of the values, or the largest of the probabilities; of labels alone 0 or 1."""
    if before.value is not UNSET:
        return abs((after.value or 0.0) - (before.value or 0.0)) if after.value is not UNSET else 1.0
    if before.probabilities is UNSET or after.probabilities is UNSET:
        return float(before.label != after.label)
    keys = {*before.probabilities, *after.probabilities}
    return max(abs(before.probabilities.get(key, 0.0) - after.probabilities.get(key, 0.0)) for key in keys)


def _aimed(output: Output, label: Label | None) -> float:
    if output.value is not UNSET:
        return output.value or 0.0
    if label is None:
        raise Invalid("label: the model has more than two classes: expected the label whose probability is meant", field="label")
    key = true_class(output, label)
    if key is None or output.probabilities is UNSET:
        raise Invalid(f"label: the model gives no probability of {label!r}", field="label")
    return output.probabilities[key]


def _size(output: Output) -> float:
    return max(1.0, abs(output.value)) if isinstance(output.value, float) else 1.0


def _numbers(values: Sequence[Value]) -> np.ndarray[Any, np.dtype[np.float64]]:
    wrong = next((value for value in values if isinstance(value, str | bool)), None)
    if wrong is not None:
        raise Invalid(f"change: add, times and noise are of numbers, and the feature holds {wrong!r}", field="change")
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _as(value: Value, new: float) -> Value:
    """A whole number stays one where it can."""
    return int(new) if isinstance(value, int) and new.is_integer() else new
