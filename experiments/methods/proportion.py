"""Shares of independent rows, and the differences of two shares."""

from __future__ import annotations

import math
from typing import Any

from scipy import special

from core.errors import Invalid


def proportion(number: int, of: int, alpha: float = 0.05) -> dict[str, Any]:
    """A share with its exact two-sided interval at confidence 1 − alpha (Clopper and Pearson 1934); None where `of` is 0."""
    if not 0 <= number <= of:
        raise Invalid(f"number: expected from 0 to {of}, got {number}", field="number")
    share = number / of if of else None
    lower = float(special.betaincinv(number, of - number + 1, alpha / 2.0)) if number else 0.0
    upper = float(special.betaincinv(number + 1, of - number, 1.0 - alpha / 2.0)) if number < of else 1.0
    return {"number": number, "of": of, "share": share, "lower": lower if of else None, "upper": upper if of else None}


def wilson(number: int, of: int, alpha: float = 0.05) -> tuple[float, float]:
    """The two-sided score interval of a share of `of` > 0 rows at confidence 1 − alpha (Wilson 1927)."""
    z = float(special.ndtri(1.0 - alpha / 2.0))
    middle = (number + z * z / 2.0) / (of + z * z)
    reach = z / (of + z * z) * math.sqrt(number * (of - number) / of + z * z / 4.0)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def paired_difference(b: int, c: int, of: int, alpha: float = 0.05) -> tuple[float, float]:
    """The interval of (b − c)/of, the difference of two shares of the same `of` rows that disagree in b and c of them.

    Wald's with one row added to b and one to c, which holds its level in small samples (Bonett and Price 2012).
    """
    p, q = (b + 1.0) / (of + 2.0), (c + 1.0) / (of + 2.0)
    reach = float(special.ndtri(1.0 - alpha / 2.0)) * math.sqrt(max(p + q - (p - q) ** 2, 0.0) / (of + 2.0))
    return max(-1.0, p - q - reach), min(1.0, p - q + reach)
