"""What tests of `tiltyard stats` share: how it is called, an example of each method's input, and what one clear line is."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner

from experiments import calculator
from server.cli import cli
from tests.server.commands_world import Ended

METHODS = list(calculator.METHODS)


def stats(method: str, body: bytes | dict[str, Any]) -> Ended:
    """`tiltyard stats METHOD` with this on standard input."""
    found = CliRunner().invoke(cli, ["stats", method], input=body if isinstance(body, bytes) else json.dumps(body).encode())
    assert found.exception is None or isinstance(found.exception, SystemExit), f"{method} {body!r}: {found.exception!r}"
    return Ended(found.exit_code, found.stdout, found.stderr)


def figures(method: str, /, **given: Any) -> dict[str, Any]:
    """What it prints where all is well."""
    ended = stats(method, given)
    assert ended.code == 0, ended.err or ended.out
    assert ended.err == ""
    found: dict[str, Any] = json.loads(ended.out)
    return found


def sums(n: int, total: float, squares: float) -> dict[str, float]:
    return {"n": n, "sum": total, "sum_squares": squares}


def binary(successes: int, n: int) -> dict[str, float]:
    return sums(n, successes, successes)


EXAMPLES: dict[str, dict[str, Any]] = {
    "mean": {"control": sums(3407, 1396.87, 52377.9767), "treatment": sums(3461, 2422.7, 134698.29), "alternative": "two-sided"},
    "ratio": {"sample": {"numerator": [3, 0, 2, 5, 1, 4, 2, 6, 0, 3], "denominator": [4, 1, 3, 6, 2, 5, 2, 7, 1, 5]}},
    "cuped": {
        "control": {"y": [1.0, 2.5, 2.0, 4.0, 3.0], "x": [0.5, 1.0, 1.5, 2.0, 2.5]},
        "treatment": {"y": [2.0, 3.5, 3.0, 6.0], "x": [1, 2, 3, 4]},
    },
    "quantile": {
        "n": 1000,
        "nu": 0.9,
        "q_lower": 1.5,
        "q_upper": 1.8,
        "clusters": 100,
        "sum_I": 900,
        "sumsq_I": 8300,
        "sum_n": 1000,
        "sumsq_n": 10400,
        "sum_In": 9200,
    },
    "stratified": {
        "strata": [
            {"control": binary(20000, 990_000), "treatment": binary(230, 10_000)},
            {"control": binary(5000, 500_000), "treatment": binary(6000, 500_000)},
        ]
    },
    "sequential": {"estimate": 0.29, "se": 0.1, "planned_se": 0.1},
    "group-sequential": {"alpha": 0.025, "information_fractions": [0.25, 0.5, 0.75, 1.0]},
    "srm": {"counts": [821588, 815482], "expected": [50, 50]},
    "srm-sequential": {"counts": [[50000, 50600], [49800, 50500], [50100, 50700]], "expected": [50, 50]},
    "mcnemar": {"table": [[794, 150], [86, 570]]},
    "delong": {"labels": [0, 0, 1, 1, 0, 1], "left": [0.1, 0.4, 0.35, 0.8, 0.5, 0.7], "right": [0.2, 0.3, 0.6, 0.4, 0.5, 0.9]},
    "paired": {"differences": [0.1, 0.4, -0.2, 0.5, 0.3, 0.2], "clusters": ["a", "a", "b", "c", "d", "e"]},
    "adjust": {"p_values": [0.01, 0.04, 0.03]},
    "power": {"kind": "proportion", "baseline": 0.1, "mde": 0.02, "daily_units": 1000, "window_days": 3},
    "off-policy": {
        "rows": [
            {
                "reward": 0.1 * k,
                "action": "ab"[k % 2],
                "propensity": 0.5,
                "target": {"a": 0.6, "b": 0.4},
                "estimate": {"a": 0.3, "b": 0.1},
            }
            for k in range(8)
        ],
        "minimum_ess": 2,
    },
    "adaptive": {
        "rows": [
            {"reward": 0.2 * k, "arm": "ab"[k % 2], "propensity": {"a": 0.6, "b": 0.4}, "estimate": {"a": 0.3, "b": 0.1}} for k in range(8)
        ],
        "control": "a",
        "treatment": "b",
    },
}
"""One of each method that brings figures."""


def assert_one_line(text: str) -> None:
    """One line, of printable characters, of a length that can be read."""
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    assert 10 < len(text) < 1000
