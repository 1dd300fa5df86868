"""Tallies add up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from core.values import Value
from models.drift.columns import column
from models.drift.tally import FURTHER, MOST_UNSEEN, Layout, Tally, merged
from models.profile import categories, numbers


@pytest.fixture
def columns() -> list[list[Value]]:
    """Two hundred rows: a number, a number that may be missing, a category, and one of many."""
    rng = np.random.default_rng(1)
    return [
        rng.normal(size=200).tolist(),
        [None if missing else float(value) for missing, value in zip(rng.random(200) < 0.2, rng.integers(0, 4, 200), strict=True)],
        [f"c{k}" for k in rng.integers(0, 5, 200)],
        [f"u{k}" for k in rng.integers(0, 1000, 200)],
    ]


@pytest.fixture
def layout(columns: list[list[Value]]) -> Layout:
    """The columns of the first half of the rows; the last one is no feature."""
    profiles = [numbers(columns[0][:100]), numbers(columns[1][:100]), categories(columns[2][:100]), categories(columns[3])]
    return Layout([made for k, profiled in enumerate(profiles) if (made := column(f"x{k}", profiled)) is not None], 3)


def counted(layout: Layout, columns: Sequence[Sequence[Value]], start: int, stop: int) -> Tally:
    """The tally of some rows."""
    return layout.count(stop - start, [values[start:stop] for values in columns])


def same(left: Tally, right: Tally) -> bool:
    """Whether two tallies say the same, sums up to rounding."""
    exact = (left.rows, left.unseen, left.cells.tolist(), left.missing.tolist(), sorted(left.keys.tolist()))
    return exact == (right.rows, right.unseen, right.cells.tolist(), right.missing.tolist(), sorted(right.keys.tolist())) and np.allclose(
        left.totals, right.totals
    )


def test_tallies_add_up(layout: Layout, columns: list[list[Value]]) -> None:
    """However rows are cut into parts, their tallies add up to that of all rows, and every row is in one cell or missing."""
    whole = counted(layout, columns, 0, 200)
    assert same(merged(layout, [counted(layout, columns, *part) for part in ((0, 1), (1, 120), (120, 200))]), whole)
    for place, (start, stop) in enumerate(zip(layout.starts, layout.starts[1:], strict=False)):
        assert whole.cells[start:stop].sum() + whole.missing[place] + sum(whole.unseen_of(place).values()) == 200


def test_a_tally_comes_back_from_the_store(layout: Layout, columns: list[list[Value]]) -> None:
    """As it was, and it can be added to."""
    tally = counted(layout, columns, 0, 150)
    back = Tally.unpack(tally.pack())
    assert same(back, tally)
    back.add(counted(layout, columns, 150, 200))
    assert same(back, counted(layout, columns, 0, 200))


def test_unseen_values_are_bounded(layout: Layout, columns: list[list[Value]]) -> None:
    """Of more than fifty only the number is kept: a client may send anything."""
    rows = 4 * MOST_UNSEEN
    strange: list[list[Value]] = [columns[0][:1] * rows, columns[1][:1] * rows, [f"odd {k}" for k in range(rows)], columns[3][:1] * rows]
    tally = merged(layout, [counted(layout, strange, 0, 90), counted(layout, strange, 90, rows)])
    assert len(tally.unseen_of(2)) == MOST_UNSEEN + 1
    assert sum(tally.unseen_of(2).values()) == rows
    assert tally.unseen_of(2)[FURTHER] == rows - MOST_UNSEEN


def test_repeats_are_equal_rows(layout: Layout, columns: list[list[Value]]) -> None:
    """Of all pairs, by the features alone: what is answered to a row does not make it another one."""
    rows: list[list[Value]] = [[1.0, 1.0, 2.0, 1.0], [None, None, 1.0, 0.0], ["c0", "c0", "c0", "c0"], ["u1", "u2", "u3", "u4"]]
    assert layout.count(4, rows).repeats() == pytest.approx(1 / 6)
    assert counted(layout, columns, 0, 200).repeats() == 0.0
    assert Tally.empty(layout).repeats() == 0.0


def test_keys_do_not_depend_on_the_process(layout: Layout) -> None:
    """They are stored: another process must find the same row to be the same."""
    rows: list[list[Value]] = [[1.5], [None], ["never seen"], ["u1"]]
    assert layout.count(1, rows).keys.tolist() == [5503960279462960837]
