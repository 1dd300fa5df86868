"""A batch test for a terminal: plain text of at most 100 columns, the outcome first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from experiments.text import Data, fitted, grid, number, p_text, span

OUTCOMES = {True: "PASSED", False: "FAILED", None: "TESTED"}
_MARKS = {True: "pass", False: "FAIL", None: "-"}
MOST_CLASSES = 12
"""Classes of which a confusion table is printed."""


def table(test: Data) -> str:
    """A test (see `flows.batch_tests.whole`) as text without a newline at its end."""
    parts = [_head(test), _checks(test), _metrics(test), _confusion(test), _calibration(test), _comparison(test)]
    parts += [_slices(test), _cost(test), iter(test["notes"])]
    blocks = ["\n".join(row for line in part for row in fitted(line)) for part in parts]
    return "\n\n".join(printable(block) for block in blocks if block)


def printable(text: str) -> str:
    """The text with a space for whatever would move the cursor or colour a terminal: names come from data."""
    return "".join(each if each.isprintable() or each == "\n" else " " for each in text)


def outcome(test: Data) -> str:
    """What came of it, in one word."""
    return OUTCOMES[test["passed"]]


def counted(data: Data) -> str:
    """How many rows were tested, and why not all."""
    words = {"unlabelled": "without a true value", "unanswered": "without an answer"}
    left_out = [f"{data[name]} {said}" for name, said in words.items() if data[name]]
    return f"{data['tested']} rows" + (f" of {data['rows']} ({', '.join(left_out)}, left out)" if left_out else "")


def settings(test: Data) -> str:
    """How the figures were made."""
    made = test["settings"]
    return f"intervals at confidence {1.0 - made['alpha']:g}; {made['resamples']} resamples, seed {made['seed']}"


def multiplicity(test: Data) -> str:
    """How many slices' differences were tested, and what that means."""
    found = test["slices"]
    said = f"{found['tested']} differences from the rest were tested; adjusted p values are for all of them together (Holm)."
    return f"{said} A slice, or a rest, of fewer than {found['fewest']} rows is shown and not tested."


def _head(test: Data) -> Iterator[str]:
    yield f"{outcome(test)}  {test['version']} on {test['data']['file']} ({test['data']['sha256'][:12]}), test {test['id']}"
    yield f"  {counted(test['data'])}, target {test['data']['target']}; {settings(test)}"


def _checks(test: Data) -> Iterator[str]:
    for check in test["checks"]:
        yield f"  {_MARKS[check['passed']]}  {check['reason']}"


def _metrics(test: Data) -> Iterator[str]:
    rows = [[name, number(one["value"]), _span(one), one.get("method") or ""] for name, one in test["metrics"].items()]
    yield from grid(["METRIC", "VALUE", "INTERVAL", "BY"], rows)
    if test.get("positive") is not None:
        yield f"precision, recall, f1, auc and average_precision are of the class {test['positive']}"
    refused: dict[str, list[str]] = {}
    for name, one in test["metrics"].items():
        if one.get("refused"):
            refused.setdefault(one["refused"], []).append(name)
    for reason, names in refused.items():
        yield f"no interval of {', '.join(names)}: {reason}"


def _span(one: Data) -> str:
    return span(one.get("lower"), one.get("upper"))


def _confusion(test: Data) -> Iterator[str]:
    if "confusion" not in test or len(test["classes"]) > MOST_CLASSES:
        return
    names = [one["class"][:20] for one in test["classes"]]
    rows = [[name, *row] for name, row in zip(names, test["confusion"], strict=True)]
    yield from grid(["TRUE \\ SAID", *names], rows)


def _calibration(test: Data) -> Iterator[str]:
    found = test["calibration"]
    if found is None:
        return
    if "ece" in found:
        expected = f"{number(found['ece_if_calibrated'])} were to be expected of right probabilities"
        yield f"calibration of {found['of']}: expected error {number(found['ece'])}, {expected} (p {p_text(found['ece_p_value'])})"
        z = found["spiegelhalter"]
        yield "  Spiegelhalter: " + (f"refused, {z['refused']}" if "refused" in z else f"z {number(z['z'])}, p {p_text(z['p_value'])}")
    line = found["recalibration"]
    if "refused" in line:
        yield f"  recalibration: refused, {line['refused']}"
    else:
        told = ", ".join(f"{name} {number(one['value'])} {_span(one)}" for name, one in line.items())
        yield f"{'  ' if 'ece' in found else ''}recalibration: {told} (well calibrated: 0 and 1)"


