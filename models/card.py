"""The card of a version: all that is known of it, stored beside its blobs."""

from __future__ import annotations

import msgspec

from core.values import Label
from models.artefact import Format
from models.compile import Compiled
from models.estimator import Layout
from models.learner.settings import RiverCard
from models.profile import Profile
from models.remote.reference import PREFIX
from models.signature import Signature, Task

RUNTIMES = ("linear", "onnx", "treelite", "river", "remote", "sklearn")
"""Who answers for a version."""


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What is served and how it came to be.

    `blobs` maps a role (`artefact`, `golden`, `code`) to the SHA-256 of its content. `layout` is what an estimator served natively
    is handed, else None. `compiled`: None where the model came as ONNX or as a file of trees. `tolerance` is the largest difference allowed
    to golden rows. `versions` are those of Python and of the packages that the model was made with and is served with.
    `seconds_per_row` was measured where the model was registered. `river`: what River models say beyond others. `parameters` are the
    simple hyper-parameters that a scikit-learn estimator says it has. `trusted`: types in a skops file that are allowed only because the
    operator trusted them when it was registered.
    """

    signature: Signature
    format: Format
    layout: Layout | None
    blobs: dict[str, str]
    compiled: Compiled | None
    profile: Profile | None
    tolerance: float
    versions: dict[str, str]
    source: str
    source_digest: str
    seconds_per_row: float
    notes: tuple[str, ...] = ()
    river: RiverCard | None = None
    parameters: dict[str, Label] = {}
    trusted: tuple[str, ...] = ()

    @property
    def task(self) -> Task:
        """What it is asked: a classification answers a label, all others a value."""
        return self.signature.task

    @property
    def learns(self) -> bool:
        """Whether it learns while it is served."""
        return self.river is not None and self.river.settings is not None

    @property
    def remote(self) -> str | None:
        """`staging/credit` where another server answers, None where the model is here."""
        return self.source.removeprefix(PREFIX) if self.format == "remote" else None

    @property
    def runtime(self) -> str:
        """One of RUNTIMES."""
        return self.format if self.format in RUNTIMES else "sklearn"
