"""The calculator: each method of `experiments.methods` from one checked input to one dictionary of plain numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple, get_type_hints

import numpy as np

from core.errors import NotFound, Refused

OUT_OF_RANGE = "the figures are beyond the range of floating point"


class Listed(NamedTuple):
    """The module of this package that has a method, and what it does in one line."""

    module: str
    line: str


METHODS: dict[str, Listed] = {
    "mean": Listed("estimates", "difference of means from sums (Welch), or relative lift"),
    "ratio": Listed("estimates", "difference of two ratios of sums, or one ratio (delta method)"),
    "cuped": Listed("estimates", "difference of means adjusted by a covariate (CUPED, Lin)"),
    "quantile": Listed("estimates", "standard error of a quantile of requests within units"),
    "stratified": Listed("estimates", "difference of means over several phases, not pooled"),
    "sequential": Listed("sequences", "always-valid test of one estimate"),
    "group-sequential": Listed("sequences", "bounds for looks at declared shares of the information (Lan-DeMets)"),
    "srm": Listed("sequences", "sample ratio mismatch, once (χ²)"),
    "srm-sequential": Listed("sequences", "sample ratio mismatch, batch by batch"),
    "mcnemar": Listed("pairs", "right and wrong of two models on the same rows (McNemar)"),
    "delong": Listed("pairs", "difference of two AUCs on the same rows (DeLong)"),
    "paired": Listed("pairs", "mean of differences on the same rows or units (t, Wilcoxon)"),
    "adjust": Listed("planning", "p values of many tests adjusted (Holm, Benjamini-Hochberg)"),
    "power": Listed("planning", "sample size and days"),
    "off-policy": Listed("policies", "value of another policy from logged decisions (IPS, SNIPS, DR)"),
    "adaptive": Listed("policies", "difference of two arms of a bandit at a fixed time (Hadad)"),
}
"""All methods. Each is the function of that name in its module, with one parameter, `given`, whose type says what it reads."""


class Method(NamedTuple):
    """A method to be computed: the type of its input, and the function from one to what is printed."""

    reads: type[Any]
    function: Callable[[Any], dict[str, Any]]

    def run(self, given: Any) -> dict[str, Any]:
        """What the method prints, every number of it finite. Raises Invalid naming the field, and Refused."""
        try:
            with np.errstate(all="ignore"):  # what leaves the range without an error is found below
                found = self.function(given)
        except OverflowError:
            raise Refused(OUT_OF_RANGE) from None
        if not _finite(found):
            raise Refused(OUT_OF_RANGE)
        return found


def find(name: str) -> Method:
    """The method of this name; only its module is imported. Raises NotFound."""
    if name not in METHODS:
        raise NotFound(f"method: expected one of {', '.join(METHODS)}, got {name[:60] or 'none'}", field="method")
    function = getattr(import_module(f"{__name__}.{METHODS[name].module}"), name.replace("-", "_"))
    return Method(get_type_hints(function)["given"], function)


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
