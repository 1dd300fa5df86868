"""How far answers are from the truth, in the units in which decay is looked for."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from core.values import Label, Output, Value
from experiments import losses
from experiments.drift.decay import DecayLoss
from models.package import Package
from models.profile import numbers
from models.signature import Signature


def loss_of(signature: Signature) -> DecayLoss:
    """Right or wrong of a classifier, the absolute error of any other model."""
    return "error" if signature.task == "classification" else "absolute"


def with_losses(package: Package) -> Package:
    """The package, its card with the distribution of the losses on the sample where its true values are known.

    A model that learns while it serves will be another one by then, and an untaught one has nothing to say yet: neither has any.
    """
    card, tried = package.card, package.tried
    if card.profile is None or card.learns or tried is None or len(tried.outputs) != len(tried.truths):
        return package
    kind = loss_of(card.signature)
    found = measured(kind, tried.outputs, tried.truths)
    if all(loss is None for loss in found):
        return package
    return package._replace(card=replace(card, profile=replace(card.profile, losses={kind: numbers(found)})))


def measured(kind: DecayLoss, outputs: Sequence[Output], truths: Sequence[Value | Label]) -> list[Value]:
    """The loss of each answer; None where it or the truth has none."""
    return [None if truth is None else losses.loss(kind, output, truth) for output, truth in zip(outputs, truths, strict=True)]
