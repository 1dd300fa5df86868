"""Claims: when one fails, what a simulation repeats, and the table."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from core.errors import Invalid
from experiments.simulation.calibration import table, written
from experiments.simulation.claims import Case, Claim, Found, about, at_least, at_most, simulate
from experiments.simulation.rates import Rate, rate


def coin(rng: np.random.Generator, experiments: int) -> dict[str, np.ndarray]:
    return {"heads": rng.random(experiments) < 0.5}


def case(*claims: Claim, chunk: int = 100) -> Case:
    return Case("a coin", "fair", "1 look", coin, claims, 1000, 100, chunk)


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 50), (50, 50), (3, 50), (223, 4000), (1, 100_000)])
def test_the_interval_is_clopper_and_pearsons(hits: int, n: int) -> None:
    """At 99.9 %, as scipy has it."""
    expected = stats.binomtest(hits, n).proportion_ci(0.999, method="exact")
    assert Rate(hits, n).interval == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-12)


def test_a_rate_of_booleans() -> None:
    """Hits are those that are true."""
    assert rate(np.array([True, False, True, True])) == Rate(3, 4)
    assert Rate(3, 4).value == 0.75


@pytest.mark.parametrize(
    ("claim", "hits", "holds"),
    [
        (at_most("x", 0.05), 50, True),
        (at_most("x", 0.05), 80, False),
        (at_most("x", 0.05), 10, True),
        (at_least("x", 0.05), 50, True),
        (at_least("x", 0.05), 20, False),
        (at_least("x", 0.05), 90, True),
        (about("x", 0.05), 50, True),
        (about("x", 0.05), 20, False),
        (about("x", 0.05), 80, False),
    ],
)
def test_a_claim_fails_where_the_interval_excludes_it(claim: Claim, hits: int, holds: bool) -> None:
    """Of 1,000: 20 are surely below 5 %, 80 surely above."""
    assert Found(case(claim), claim, Rate(hits, 1000)).holds is holds


def test_a_simulation_repeats() -> None:
    """The same case and number of experiments give the same hits; another name gives others."""
    first, again = (simulate(case(about("heads", 0.5)), 950)[0].rate for _ in range(2))
    assert first == again
    assert first.n == 950
    others = [simulate(case(about("heads", 0.5))._replace(name=name), 950)[0].rate.hits for name in ("another", "a third", "a fourth")]
    assert len(set(others)) == 3


def test_chunks_are_independent() -> None:
    """Simulated side by side or one after the other there are as many experiments, of streams of their own."""
    found = simulate(case(about("heads", 0.5), chunk=1), 400)[0].rate
    assert 100 < found.hits < 300


def test_the_table_goes_between_the_markers() -> None:
    """One row a claim, with what failed marked; what stands around the markers stays."""
    claims = at_most("heads", 0.6), at_most("heads", 0.1)
    text = table(simulate(case(*claims), 1000))
    rows = [line for line in text.splitlines() if line.startswith("| a coin")]
    assert len(rows) == 2
    assert "heads: at most 60 %" in rows[0]
    assert "**FAILS** heads: at most 10 %" in rows[1]
    assert "FAILS" not in rows[0]
    document = "before\n<!-- calibration -->\nold\n<!-- /calibration -->\nafter\n"
    assert written(document, text) == f"before\n<!-- calibration -->\n{text}\n<!-- /calibration -->\nafter\n"


@pytest.mark.parametrize("document", ["", "<!-- calibration -->", "<!-- /calibration --> <!-- calibration -->"])
def test_a_document_without_markers_is_refused(document: str) -> None:
    """Nothing is written where it would not be found again."""
    with pytest.raises(Invalid, match="markers"):
        written(document, "table")
