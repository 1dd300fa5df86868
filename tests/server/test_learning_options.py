"""`tiltyard model register` with the options of a learner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.models.model_zoo import fitted
from tests.models.river_zoo import CASES, write_pickle, write_sample
from tests.server.commands_world import Ended, Run


@pytest.fixture
def register(run: Run, tmp_path: Path) -> Run:
    """Run a logistic pipeline."""
    write_sample(tmp_path / "sample.csv", CASES["logistic"].rows())
    path = write_pickle(tmp_path / "model.pkl", CASES["logistic"].make())
    words = ("model", "register", "churn", path, "--sample", tmp_path / "sample.csv", "--target", "target", "--trust-pickle")
    return lambda *more: run(*words, *more)


def _settings(ended: Ended) -> Any:
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)["river"]["settings"]


def test_what_is_said_is_set(register: Run) -> None:
    """Each option is a setting; times may have a unit."""
    words = "--learn all --late 12h --metrics LogLoss,Accuracy --window 500 --drift KSWIN --drift-parameter alpha=0.01"
    more = "--drift-parameter window_size=50 --on-drift challenger --fresh-labels 200 --keep-every 0"
    assert _settings(register(*words.split(), *more.split(), "--json")) == {
        "learns_from": "all",
        "late_seconds": 43200.0,
        "metrics": ["LogLoss", "Accuracy"],
        "window": 500,
        "detector": "KSWIN",
        "detector_parameters": {"alpha": 0.01, "window_size": 50.0},
        "on_drift": "challenger",
        "fresh_labels": 200,
        "keep_every": 0,
    }


def test_what_is_not_said_is_as_usual(register: Run) -> None:
    """It learns from its own rows, for which a week is waited."""
    settings = _settings(register("--json"))
    assert (settings["learns_from"], settings["late_seconds"], settings["detector"]) == ("own", 604800.0, "ADWIN")
    assert _settings(register("--learn", "off", "--json")) is None
    assert _settings(register("--drift", "none", "--json"))["detector"] == ""


@pytest.mark.parametrize(("text", "seconds"), [("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), ("2h", 7200.0), ("7d", 604800.0)])
def test_times(register: Run, text: str, seconds: float) -> None:
    """A number of seconds, or with its unit."""
    assert _settings(register("--late", text, "--json"))["late_seconds"] == seconds


def test_people_read_what_it_learns_from(register: Run, run: Run) -> None:
    """Kind, River's release and the feedback loop, when it is registered and whenever it is shown."""
    told = register().out
    assert "classifier, made with River" in told
    assert "learns from the rows that it answered itself (own)" in told
    assert told.splitlines()[:3] == run("model", "show", "churn@1").out.splitlines()[:3]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("--learn mine", 2, "--learn"),
        ("--late soon", 2, "expected a time such as 90, 15m, 12h or 7d, got 'soon'"),
        ("--late 0", 2, "--late: expected a number above 0"),
        ("--drift-parameter delta", 2, "expected NAME=NUMBER such as delta=0.002, got 'delta'"),
        ("--drift-parameter delta=nan", 2, "--drift-parameter: delta: expected a finite number"),
        ("--drift Dingo", 2, "--drift: expected a name of river.drift such as ADWIN or KSWIN, got 'Dingo'"),
        ("--metrics Nope", 2, "--metrics: expected names of river.metrics such as Accuracy or MAE, got 'Nope'"),
        ("--window 0", 2, "--window: expected a whole number from 1"),
        ("--learn off --late 7d", 2, "a version that does not learn takes no other option"),
    ],
)
def test_what_will_not_do(register: Run, words: str, code: int, said: str) -> None:
    """One clear line, and no version."""
    ended = register(*words.split())
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err.strip().splitlines()[-1]


def test_another_model_does_not_learn(run: Run, tmp_path: Path) -> None:
    """Whatever option of a learner is given."""
    path = write_pickle(tmp_path / "ridge.pkl", fitted("ridge"))
    ended = run("model", "register", "ridge", path, "--trust-pickle", "--window", "10")
    assert (ended.code, ended.err) == (1, "tiltyard: learn: only a River model learns while it serves, and ridge.pkl holds none\n")


def test_a_factory(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of one's own, named by its path from here; no trust is asked for beyond that."""
    write_sample(tmp_path / "sample.csv", CASES["logistic"].rows())
    (tmp_path / "risk.py").write_text("from river import linear_model\n\n\ndef build():\n    return linear_model.LogisticRegression()\n")
    monkeypatch.chdir(tmp_path)
    ended = run("model", "register", "risk", "./risk.py:build", "--sample", "sample.csv", "--target", "target", "--json")
    assert (ended.code, json.loads(ended.out)["source"]) == (0, "risk.py:build")
    refused = run("model", "register", "risk", "./risk.py:make", "--sample", "sample.csv", "--target", "target")
    assert (refused.code, refused.err) == (1, "tiltyard: risk.py:make: the file has no function 'make'\n")
