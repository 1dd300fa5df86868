"""Keys become uniform numbers strictly between 0 and 1."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, pearsonr

from routing.hashing import Hasher

KEYS = [str(number) for number in range(50_000)]


def test_uniform() -> None:
    """The numbers of consecutive keys are spread as uniform ones are."""
    assert kstest([*map(Hasher("salt").uniform, KEYS)], "uniform").pvalue > 0.001


def test_scopes_are_independent() -> None:
    """Where a key falls in one scope says nothing of where it falls in another."""
    left, right = ([*map(Hasher("salt", arm).uniform, KEYS)] for arm in ("control", "treatment"))
    assert pearsonr(left, right).pvalue > 0.001


@given(st.text(max_size=20), st.text(max_size=20))
def test_never_0_or_1(scope: str, key: str) -> None:
    """A logarithm can be taken of every number."""
    assert 0.0 < Hasher(scope.replace("\ud800", "")).uniform(key) < 1.0


def test_the_cut_between_parts_counts() -> None:
    """("a", "bc") and ("ab", "c") are different scopes."""
    assert Hasher("a", "bc").uniform("x") != Hasher("ab", "c").uniform("x")
    assert Hasher("a", "").uniform("x") != Hasher("a").uniform("x")
