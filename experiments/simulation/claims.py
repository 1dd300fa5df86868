"""What is claimed of error rates, and how each claim is simulated."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from experiments.simulation.rates import Rate
from experiments.simulation.watching import BoolArray

SEED = 20260503

Relation: TypeAlias = Literal["at most", "at least", "about"]
Run: TypeAlias = Callable[[np.random.Generator, int], dict[str, BoolArray]]
"""(rng, experiments) → by what is claimed, whether it happened in each experiment."""


class Claim(NamedTuple):
    """What a rate is claimed to be; `what` names it in the result of the run."""

    what: str
    relation: Relation
    level: float


class Case(NamedTuple):
    """A simulation and its claims. `generator` says what units bring, `grid` how many at how many looks.

    `full` and `short` are numbers of experiments; `chunk` of them are simulated side by side, which memory limits.
    """

    name: str
    generator: str
    grid: str
    run: Run
    claims: tuple[Claim, ...]
    full: int
    short: int
    chunk: int = 2000


class Found(NamedTuple):
    """A claim with its simulated rate."""

    case: Case
    claim: Claim
    rate: Rate

    @property
    def holds(self) -> bool:
        """Whether the interval of the rate does not exclude the claim."""
        low, high = self.rate.interval
        below, above = high < self.claim.level, low > self.claim.level
        return not {"at most": above, "at least": below, "about": below or above}[self.claim.relation]


def at_most(what: str, level: float) -> Claim:
    """An error rate."""
    return Claim(what, "at most", level)


def at_least(what: str, level: float) -> Claim:
    """A power, or what another test does wrong."""
    return Claim(what, "at least", level)


def about(what: str, level: float) -> Claim:
    """A figure that is stated."""
    return Claim(what, "about", level)


def simulate(case: Case, experiments: int) -> list[Found]:
    """The case's claims with their rates. The same for the same case and number, whatever else is simulated."""
    hits: Mapping[str, list[BoolArray]] = {claim.what: [] for claim in case.claims}
    for rng, size in _chunks(case, experiments):
        found = case.run(rng, size)
        for what, happened in hits.items():
            happened.append(found[what])
    return [Found(case, claim, Rate(int(np.concatenate(hits[claim.what]).sum()), experiments)) for claim in case.claims]


def _chunks(case: Case, experiments: int) -> Iterator[tuple[np.random.Generator, int]]:
    """Each with a stream of its own (PCG64), spawned from the seed and the name of the case."""
    sizes = [min(case.chunk, experiments - start) for start in range(0, experiments, case.chunk)]
    seeds = np.random.SeedSequence([SEED, zlib.crc32(case.name.encode())]).spawn(len(sizes))
    for seed, size in zip(seeds, sizes, strict=True):
        yield np.random.Generator(np.random.PCG64(seed)), size
