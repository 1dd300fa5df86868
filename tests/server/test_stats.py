"""`tiltyard stats` end to end: what it prints, what it refuses, and that no input at all brings more than one clear line."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any, NamedTuple

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from experiments import calculator
from server.cli import cli

METHODS = list(calculator.METHODS)


class Ended(NamedTuple):
    """How a run ended: its exit code, and what it wrote."""

    code: int
    out: str
    err: str


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


def assert_one_line(text: str) -> None:
    """One line, of printable characters, of a length that can be read."""
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    assert 10 < len(text) < 1000


@pytest.mark.parametrize("arguments", [["median"], [""], [], ["mean\n"]])
def test_an_unknown_method_is_told_those_that_are(arguments: list[str]) -> None:
    """In one line, exit 2."""
    found = CliRunner().invoke(cli, ["stats", *arguments], input=b"{}")
    assert (found.exit_code, found.stdout) == (2, "")
    assert "adaptive" in found.stderr
    assert_one_line(found.stderr)


def assert_contract(method: str, body: bytes) -> None:
    """Finite figures; or a reason; or one clear line."""
    ended = stats(method, body)
    if ended.code == 2:
        assert ended.out == ""
        assert_one_line(ended.err)
        return
    assert ended.err == ""
    found = json.loads(ended.out, parse_constant=pytest.fail)
    if ended.code == 1:
        assert list(found) == ["refused"]
        assert len(found["refused"]) > 10
        return
    assert ended.code == 0
    assert "refused" not in found
    for key in ("p_value", "p_values", "p_exact", "p_mid", "wilcoxon_p", "nominal_p", "adjusted"):
        for p in found.get(key, []) if isinstance(found.get(key, []), list) else [found[key]]:
            assert p is None or 0.0 <= p <= 1.0


numbers = st.sampled_from([0, 1, 2, -1, 0.5, 1e-300, 1e300, -1e300, 5e-324, 1.7e308, 1e154, 0.1, 1e16, 2**53, 10**30, 0.999999])
others = st.sampled_from(["null", "true", '"a"', '""', "[]", "{}", "[0, 1]", '{"a": 1}'])
odd_values = numbers | st.floats(allow_nan=False, allow_infinity=False) | others.map(json.loads)


@st.composite
def changed_examples(draw: st.DrawFn, method: str) -> bytes:
    """The method's example with a few values replaced, doubled or taken out, wherever they stand."""
    document = json.loads(json.dumps(EXAMPLES[method]))
    for _ in range(draw(st.integers(1, 3))):
        change(draw, document)
    return json.dumps(document).encode()


def change(draw: st.DrawFn, document: Any) -> None:
    """One place, found by walking down at random."""
    here = document
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        if not isinstance(here[key], dict | list) or not draw(st.sampled_from([True, True, True, False])):
            break
        here = here[key]
    what = draw(st.sampled_from(["number", "number", "number", "odd", "out", "double", "same"]))
    if what == "out":
        del here[key]
    elif what == "double" and isinstance(here, list):
        here.append(here[key])
    elif what == "same" and isinstance(here, list):
        here[:] = [here[key]] * len(here)
    else:
        here[key] = draw(odd_values if what == "odd" else numbers)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_an_example_with_odd_values_keeps_the_contract(method: str, data: st.DataObject) -> None:
    """Extreme, missing and wrong values at any place of an input that was right."""
    assert_contract(method, data.draw(changed_examples(method)))


def from_type(kind: inspect.Type, size: int) -> st.SearchStrategy[Any]:
    """Values of a type that a method reads; all lists have one length, so that they match."""
    match kind:
        case inspect.StructType():
            needed = {f.encode_name: from_type(f.type, size) for f in kind.fields if f.required}
            return st.fixed_dictionaries(needed, optional={f.encode_name: from_type(f.type, size) for f in kind.fields if not f.required})
        case inspect.ListType():
            return st.lists(from_type(kind.item_type, size), min_size=size, max_size=size)
        case inspect.TupleType():
            return st.tuples(*[from_type(each, size) for each in kind.item_types])
        case inspect.DictType():
            return st.fixed_dictionaries({"a": from_type(kind.value_type, size), "b": from_type(kind.value_type, size)})
        case inspect.UnionType():
            return st.one_of([from_type(each, size) for each in kind.types])
        case inspect.LiteralType():
            return st.sampled_from(kind.values)
        case inspect.IntType():
            return st.integers(0, 20) | st.sampled_from([0, 1, 1000, 2**53])
        case inspect.FloatType():
            return st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0.0, 1.0) | st.floats(allow_nan=False, allow_infinity=False)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case _:
            return st.sampled_from(["a", "b"])


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_input_of_the_right_types_keeps_the_contract(method: str, data: st.DataObject) -> None:
    """Of extreme values and few, equal and none."""
    kind = inspect.type_info(calculator.find(method).reads)
    drawn = data.draw(st.sampled_from([0, 1, 2, 2, 3, 5]).flatmap(lambda size: from_type(kind, size)))
    assert_contract(method, msgspec.json.encode(drawn))


@given(st.sampled_from(METHODS), st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_keep_the_contract(method: str, body: bytes) -> None:
    """What is no JSON is told so."""
    assert_contract(method, body)


def test_listing_imports_no_statistics() -> None:
    """`stats --help` is quick: each method's module is imported when it is used, and scipy.stats, which takes long, by none."""
    program = (
        "import sys; from click.testing import CliRunner; from server.cli import cli; run = CliRunner().invoke;"
        "assert run(cli, ['stats', '--help']).exit_code == 0; assert 'scipy' not in sys.modules;"
        "assert run(cli, ['stats', 'adjust'], input=b'{\"p_values\": [1]}').exit_code == 0; assert 'scipy.stats' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