def _comparison(test: Data) -> Iterator[str]:
    found = test["comparison"]
    if found is None:
        return
    agreement = f"; {found['agreement']:.2%} of the answers agree" if "agreement" in found else ""
    yield f"against {test['against']} on the same rows{agreement}"
    if "refused" in found:
        yield f"  refused, {found['refused']}"
        return
    yield from ("  " + line for line in grid(["METRIC", "THIS", "OTHER", "DIFFERENCE", "INTERVAL", "P", "ADJUSTED"], _compared(found)))
    yield f"  {compared_by(found)}"
    if "right" in found:
        right = found["right"]
        alone = f"only this {right['only_left']}, only the other {right['only_right']}"
        yield f"  both right {right['both']}, {alone}, neither {right['neither']}"


def _compared(found: Data) -> list[list[str]]:
    return [
        [one["metric"], number(one["left"]), number(one["right"]), number(one["difference"], sign=True), _span(one), *_p_values(one)]
        for one in found["metrics"]
    ]


def _p_values(one: Data) -> list[str]:
    return [p_text(one["p_value"]), p_text(one["adjusted"])]


def compared_by(found: Data) -> str:
    """By which tests, and how many."""
    if found["tested"] == 0:
        reasons = dict.fromkeys(one["refused"] for one in found["metrics"] if one["refused"])
        return f"No difference could be tested: {'; '.join(reasons)}."
    methods: dict[str, list[str]] = {}
    for one in found["metrics"]:
        if one["p_value"] is not None:
            methods.setdefault(one["method"], []).append(one["metric"])
    told = "; ".join(f"{', '.join(names)} by {method}" for method, names in methods.items())
    return f"{found['tested']} metrics were compared ({told}); adjusted p values are for all of them together (Holm)."


def _slices(test: Data) -> Iterator[str]:
    for column in test["slices"]["columns"]:
        names = headline(test)
        rows = [[one["slice"][:30], one["rows"], *_of_slice(one, names)] for one in column["slices"]]
        yield from grid([column["column"][:30].upper(), "ROWS", *names, "SMALLEST P", "ADJUSTED", ""], rows)
    if test["slices"]["columns"]:
        yield multiplicity(test)


def headline(test: Data) -> list[str]:
    """The metrics that are shown of each slice."""
    wanted = ("accuracy", "auc", "log_loss", "rmse", "mae")
    return [name for name in wanted if test["metrics"].get(name, {}).get("value") is not None]


def _of_slice(one: Data, names: list[str]) -> list[str]:
    values = [number(one["metrics"].get(name, {}).get("value")) for name in names]
    tests = [each for each in one["differences"].values() if "adjusted" in each]
    if one["small"]:
        return [*values, "-", "-", "too few rows"]
    least = min(tests, key=lambda each: float(each["p_value"]), default=None)
    return [*values, p_text(least and least["p_value"]), p_text(least and least["adjusted"]), ""]


def _cost(test: Data) -> Iterator[str]:
    latency, memory = test["latency"], test["memory"]
    if latency is not None:
        yield f"latency of one row: {_times(latency)} ({latency['calls']} calls); in batches {latency['rows_per_second']:,.0f} rows/s"
        if "ratio" in latency:
            ratio = latency["ratio"]
            yield f"  {test['against']}: {_times(latency['other'])}; ratio of the medians {number(ratio['value'])} {_span(ratio)}"
    if memory is not None and memory["peak_bytes"] is not None:
        other = memory.get("other_peak_bytes")
        told = "" if other is None else f"; {test['against']}: {other / 1e6:.1f} MB"
        yield f"memory of loading and answering: {memory['peak_bytes'] / 1e6:.1f} MB{told}"


def _times(found: dict[str, Any]) -> str:
    return ", ".join(f"{name[:3]} {found[name]:.3g} ms" for name in ("p50_ms", "p95_ms", "p99_ms"))
