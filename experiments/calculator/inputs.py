"""What the calculator's methods share: sums of an arm, the error rate, and picking what is printed."""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import Annotated, Any, TypeAlias

import msgspec

from core.errors import Invalid, Refused
from experiments.methods.summary import Summary

MOST = 2**53
"""Whole numbers up to here are exact as floats."""

Alpha: TypeAlias = Annotated[float, msgspec.Meta(gt=0.0, lt=0.5)]
"""The error rate of a test, above 0 and below ½."""

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MOST)]
"""How many: a whole number from 0."""

Positive: TypeAlias = Annotated[float, msgspec.Meta(gt=0.0)]

DIGITS = 1e6
"""A variance is refused where rounding of the sums may have changed it by more than one part in this."""

ROUNDED = Fraction(3, 2) * Fraction(sys.float_info.epsilon)
"""Of `sum_squares`: by how much its difference from sum²/n may be off when both sums were correctly rounded."""

UNDERFLOW = Fraction(5e-324)
"""And for each value, by how much more, since the square of a small one is rounded to a multiple of this."""


class Sums(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`n` values by their sum and sum of squares, as an SQL query gives them."""

    n: Count
    sum: float
    sum_squares: float

    def summary(self, name: str = "") -> Summary:
        """Count, mean and centred second moment; `name` is the field that holds these sums, for messages.

        The subtraction Σx² − (Σx)²/n is exact (rational numbers), so that only the rounding of the sums themselves counts:
        whole numbers up to 2⁵³ have none. Raises Invalid where no values have these sums, and Refused where fewer than 6 digits
        of the variance are left.
        """
        at = f"{name}." if name else ""
        if self.n == 0:
            return self._nothing(at)
        total, squares = Fraction(self.sum), Fraction(self.sum_squares)
        m2, rounded = squares - total * total / self.n, Fraction(0) if self._exact else ROUNDED * squares + UNDERFLOW * self.n
        if m2 < -rounded or squares < 0 or (self.n == 1 and m2 > rounded):
            expected = "sum²" if self.n == 1 else "at least sum²/n"
            raise Invalid(f"{at}sum_squares: expected {expected}, got {self.sum_squares:g}", field=f"{at}sum_squares")
        if self.n == 1:
            m2 = Fraction(0)
        elif m2 < rounded * int(DIGITS):
            raise Refused(f"{at}sum_squares: the variance cancels: it is too small beside the mean for these sums to hold 6 digits of it")
        mean = self.sum / self.n
        return Summary(self.n, mean, float(m2), float(total / self.n - Fraction(mean)))

    @property
    def _exact(self) -> bool:
        return all(number % 1.0 == 0.0 and abs(number) <= MOST for number in (self.sum, self.sum_squares))

    def _nothing(self, at: str) -> Summary:
        for field, number in (("sum", self.sum), ("sum_squares", self.sum_squares)):
            if number != 0.0:
                raise Invalid(f"{at}{field}: expected 0 where n is 0, got {number:g}", field=f"{at}{field}")
        return Summary()


def picked(found: msgspec.Struct, *names: str) -> dict[str, Any]:
    """The named figures of a result, in this order."""
    return {name: getattr(found, name) for name in names}
