"""The table of forms in docs/models.md: `python -m tests.models.table --write` registers the whole zoo and writes what came of it.

A difference is shown as the next power of ten above three times what was measured: another machine adds numbers in another order.
"""

from __future__ import annotations

import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from math import ceil, log10
from pathlib import Path

from models.package import Package
from tests.models.model_zoo import CASES, F32, F64, LINEAR, NATIVE, TREES
from tests.models.registering import register

PATH = Path(__file__).parents[2] / "docs" / "models.md"
SERVED = {LINEAR: "plain floats", F64: "ONNX, float64", TREES: "treelite", F32: "ONNX, float32", NATIVE: "scikit-learn"}
ROW = re.compile(rf"^\| (.+) \| (.+) \| ({'|'.join(SERVED.values())}) \| (?:1e(-\d+)|—) \|$", re.MULTILINE)
DATA = {
    "iris": "iris",
    "cancer": "breast cancer",
    "cancer-named": "breast cancer, a data frame",
    "cancer-missing": "breast cancer, missing values",
    "diabetes": "diabetes",
    "diabetes-missing": "diabetes, missing values",
    "digits": "digits",
    "counts": "digits as counts",
    "one-column": "diabetes, one column",
    "mixed": "breast cancer with text",
    "mixed-values": "breast cancer with text",
    "mixed-missing": "breast cancer with text, missing values",
    "categories": "breast cancer with categories",
    "sizes": "breast cancer with categories, missing values",
    "sizes-values": "breast cancer with categories, missing values",
    "sorts": "breast cancer as categories",
    "codes": "breast cancer with categories as numbers, missing values",
    "array-of-text": "breast cancer as text",
    "texts": "sentences",
    "two-targets": "diabetes, two values a row",
    "two-labels": "breast cancer, two labels a row",
}
"""scikit-learn's own data sets, and what was made of them."""


def lines(registered: Callable[[str], Package]) -> Iterator[str]:
    """A line for each case, in the order of the zoo."""
    for name, case in CASES.items():
        compiled = registered(name).card.compiled
        assert compiled is not None
        apart = "—" if compiled.form == NATIVE else f"1e{exponent(compiled.max_difference or 0.0)}"
        yield f"| {case.shown} | {DATA[case.data]} | {SERVED[compiled.form]} | {apart} |"


def exponent(difference: float) -> int:
    """The power of ten that is shown for a measured difference; below 1e-14 it says nothing."""
    return ceil(log10(max(3 * difference, 1e-14)))


def write(page: str, rows: list[str]) -> str:
    """The page with these rows in place of its own."""
    first, *_, last = list(ROW.finditer(page))
    return page[: first.start()] + "\n".join(rows) + page[last.end() :]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        made = list(lines(lambda name: register(name, Path(folder))))
    if "--write" in sys.argv:
        PATH.write_text(write(PATH.read_text(encoding="utf-8"), made), encoding="utf-8")
    else:
        print("\n".join(made))
