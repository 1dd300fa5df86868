"""Adjusted p values, against statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from core.errors import Invalid
from experiments.methods.multiple import benjamini_hochberg, holm

p_values = st.lists(st.floats(0.0, 1.0) | st.sampled_from([0.01, 0.05]), min_size=1, max_size=30)


@settings(max_examples=40)
@given(p_values)
def test_as_in_statsmodels(given_values: list[float]) -> None:
    """Both adjustments, in the order given, with ties."""
    assert holm(given_values) == pytest.approx(multipletests(given_values, method="holm")[1], rel=1e-9, abs=1e-300)
    assert benjamini_hochberg(given_values) == pytest.approx(multipletests(given_values, method="fdr_bh")[1], rel=1e-9, abs=1e-300)


def test_by_hand() -> None:
    """Three tests: Holm multiplies by 3, 2, 1 and keeps the order; Benjamini-Hochberg by 3/1, 3/2, 3/3."""
    assert holm([0.04, 0.01, 0.03]).tolist() == pytest.approx([0.06, 0.03, 0.06])
    assert benjamini_hochberg([0.04, 0.01, 0.03]).tolist() == pytest.approx([0.04, 0.03, 0.04])


@pytest.mark.parametrize("method", [holm, benjamini_hochberg])
@given(p_values)
def test_adjusting_keeps_the_order_and_lowers_nothing(method: object, given_values: list[float]) -> None:
    """And stays within [0, 1]."""
    assert callable(method)
    found: NDArray[np.float64] = method(given_values)
    assert (found >= np.array(given_values)).all()
    assert (found <= 1.0).all()
    assert (np.diff(found[np.argsort(given_values, kind="stable")]) >= 0.0).all()


@pytest.mark.parametrize("method", [holm, benjamini_hochberg])
def test_nothing_is_adjusted_to_nothing(method: object) -> None:
    """No tests, no p values."""
    assert callable(method)
    assert method([]).tolist() == []


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan, math.inf])
@pytest.mark.parametrize("method", [holm, benjamini_hochberg])
def test_a_p_value_is_from_0_to_1(method: object, wrong: float) -> None:
    """NaN among them would spoil the order of all others."""
    assert callable(method)
    with pytest.raises(Invalid) as caught:
        method([0.5, wrong])
    assert caught.value.field == "p_values"
