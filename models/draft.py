"""A model on its way into a package, whatever its kind."""

from __future__ import annotations

from typing import NamedTuple

from core.values import Label, Output
from models.artefact import Format
from models.compile import Compiled
from models.estimator import Layout
from models.learner.settings import RiverCard
from models.sample import Sample
from models.signature import Signature


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
