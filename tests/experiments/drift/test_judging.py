"""The judgement of a window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from msgspec.structs import asdict

from experiments.drift.column import Counted
from experiments.drift.judging import Judged, Rule, judge
from experiments.simulation.rates import rate
from tests.experiments.drift.counted import categories, numbers

RULE = Rule(alpha=0.001, least_psi=0.1)


def normal(shift: float = 0.0, rows: int = 1000, seed: int = 1, **more: int) -> Counted:
    """A sample of 500 rows, and a window shifted by that many standard deviations."""
    rng = np.random.default_rng(seed)
    return numbers(rng.normal(size=500), rng.normal(shift, size=rows), **more)


def one(counted: Counted, rule: Rule = RULE) -> Judged:
    """The judgement of a window with that column alone."""
    (found,) = judge([counted], rule)
    return found


def test_a_shift_is_found_and_said() -> None:
    """With its size, and the limit that chance would have kept."""
    found = one(normal(0.5))
    assert found.alarm
    assert found.reason.startswith("distributed otherwise: PSI 0.")
    assert "the mean 0.5" in found.reason
    assert found.score is not None
    assert found.limit is not None
    assert found.adjusted is not None
    assert found.score > found.limit > 0.01
    assert found.adjusted < 1e-6


def test_an_unchanged_column_is_within_chance() -> None:
    """No alarm, whatever the PSI happens to be."""
    found = one(normal())
    assert (found.alarm, found.reason) == (False, "within chance")


def test_a_difference_of_no_size_raises_no_alarm() -> None:
    """With many rows every difference is beyond chance: it is said, and no alarm."""
    rng = np.random.default_rng(2)
    found = one(numbers(rng.normal(size=50_000), rng.normal(0.1, size=50_000)))
    assert found.p_value is not None
    assert found.p_value < 1e-20
    assert (found.alarm, found.reason) == (False, "beyond chance, and too small to matter")


def test_a_window_errs_as_a_whole() -> None:
    """However many columns it has, at most alpha of the windows in which nothing has changed hold an alarm."""
    rng = np.random.default_rng(3)

    def alarm(columns: int) -> bool:
        window = [numbers(rng.lognormal(size=100), rng.lognormal(size=200), name=str(k)) for k in range(columns)]
        return any(found.adjusted is not None and found.adjusted <= 0.05 for found in judge(window, Rule(0.05, 0.0)))

    assert rate([alarm(10) for _ in range(250)]).interval[0] <= 0.05


def test_p_values_are_adjusted_for_all_columns() -> None:
    """The same column is less sure among thirty."""
    shifted = normal(0.5)
    among = judge([shifted, *(normal(seed=seed) for seed in range(2, 31))], RULE)[0]
    alone = one(shifted)
    assert among.p_value == alone.p_value
    assert among.adjusted is not None
    assert alone.adjusted is not None
    assert among.adjusted > 20 * alone.adjusted
    assert among.alarm


@pytest.mark.parametrize(
    ("counted", "says"),
    [
        (normal(missing=(0, 100)), "missing in 0.0909 of the rows, 0 in the sample"),
        (normal(missing=(300, 0)), "missing in 0 of the rows, 0.375 in the sample"),
        (numbers(range(500), [*range(500), *[-7] * 60]), "0.107 of the rows outside the sample's range"),
        (categories([300, 200], [200, 300]), "other shares: PSI 0.162"),
        (categories([300, 200], [300, 200], {"new": 60}), "'new' in 0.107 of the rows, and never in the sample"),
    ],
)
def test_what_else_is_drift(counted: Counted, says: str) -> None:
    """Missing values that come or go, numbers outside of the range, other shares, new categories."""
    found = one(counted)
    assert found.alarm
    assert says in found.reason


def test_a_few_odd_rows_raise_no_alarm() -> None:
    """One missing value, one number outside, one new category are no drift, however small the probability."""
    many = [*range(500)] * 40
    for counted in (numbers(many, [*many, -1]), numbers(many, many, missing=(0, 1)), categories([9000, 9000], [9000, 9000], {"new": 30})):
        assert not one(counted).alarm


def test_too_little_is_not_compared() -> None:
    """Neither a p value nor a distance is made up; missing values can be compared all the same."""
    few = one(numbers(range(100), range(20)))
    assert (few.score, few.limit, few.alarm) == (None, None, False)
    assert few.reason == "not compared: 100 values in the sample and 20 in the window, 50 are needed"
    empty = one(numbers(range(100), [], missing=(0, 200)))
    assert (empty.alarm, empty.score) == (True, None)


def test_fewer_independent_rows_are_less_sure() -> None:
    """As many as the rule says."""
    assert one(normal(0.4)).alarm
    assert not one(normal(0.4), RULE._replace(share=0.1)).alarm


@pytest.mark.parametrize("columns", [[], [normal(), normal(0.5), categories([50, 40], [40, 50])]])
def test_a_judgement_can_be_stored(columns: Sequence[Counted]) -> None:
    """In the order of the columns, and each figure is a plain number."""
    found = judge(columns, RULE)
    assert len(found) == len(columns)
    assert all(
        type(value) in (float, type(None)) for each in found for name, value in asdict(each).items() if name in ("score", "limit", "ks")
    )
