"""One column of a sample beside the same column of a window of rows that were served: counts by cell, nothing else is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Kind: TypeAlias = Literal["numbers", "categories", "buckets"]
Counts: TypeAlias = NDArray[np.int64]
Cuts: TypeAlias = NDArray[np.float64]

NO_CUTS: Cuts = np.zeros(0)


class Counted(NamedTuple):
    """`reference` and `window` count the same cells; `missing` is of both, in this order.

    Of numbers cell i holds cuts[i-1] ≤ x < cuts[i]: the first is below the sample's minimum, the last above its maximum; `means` are
    of both, `scale` is the sample's standard deviation, `discrete` says that the sample has no value between cuts. Of categories each
    cell is one value, and `unseen` counts the values of the window that the sample did not have; rows of `further` ones are not told
    apart. Of buckets each cell holds many values, and none is unseen.
    """

    name: str
    kind: Kind
    reference: Counts
    window: Counts
    missing: tuple[int, int]
    cuts: Cuts = NO_CUTS
    means: tuple[float | None, float | None] = (None, None)
    scale: float = 1.0
    discrete: bool = False
    unseen: Mapping[str, int] = {}
    further: int = 0

    @property
    def sizes(self) -> tuple[int, int]:
        """How many values are present in the sample and in the window."""
        return int(self.reference.sum()), int(self.window.sum()) + sum(self.unseen.values()) + self.further

    @property
    def outside(self) -> int:
        """How many numbers of the window lie outside the sample's range."""
        return int(self.window[0] + self.window[-1]) if len(self.cuts) else 0
