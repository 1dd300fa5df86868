"""`tiltyard stats` end to end: what it prints, and what it refuses."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner

from experiments import calculator
from server.cli import cli
from tests.server.stats_world import EXAMPLES, METHODS, assert_one_line, figures, stats, sums

PRINTED: dict[str, list[str]] = {
    "mean": ["estimate", "se", "statistic", "df", "p_value", "lower", "upper"],
    "ratio": ["estimate", "se"],
    "cuped": ["estimate", "se", "theta", "p_value", "lower", "upper"],
    "quantile": ["se"],
    "stratified": ["estimate", "se", "statistic", "p_value", "weights"],
    "sequential": ["c", "log_evidence", "p_value", "lower", "upper"],
    "group-sequential": ["bounds", "spent", "nominal_p"],
    "srm": ["statistic", "p_value"],
    "srm-sequential": ["log_evidence", "p_values"],
    "mcnemar": ["p_exact", "p_mid", "log_evidence"],
    "delong": ["auc", "difference", "se", "statistic", "p_value", "lower", "upper"],
    "paired": ["estimate", "se", "statistic", "df", "p_value", "wilcoxon_p"],
    "adjust": ["adjusted"],
    "power": ["n_control", "n_treatment", "days"],
    "off-policy": ["ips", "snips", "dr", "ess", "mean_weight"],
    "adaptive": ["estimate", "se", "statistic", "p_value", "arms"],
}

KNOWN: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "mean",
        {},
        {
            "estimate": "0.29",
            "se": "0.1247836",
            "df": "5841.742",
            "p_value": "0.0201584",
            "lower": "0.045378",
            "upper": "0.534622",
        },
    ),
    ("mean", {"alternative": "greater"}, {"p_value": "0.0100792", "upper": None}),
    ("mean", {"relative": True, "method": "delta"}, {"estimate": "0.70732", "lower": "-0.03526", "upper": "1.44989"}),
    ("sequential", {}, {"c": "6.638352", "log_evidence": "3.3276084", "p_value": "0.0358788", "lower": "0.0134173", "upper": None}),
    ("srm", {}, {"p_value": "1.82179e-6"}),
    ("srm-sequential", {}, {"p_values": ["0.6532346", "0.0835542", "0.0170582"]}),
    ("srm-sequential", {"expected": None, "prior": [5000, 5000]}, {"p_values": ["0.6532346", "0.0835542", "0.0170582"]}),
    ("stratified", {}, {"estimate": "0.0020304", "statistic": "9.729"}),
    ("stratified", {"weights": "population"}, {"estimate": "0.0023990", "statistic": "3.156"}),
    ("ratio", {}, {"estimate": "0.722222", "se": "0.0543907"}),
    ("mcnemar", {}, {"p_exact": "3.71594e-5", "p_mid": "2.89339e-5", "log_evidence": "5.828768"}),
    ("group-sequential", {"spending": "pocock"}, {"bounds": ["2.368328", "2.367524", "2.358168", "2.350036"]}),
    (
        "group-sequential",
        {"spending": "power", "phi": 2, "information_fractions": [0.2, 0.4, 0.6, 0.8, 1]},
        {"bounds": ["3.090232", "2.714112", "2.472777", "2.279863", "2.114028"]},
    ),
    ("group-sequential", {}, {"bounds": ["4.332634", "2.96313", "2.359044", "2.014090"]}),
]


def digits(value: Any, printed: Any) -> None:
    """`value` rounds to `printed`, which has as many digits as are known."""
    if isinstance(printed, list):
        assert len(value) == len(printed)
        for each, known in zip(value, printed, strict=True):
            digits(each, known)
    elif printed is None:
        assert value is None
    else:
        mantissa, _, exponent = printed.partition("e")
        assert value == pytest.approx(float(printed), abs=0.51 * 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2])))


def test_each_method_is_listed_with_a_line() -> None:
    """In the help, and here with an example."""
    said = CliRunner().invoke(cli, ["stats", "--help"]).output
    for name, listed in calculator.METHODS.items():
        assert f"{name} " in said
        assert listed.line in said
    assert set(METHODS) == set(PRINTED) == set(EXAMPLES)


@pytest.mark.parametrize("method", METHODS)
def test_it_prints_these_keys_in_this_order(method: str) -> None:
    """As one JSON object, with nothing on standard error."""
    assert list(figures(method, **EXAMPLES[method])) == PRINTED[method]


@pytest.mark.parametrize(("method", "changed", "expected"), KNOWN)
def test_known_figures(method: str, changed: dict[str, Any], expected: dict[str, Any]) -> None:
    """Published and independently computed, to every digit that was printed."""
    found = figures(method, **EXAMPLES[method] | changed)
    for key, printed in expected.items():
        digits(found[key], printed)


def test_what_group_sequential_spends_and_its_nominal_p() -> None:
    """Cumulative, up to alpha; the p value of each bound; null where nothing is spent."""
    found = figures("group-sequential", information_fractions=[0.001, 0.5, 1.0], alpha=0.05)
    assert found["bounds"][0] is None
    assert found["nominal_p"][0] is None
    assert found["spent"] == sorted(found["spent"])
    assert found["spent"][-1] == pytest.approx(0.05)
    assert found["nominal_p"][1] == pytest.approx(0.5 * math.erfc(found["bounds"][1] / math.sqrt(2.0)))


def test_a_prior_that_is_not_at_the_shares() -> None:
    """Evidence is the Dirichlet-multinomial of the prior over the multinomial of the shares."""
    given_prior = figures("srm-sequential", counts=[[60, 40]], expected=[0.5, 0.5], prior=[6, 4])
    beta = math.lgamma(66) + math.lgamma(44) - math.lgamma(110) - math.lgamma(6) - math.lgamma(4) + math.lgamma(10)
    assert given_prior["log_evidence"] == pytest.approx([beta - 100 * math.log(0.5)])


@pytest.mark.parametrize(
    ("method", "changed", "reason"),
    [
        ("mean", {"control": sums(1, 2.0, 4.0)}, "2 values"),
        ("mean", {"control": sums(0, 0, 0)}, "2 values"),
        ("mean", {"control": sums(10, 10, 10), "treatment": sums(5, 10, 20)}, "vary"),
        ("mean", {"control": sums(100, 1e10, 1e18 + 1000)}, "cancels"),
        ("sequential", {"se": 1e-300}, "range"),
        ("srm", {"counts": [3, 4]}, "χ² needs 5"),
        ("srm", {"expected": [1e300, 1e-300]}, "too far apart"),
        ("srm-sequential", {"counts": [[10**12, 10**12]]}, "rounding"),
        ("srm-sequential", {"counts": [[0, 0]]}, "no units"),
        ("power", {"mde": 1e-200}, "range"),
        ("power", {"daily_units": 1e-9}, "not end"),
        ("quantile", {"nu": 5e-324}, "range"),
        ("off-policy", {"minimum_ess": 100}, ""),
    ],
)
def test_what_may_not_be_computed_is_refused_with_a_reason(method: str, changed: dict[str, Any], reason: str) -> None:
    """Exit 1, the reason under `refused`, nothing else."""
    ended = stats(method, EXAMPLES[method] | changed)
    assert (ended.code, ended.err) == (1, "")
    found = json.loads(ended.out)
    assert list(found) == ["refused"]
    assert reason in found["refused"]


WRONG: list[tuple[str, dict[str, Any] | bytes, str]] = [
    ("mean", b"", "body"),
    ("mean", b"{", "body"),
    ("mean", b"[]", "body"),
    ("mean", b'"x"', "body"),
    ("mean", b"null", "body"),
    ("mean", b"\xff\xfe", "body"),
    ("mean", b'{"a\xff": 1}', "body"),
    ("mean", b"[" * 100_000, "body"),
    ("mean", b'{"control":' * 100_000, "control.control"),
    ("adjust", b'{"p_values": [' + b"[" * 100_000, "p_values"),
    ("sequential", b'{"estimate": NaN, "se": 1, "planned_se": 1}', "estimate"),
    ("sequential", b'{"estimate": 1, "se": -Infinity, "planned_se": 1}', "se"),
    ("sequential", b'{"estimate": 1e999, "se": 1, "planned_se": 1}', "estimate"),
    ("sequential", b'{"estimate": ' + b"9" * 400 + b', "se": 1, "planned_se": 1}', "estimate"),
    ("srm", b'{"counts": [' + b"9" * 30 + b', 1], "expected": [1, 1]}', "counts"),
    ("srm", b'{"counts": [' + b"9" * 5000 + b', 1], "expected": [1, 1]}', "counts"),
    ("mean", {}, "control"),
    ("mean", {"control": sums(1, 1, 1)}, "treatment"),
    ("mean", {**EXAMPLES["mean"], "wieght": 1}, "wieght"),
    ("mean", {**EXAMPLES["mean"], "two\nlines\u2028\x1b[2J": 1}, "two lines"),
    ("mean", {**EXAMPLES["mean"], "x" * 10_000: 1}, "xxx"),
    ("mean", {**EXAMPLES["mean"], "control": {"n": 1, "sum": 1}}, "control.sum_squares"),
    ("mean", {**EXAMPLES["mean"], "control": sums(2, 10, 3)}, "control.sum_squares"),
    ("mean", {**EXAMPLES["mean"], "control": sums(1, 2, 5)}, "control.sum_squares"),
    ("mean", {**EXAMPLES["mean"], "control": sums(0, 1, 0)}, "control.sum"),
    ("mean", {**EXAMPLES["mean"], "treatment": sums(-1, 0, 0)}, "treatment.n"),
    ("mean", {**EXAMPLES["mean"], "treatment": {"n": 1.5, "sum": 1, "sum_squares": 1}}, "treatment.n"),
    ("mean", {**EXAMPLES["mean"], "treatment": {"n": True, "sum": 1, "sum_squares": 1}}, "treatment.n"),
    ("mean", {**EXAMPLES["mean"], "alternative": "bigger"}, "alternative"),
    ("mean", {**EXAMPLES["mean"], "alpha": 0.5}, "alpha"),
    ("mean", {**EXAMPLES["mean"], "alpha": 0}, "alpha"),
    ("mean", {**EXAMPLES["mean"], "margin": "0"}, "margin"),
    ("stratified", {"strata": [{"control": sums(2, 1, 0), "treatment": sums(2, 1, 1)}]}, "strata[0].control.sum_squares"),
    ("sequential", {"estimate": 1, "se": 0, "planned_se": 1}, "se"),
    ("group-sequential", {"information_fractions": []}, "information_fractions"),
    ("group-sequential", {"information_fractions": [0.5, 0.5]}, "information_fractions"),
    ("group-sequential", {"information_fractions": [0.5, 1.5]}, "information_fractions"),
    ("group-sequential", {"information_fractions": [0.5, 1], "spending": "power"}, "phi"),
    ("group-sequential", {"information_fractions": [0.5, 1], "phi": 2}, "phi"),
    ("group-sequential", {"information_fractions": [0.5, 1], "spending": "linear"}, "spending"),
    ("srm", {"counts": [1, 2, 3], "expected": [1, 1]}, "counts"),
    ("srm", {"counts": [10, 20], "expected": [1, 0]}, "expected"),
    ("srm", {"counts": [10, -1], "expected": [1, 1]}, "counts"),
    ("srm-sequential", {"counts": [[1, 2], [1]], "expected": [1, 1]}, "counts[1]"),
    ("srm-sequential", {"counts": [[1, 2]]}, "expected"),
    ("srm-sequential", {"counts": [], "expected": [1, 1]}, "counts"),
    ("srm-sequential", {"counts": [[1, 2]], "prior": [1, 1, 1], "expected": [1, 1]}, "prior"),
    ("srm-sequential", {"counts": [[1, 2]], "prior": [1, 1], "concentration": 2}, "prior"),
    ("adjust", {"p_values": [0.5, 1.5]}, "p_values"),
    ("adjust", {"p_values": [0.5], "method": "bonferroni"}, "method"),
    ("power", {"kind": "mean", "mde": 1}, "sd"),
    ("power", {"kind": "proportion", "mde": 0.1}, "baseline"),
    ("power", {"kind": "proportion", "mde": 0.1, "baseline": 0.2, "sd": 1}, "sd"),
    ("power", {"kind": "proportion", "mde": 0.2, "baseline": 0.9}, "mde"),
    ("power", {"kind": "mean", "sd": 1, "mde": 1, "power": 1}, "power"),
    ("power", {"kind": "mean", "sd": 1, "mde": -1}, "mde"),
    ("power", {"kind": "mean", "sd": 1, "mde": 1, "daily_units": 0}, "daily_units"),
]


@pytest.mark.parametrize(("method", "body", "field"), WRONG)
def test_wrong_input_is_told_in_one_line_that_names_the_field(method: str, body: dict[str, Any] | bytes, field: str) -> None:
    """Exit 2, nothing on standard output."""
    ended = stats(method, body)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"tiltyard: {field}")
    assert_one_line(ended.err)


@pytest.mark.parametrize("arguments", [["median"], [""], [], ["mean\n"]])
def test_an_unknown_method_is_told_those_that_are(arguments: list[str]) -> None:
    """In one line, exit 2."""
    found = CliRunner().invoke(cli, ["stats", *arguments], input=b"{}")
    assert (found.exit_code, found.stdout) == (2, "")
    assert "adaptive" in found.stderr
    assert_one_line(found.stderr)


def test_listing_imports_no_statistics() -> None:
    """`stats --help` is quick: each method's module is imported when it is used, and scipy.stats, which takes long, by none."""
    program = (
        "import sys; from click.testing import CliRunner; from server.cli import cli; run = CliRunner().invoke;"
        "assert run(cli, ['stats', '--help']).exit_code == 0; assert 'scipy' not in sys.modules;"
        "assert run(cli, ['stats', 'adjust'], input=b'{\"p_values\": [1]}').exit_code == 0; assert 'scipy.stats' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=200)
