"""How often drift is seen where there is none, and how often it is missed, on real data: `python -m benchmarks.drift` (some minutes).

The reference is one half of a data set, what is served is drawn from the other half with replacement. In `population` both are drawn
from the whole, so that nothing but chance is between them. Seeded; the last line is about speed, by processor time.
"""

from __future__ import annotations

import argparse
from time import process_time

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits

from core.settings import Settings
from core.values import Output, Value
from experiments.drift.judging import Rule, judge
from experiments.simulation.rates import Rate, rate
from flows.watching.comparing import compared, independent
from flows.watching.windows import Measures, measures
from models.drift.columns import column
from models.drift.tally import Layout
from models.profile import profile
from models.signature import Signature, infer

WINDOWS = 50
SHIFT = 0.5
"""Standard deviations."""


class Watch:
    """Rows that were registered, and rows that are served."""

    def __init__(self, reference: NDArray[np.float64], live: NDArray[np.float64], rng: np.random.Generator, of: Measures) -> None:
        columns: dict[str, list[Value]] = {f"x{place}": values for place, values in enumerate(reference.T.tolist())}
        made = profile(Signature(infer(columns), "regression"), columns, [Output(value=1.0)] * len(reference))
        self.layout = Layout([one for name, each in made.features.items() if (one := column(name, each)) is not None], len(columns))
        self.live, self.sd, self.repeats, self.rng, self.of = live, reference.std(axis=0), made.repeats, rng, of

    def window(self, rows: int, shifted: int | None = None) -> set[int]:
        """The features that raise an alarm; number `shifted` is shifted up or down."""
        x = self.live[self.rng.integers(0, len(self.live), rows)]
        if shifted is not None:
            x[:, shifted] += SHIFT * self.sd[shifted] * self.rng.choice([-1.0, 1.0])
        tally = self.layout.count(rows, x.T.tolist())
        rule = Rule(self.of.alpha, self.of.least_psi, independent(self.layout, tally, self.repeats))
        return {place for place, one in enumerate(judge(compared(self.layout, tally), rule)) if one.alarm}


def drawn(data: NDArray[np.float64], seed: int, of: Measures, *, population: bool) -> Watch:
    """A reference of half as many rows, and what is served."""
    rng = np.random.default_rng(seed)
    half = len(data) // 2
    if population:
        return Watch(data[rng.integers(0, len(data), half)], data, rng, of)
    order = rng.permutation(len(data))
    return Watch(data[order[:half]], data[order[half:]], rng, of)


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40, help="halves of the breast cancer data, each with 50 windows")
    runs = parser.parse_args().runs
    of = measures(Settings())
    cancer, digits = (np.asarray(load().data, dtype=np.float64) for load in (load_breast_cancer, load_digits))
    for name, data, population, count in (
        ("breast cancer, halves", cancer, False, runs),
        ("breast cancer, population", cancer, True, runs),
        ("digits, halves", digits, False, max(1, runs // 4)),
    ):
        watches = [drawn(data, seed, of, population=population) for seed in range(count)]
        alarms = [[bool(watch.window(of.window)) for _ in range(WINDOWS)] for watch in watches]
        _say(f"{name}: windows with an alarm, nothing changed", rate(np.ravel(alarms)))
        _say(f"{name}: runs of {WINDOWS} windows with an alarm", rate([any(each) for each in alarms]))
    for population in (False, True):
        _found(cancer, of, 5 * runs, population=population)
    _speed(drawn(cancer, 0, of, population=False), of)


def _found(data: NDArray[np.float64], of: Measures, runs: int, *, population: bool) -> None:
    first: list[bool] = []
    both: list[bool] = []
    for seed in range(runs):
        watch, feature = drawn(data, seed, of, population=population), seed % data.shape[1]
        named = [feature in watch.window(of.window, feature) for _ in range(2)]
        first.append(named[0])
        both.append(any(named))
    name = f"breast cancer, {'population' if population else 'halves'}: shift of {SHIFT} sd in one of {data.shape[1]} features"
    _say(f"{name} named in the first {of.window} rows", rate(first))
    _say(f"{name} named in {2 * of.window} rows", rate(both))


def _speed(watch: Watch, of: Measures) -> None:
    start = process_time()
    for _ in range(WINDOWS):
        watch.window(of.window)
    print(f"{WINDOWS * of.window / (process_time() - start):,.0f} rows/s counted and judged, {len(watch.layout.columns)} features")


def _say(what: str, found: Rate) -> None:
    low, high = found.interval
    print(
        f"{what}: {found.hits} of {found.n} ({100 * found.value:.2f} %, 99.9 % interval {100 * low:.2f} to {100 * high:.2f} %)", flush=True
    )


if __name__ == "__main__":
    main()
