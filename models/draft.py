"""A model on its way into a package, whatever its kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from core.errors import Rejected
from core.values import Label, Output
from models import sample as samples
from models.artefact import Format
from models.compile import Compiled
from models.estimator import Layout
from models.learner.settings import RiverCard
from models.sample import Sample
from models.signature import Feature, Signature, infer, numbered, unseen

UNCHECKED = "no sample: no golden rows, no profile"
"""The note of a model that cannot be compared with anything, where there is no sample."""


class Draft(NamedTuple):
    """A model on its way into a package; `sample` and its answers `outputs` are None where there is no sample.

    `parameters` are the estimator's own, `packages` the distributions that its parts come from.
    """

    data: bytes
    format: Format
    layout: Layout | None
    compiled: Compiled | None
    tolerance: float
    signature: Signature
    sample: Sample | None
    outputs: list[Output]
    notes: list[str]
    river: RiverCard | None = None
    parameters: dict[str, Label] = {}  # noqa: RUF012 - nobody changes it
    packages: tuple[str, ...] = ()


def take(
    table: Sample | None, names: Sequence[str] | None, count: int | None, target: str | None
) -> tuple[tuple[Feature, ...], Sample | None, list[str]]:
    """The features of a model that was fitted on `names` or on `count` columns, its part of the sample, and notes."""
    if table is None:
        if names is None and count is None:
            raise Rejected("the model does not say how many columns it takes; give a sample")
        return unseen(names or numbered(count or 0)), None, []
    chosen, extra = samples.select(table, names=names, count=count, target=target)
    notes = [f"columns of the sample that the model does not take: {', '.join(extra)[:500]}"] if extra else []
    return infer(chosen.columns), chosen, notes
