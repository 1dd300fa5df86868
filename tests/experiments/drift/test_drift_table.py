"""The report on drift for a terminal."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from experiments.drift.decay import Decay
from experiments.drift.judging import Rule, judge
from experiments.drift.table import MOST_SHOWN, table
from experiments.text import WIDTH
from tests.experiments.drift.test_decay import errors
from tests.experiments.drift.test_judging import normal

WINDOW = {"number": 3, "from": "2026-05-03T12:00:00.000Z", "to": "2026-05-03T13:00:00.000Z", "rows": 1000, "independent_rows": 1000}


def version(shift: float) -> dict[str, Any]:
    """What the report tells of a version with ten features, the last one shifted."""
    names = [f"x{k}" for k in range(10)]
    columns = judge([normal(seed=k) for k in range(9)] + [normal(shift)], Rule(0.001, 0.1))
    found = msgspec.to_builtins(dict(zip(names, columns, strict=True)))
    alarms = {f"features.{name}": one["reason"] for name, one in found.items() if one["alarm"]}
    window = {**WINDOW, "alarm": bool(alarms), "alarms": alarms}
    decayed = msgspec.to_builtins(Decay(False, "within chance", "error", 0.05, 0.06, 0.4))
    return {
        "arms": ["control"],
        "alarm": bool(alarms),
        "reason": "; ".join(alarms.values()) or "within chance",
        "notes": ["said of it"],
        "window": window,
        "features": found,
        "predictions": {"value": found["x0"]},
        "label_window": {**WINDOW, "alarm": False, "alarms": {}},
        "labels": found["x1"],
        "performance": decayed,
        "filling": {"rows": 7, "labels": 5},
        "adwin": {"changes": 2, "last": {"at": WINDOW["to"], "columns": ["x4"]}},
        "windows": {"rows": 3, "labels": 2},
        "alarms": {"rows": 1, "labels": 0},
        "last_alarm": {"rows": {**window, "number": 1, "alarm": True, "alarms": {"features.x5": "…"}}, "labels": None},
        "history": {"rows": [window, {**window, "number": 2, "alarm": True, "alarms": {"features.x6": "…"}}], "labels": []},
    }


def report(**versions: Any) -> dict[str, Any]:
    """The report on an endpoint with these versions."""
    rate = {"window": 0.001, "windows": 50, "any": 0.05}
    return {"endpoint": "credit", "false_alarm_rate": rate, "window_rows": 1000, "least_psi": 0.1, "versions": versions}


@pytest.fixture
def lines() -> list[str]:
    """Of a version whose last feature is shifted."""
    return table(report(**{"m@1": version(0.5)})).splitlines()


def test_alarms_come_first(lines: list[str]) -> None:
    """Then the columns with the largest PSI, and how many are left."""
    assert next(line for line in lines if "m@1" in line) == "DRIFT  m@1 (control)"
    head = next(place for place, line in enumerate(lines) if line.split()[:1] == ["column"])
    assert lines[head + 1].split()[0] == "x9"
    assert "ALARM" in lines[head + 1]
    assert "    and 5 columns with a lower PSI (--all)" in lines
    assert sum(line.startswith("    x") or line.startswith("    [") for line in lines) == 1 + MOST_SHOWN


def test_all_shows_every_column() -> None:
    """Predictions in brackets, so that they are not taken for features."""
    text = table(report(**{"m@1": version(0.0)}), whole=True)
    assert all(f"    {name} " in text for name in [*(f"x{k}" for k in range(10)), "[value]"])
    assert "--all" not in text
    assert "ok     m@1 (control)" in text


def test_all_else_is_told(lines: list[str]) -> None:
    """The rate, notes, labels, performance, changes against the own past, the last alarm, and what fills now, in lines that fit."""
    text = " ".join(" ".join(lines).split())
    for told in (
        "with probability 0.001 at most, one of 50 windows with 0.05",
        "said of it",
        "error: 0.06 beside 0.05 on the sample: within chance (p 0.4)",
        "ADWIN: 2 changes against its own past, the last at 2026-05-03T13:00:00.000Z in x4",
        "alarm in window 2 of rows, to 2026-05-03T13:00:00.000Z: features.x6",
        "alarm in window 1 of rows, to 2026-05-03T13:00:00.000Z: features.x5",
        "3 judged, 1 with an alarm, 7 rows in the next",
    ):
        assert told in text
    assert max(map(len, lines)) <= WIDTH


def test_a_long_name_is_cut() -> None:
    """So that a column stays on its line."""
    found = version(0.0)
    found["features"] = {f"{'a long name ' * 10}{name}": one for name, one in found["features"].items()}
    text = table(report(**{"m@1": found}), whole=True)
    assert text.count(f"    {('a long name ' * 10)[:39]}…") == 10


def test_a_version_without_a_reference_says_so() -> None:
    """And nothing else is made up of it."""
    none = {"arms": [], "alarm": False, "reason": "no reference: it was registered without a sample", "notes": []}
    assert "not judged  m@2 (no arm now)\n  no reference: it was registered without a sample\n" in table(report(**{"m@2": none}))


def test_before_the_first_window_nothing_is_ok() -> None:
    """Rows or labels must have been judged once."""
    found = {**version(0.0), "window": None, "label_window": None, "reason": "no window is full yet (7 rows)"}
    assert "not judged yet  m@1 (control)\n  no window is full yet (7 rows)\n" in table(report(**{"m@1": found}))
    assert "ok     m@1 (control)" in table(report(**{"m@1": {**found, "label_window": WINDOW}}))


def test_the_errors_of_an_alarm_are_told_once() -> None:
    """Its reason has them too, and stands in the sentence on the version."""
    decayed = msgspec.to_builtins(errors(0.05, 0.15))
    text = table(report(**{"m@1": {**version(0.0), "performance": decayed}}))
    assert decayed["alarm"]
    assert text.count("0.15") == 1
    assert "    error: 0.15 beside 0.05 on the sample: ALARM (p " in text
