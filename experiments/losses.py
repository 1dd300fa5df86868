"""Is an answer right, and how far off is it: one answer against the true label that came for it."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from msgspec import UNSET

from core.values import Label, Output, read_label

Loss: TypeAlias = Literal["error", "log_loss", "squared", "absolute"]
"""`error` is 0 or 1 and needs a label, `log_loss` needs probabilities, `squared` and `absolute` need a value."""

LARGEST = 1e150
"""No loss counts as more: the squares of a hundred million of them can still be added up."""

OF_VALUES: tuple[Loss, ...] = ("squared", "absolute")
"""Losses of a regressor's values; the others are of a classifier's labels."""

LEAST_PROBABILITY = 1e-15
"""A true label that was given less counts as given this: a logarithmic loss is then at most 34.5, and finite."""


def same(own: Label, label: Label) -> bool:
    """Whether `label` names the class `own`, which has the type that it has in the model: so 1, 1.0, true, "1" and "true" name the class 1.

    A label comes from a client, in JSON or CSV. Where both are text they must be equal: "01" is another class than "1".
    """
    if isinstance(own, str):
        return own == label if isinstance(label, str) else own == str(label) or read_label(own) == label
    return own == (read_label(label) if isinstance(label, str) else label)


def is_right(output: Output, label: Label) -> bool | None:
    """Whether a classifier answered the true label, which one that had nothing to say did not; None where the answer is a regressor's."""
    if output.label is UNSET:
        return None
    return output.label is not None and same(output.label, label)


def true_class(output: Output, label: Label) -> str | None:
    """The key of the true label among the answer's probabilities; None where the model has no such class, or gave no probabilities."""
    if output.probabilities is UNSET:
        return None
    if str(label) in output.probabilities:
        return str(label)
    text = isinstance(output.label, str)
    return next((key for key in output.probabilities if same(key if text else read_label(key) or 0, label)), None)


def loss(kind: Loss, output: Output, label: Label) -> float | None:
    """The loss of one answer, 0.0 where it could not be better and always finite; None where the answer or the label does not allow it.

    `error`: 0 where the label is right, else 1. `log_loss`: −ln of the probability given to the true label, in nats (Good 1952), with
    0 for a class that the model does not have, clipped at 1e-15. `squared`, `absolute`: of value − label, which a text has none of.
    """
    if kind == "error":
        right = is_right(output, label)
        return None if right is None else float(not right)
    if kind == "log_loss":
        return _log_loss(output, label)
    if output.value is UNSET or output.value is None or isinstance(label, str):
        return None
    size = abs(output.value - label)
    return min(size if kind == "absolute" else size * size, LARGEST)


def measured(kind: Loss | None, value: Label, answer: Output | None) -> float | None:
    """What an outcome is worth: without a loss its own number, with one the loss of the answer that it labels.

    None where it says nothing: a text where a number is needed, or a label of an answer that has no such loss.
    """
    if kind is not None:
        return None if answer is None else loss(kind, answer, value)
    return None if isinstance(value, str) else float(value)


def best_loss(output: Output) -> Loss:
    """The loss that tells most of such answers: log loss with probabilities, error with labels alone, squared with values."""
    if output.value is not UNSET:
        return "squared"
    return "error" if output.probabilities is UNSET else "log_loss"


def score(output: Output) -> float | None:
    """The probability of the last class, where there are two; else None."""
    if output.probabilities is UNSET or len(output.probabilities) != 2:
        return None
    return list(output.probabilities.values())[1]


def is_positive(output: Output, label: Label) -> bool | None:
    """Whether the true label is the last of two classes; None where there are not two, or it is neither."""
    key = true_class(output, label)
    if key is None or output.probabilities is UNSET or len(output.probabilities) != 2:
        return None
    return key == list(output.probabilities)[1]


def _log_loss(output: Output, label: Label) -> float | None:
    if output.probabilities is UNSET:
        return None
    key = true_class(output, label)
    probability = 0.0 if key is None else output.probabilities[key]
    return -math.log(min(1.0, max(LEAST_PROBABILITY, probability))) + 0.0
