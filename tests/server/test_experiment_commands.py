"""Metrics and experiments on the command line: what is asked for comes about, what is wrong is named in one clear line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from server.cli import main
from tests.flows.flow_world import World
from tests.server.commands_world import Ended

Cli = Callable[..., "Ended"]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the endpoint `credit`: m@1 against m@2."""
    World(tmp_path).endpoint(at=time.time())
    monkeypatch.setenv("TILTYARD_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def run(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in that home."""

    def ended(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["tiltyard", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        return Ended(cast(int, caught.value.code), *capsys.readouterr())

    return ended


def shown(ended: Ended) -> Any:
    """The JSON of a command that went well."""
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


def refused(ended: Ended, code: int, said: str) -> None:
    """It ended with one clear line; what click refuses comes with how the command is used."""
    assert (ended.code, ended.out) == (code, "")
    *usage, line = ended.err.strip().splitlines()
    assert said in line
    assert code == 2 or not usage
    assert "Traceback" not in ended.err


def test_declaring_listing_and_taking_back(run: Cli) -> None:
    """A metric's options are its fields; people see a table, machines JSON."""
    declared = shown(
        run(
            "metric",
            "declare",
            "wait",
            "--endpoint",
            "credit",
            "--kind",
            "quantile",
            "--quantile",
            ".9",
            "--latency",
            "--role",
            "info",
            "--json",
        )
    )
    assert {key: declared[key] for key in ("name", "kind", "quantile", "source", "role")} == {
        "name": "wait",
        "kind": "quantile",
        "quantile": 0.9,
        "source": "latency",
        "role": "info",
    }
    assert (
        run("metric", "declare", "revenue", "--endpoint", "credit", "--cap", "50").out
        == "metric revenue on credit: success, continuous, to increase\n"
    )
    assert [each["name"] for each in shown(run("metric", "list", "--endpoint", "credit", "--json"))["metrics"]] == ["revenue", "wait"]
    assert "quantile" in run("metric", "list", "--endpoint", "credit").out
    assert run("metric", "remove", "wait", "--endpoint", "credit").out == "metric wait on credit: removed\n"
    assert shown(run("metric", "remove", "revenue", "--endpoint", "credit", "--json"))["removed"]
    assert run("metric", "list", "--endpoint", "credit").out == "No metric is declared on credit.\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("credit", "--kind", "sum"), 2, "--kind"),
        (("credit", "--direction", "up"), 2, "--direction"),
        (("credit", "--role", "hero"), 2, "--role"),
        (("credit", "--kind", "ratio"), 2, "metrics.m.denominator"),
        (("credit", "--kind", "ratio", "--denominator", "a b"), 2, "metrics.m.denominator"),
        (("credit", "--denominator", "views"), 2, "metrics.m.denominator"),
        (("credit", "--outcome", "é"), 2, "metrics.m.outcome"),
        (("credit", "--kind", "quantile"), 2, "metrics.m.quantile"),
        (("credit", "--kind", "quantile", "--quantile", "1"), 2, "metrics.m.quantile"),
        (("credit", "--quantile", "high"), 2, "--quantile"),
        (("credit", "--latency"), 2, "metrics.m.source"),
        (("credit", "--kind", "label_loss"), 2, "metrics.m.loss"),
        (("credit", "--kind", "label_loss", "--loss", "hinge"), 2, "--loss"),
        (("credit", "--window", "0"), 2, "metrics.m.window_seconds"),
        (("credit", "--window", "nan"), 2, "metrics.m.window_seconds"),
        (("credit", "--window", "inf"), 2, "metrics.m.window_seconds"),
        (("credit", "--window", "a day"), 2, "--window"),
        (("credit", "--lateness", "-1"), 2, "metrics.m.lateness_seconds"),
        (("credit", "--lateness", "nan"), 2, "metrics.m.lateness_seconds"),
        (("credit", "--cap", "-5"), 2, "metrics.m.cap"),
        (("credit", "--cap", "5", "--cap-percentile", "99"), 2, "metrics.m.cap"),
        (("credit", "--cap-percentile", "100"), 2, "metrics.m.cap_percentile"),
        (("credit", "--kind", "binary", "--cap", "5"), 2, "metrics.m.cap"),
        (("credit", "--covariate", "age"), 2, "--covariate"),
        (("credit", "--kind", "ratio", "--denominator", "views", "--covariate", "earlier"), 2, "metrics.m.covariate"),
        (("credit", "--estimator", "ols"), 2, "--estimator"),
        (("credit", "--margin", "1"), 2, "metrics.m.margin"),
        (("credit", "--role", "guardrail", "--margin", "0"), 2, "metrics.m.margin"),
        (("credit", "--role", "info", "--weight", "1"), 2, "metrics.m.weight"),
        (("nobody",), 1, "no endpoint 'nobody'"),
    ],
    ids=str,
)
def test_a_metric_that_cannot_be(run: Cli, words: tuple[str, ...], code: int, said: str) -> None:
    """The option or field to blame is named, in one line."""
    refused(run("metric", "declare", "m", "--endpoint", words[0], *words[1:]), code, said)


def test_names_of_metrics(run: Cli) -> None:
    """One that is none is refused, and one that is not declared cannot be taken back."""
    refused(run("metric", "declare", "a b", "--endpoint", "credit"), 2, "metrics.name")
    refused(run("metric", "remove", "nothing", "--endpoint", "credit"), 1, "no metric 'nothing' is declared on endpoint 'credit'")
    refused(run("metric", "list", "--endpoint", "nobody"), 1, "no endpoint 'nobody'")


def design(run: Cli, name: str) -> Any:
    return next(each["design"] for each in shown(run("experiment", "list", "--json"))["experiments"] if each["experiment"] == name)


def test_experiments_take_what_was_declared(run: Cli, path: Path) -> None:
    """Named metrics, or all; from options, or a file with options on top."""
    run("metric", "declare", "revenue", "--endpoint", "credit", "--cap", "50")
    run("metric", "declare", "views", "--endpoint", "credit", "--kind", "count", "--role", "info")
    create = ("experiment", "create", "--endpoint", "credit", "--draft", "--json")
    shown(run(*create, "all", "--mde", "1"))
    shown(run(*create, "some", "--mde", "1", "--success", "revenue", "--guardrail", "errors"))
    file = path / "design.json"
    file.write_text(json.dumps({"metrics": ["revenue", {"name": "views", "window_seconds": 60}], "mde": 1.0, "alpha": 0.01}))
    shown(run(*create, "file", "--design", file, "--mde", "2", "--slice", "country", "--slice", "age"))
    revenue = {"name": "revenue", "cap": 50.0}
    assert design(run, "all")["metrics"] == [revenue, {"name": "views", "role": "info", "kind": "count"}]
    assert design(run, "some")["metrics"] == [revenue, {"name": "errors", "role": "guardrail"}]
    file.write_text(json.dumps({"mde": 1.0, "lateness_seconds": 60}))
    shown(run(*create, "zero", "--design", file, "--lateness", "0"))
    assert design(run, "zero")["lateness_seconds"] == 0.0
    found = design(run, "file")
    assert (found["mde"], found["alpha"], found["slices"]) == (2.0, 0.01, ["country", "age"])
    assert [each.get("window_seconds") for each in found["metrics"]] == [None, 60.0]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--success", "m"), 2, "--mde"),
        (("--mde", "1"), 2, "none is declared on endpoint credit"),
        (("--success", "m", "--mde", "0"), 2, "mde"),
        (("--success", "m", "--mde", "nan"), 2, "mde"),
        (("--success", "m", "--mde", "much"), 2, "--mde"),
        (("--success", "a b", "--mde", "1"), 2, "metrics.name"),
        (("--success", "m", "--success", "m", "--mde", "1"), 2, "metrics: expected each name once"),
        (("--guardrail", "m", "--mde", "1"), 2, "metrics"),
        (("--success", "m", "--mde", "1", "--alpha", "0.6"), 2, "alpha"),
        (("--success", "m", "--mde", "1", "--power", "1"), 2, "power"),
        (("--success", "m", "--mde", "1", "--window", "-1"), 2, "window_seconds"),
        (("--success", "m", "--mde", "1", "--lateness", "inf"), 2, "lateness_seconds"),
        (("--success", "m", "--mde", "1", "--look-every", "0"), 2, "look_every_seconds"),
        (("--success", "m", "--mde", "1", "--horizon", "5"), 2, "horizon_seconds"),
        (("--success", "m", "--mde", "1", "--test", "chi"), 2, "--test"),
        (("--success", "m", "--mde", "1", "--test", "fixed-horizon"), 2, "horizon_seconds"),
        (("--success", "m", "--mde", "1", "--maximum", "1e9"), 2, "maximum"),
        (("--success", "m", "--mde", "1", "--spending", "linear"), 2, "--spending"),
        (("--success", "m", "--mde", "1", "--test", "group-sequential", "--spending", "power"), 2, "phi"),
        (("--success", "m", "--mde", "1", "--interim-looks", "0"), 2, "interim_looks"),
        (("--success", "m", "--mde", "1", "--slice", ""), 2, "slices"),
        (("--success", "m", "--mde", "1", "--slice", "a", "--slice", "a"), 2, "slices"),
        (("--design", "nowhere.json"), 2, "nowhere.json"),
    ],
    ids=str,
)
def test_an_experiment_that_cannot_be(run: Cli, words: tuple[str, ...], code: int, said: str) -> None:
    """The option or field to blame is named, in one line."""
    refused(run("experiment", "create", "e1", "--endpoint", "credit", *words), code, said)


@pytest.mark.parametrize(
    "text", ["", "7", "[]", "{", '{"mde": NaN}', '{"mde": 1, "colour": 2}', '{"mde": 1, "metrics": "m"}', '{"mde": 1, "metrics": [[]]}']
)
def test_a_file_that_is_no_design(run: Cli, path: Path, text: str) -> None:
    """It is named, or the field in it."""
    file = path / "design.json"
    file.write_text(text)
    refused(
        run("experiment", "create", "e1", "--endpoint", "credit", "--design", file),
        2,
        "" if '"mde": 1' in text else "design.json",
    )


def test_a_file_that_cannot_be_read(run: Cli, path: Path) -> None:
    """A directory, bytes that are no text: one line each."""
    refused(run("experiment", "create", "e1", "--endpoint", "credit", "--design", path), 2, str(path))
    (path / "bytes").write_bytes(bytes(range(128, 256)))
    refused(run("experiment", "create", "e1", "--endpoint", "credit", "--design", path / "bytes"), 2, "bytes")


def test_a_a_from_the_command_line(run: Cli) -> None:
    """Different versions are no A/A test: that is said."""
    refused(run("experiment", "aa", "e1", "--endpoint", "credit", "--success", "m", "--mde", "1"), 1, "those of credit serve m@1, m@2")


def test_units_can_be_given_their_arms_anew(run: Cli) -> None:
    """With `--rerandomise` the experiment begins on another salt, at creation as at the start of a draft; without it on the same."""
    salts = [shown(run("endpoint", "history", "credit", "--json"))["plans"][0]["salt"]]
    for name, words in (("e1", ()), ("e2", ("--rerandomise",)), ("e3", ("--draft",))):
        shown(run("experiment", "create", name, "--endpoint", "credit", "--success", "m", "--mde", "1", *words, "--json"))
        if words == ("--draft",):
            shown(run("experiment", "start", name, "--rerandomise", "--json"))
        salts.append(shown(run("endpoint", "history", "credit", "--json"))["plans"][0]["salt"])
        shown(run("experiment", "stop", name, "--json"))
    assert salts[0] == salts[1]
    assert len(set(salts)) == 3


def test_a_draft_can_be_given_up(run: Cli) -> None:
    """It makes no plan, and can be started no more."""
    shown(run("experiment", "create", "e1", "--endpoint", "credit", "--success", "m", "--mde", "1", "--draft", "--json"))
    assert shown(run("experiment", "stop", "e1", "--json"))["state"] == "stopped"
    assert len(shown(run("endpoint", "history", "credit", "--json"))["plans"]) == 1
    refused(run("experiment", "start", "e1"), 1, "only a draft can be started")


def test_a_loss_fits_the_models(run: Cli) -> None:
    """Regressors have no right and wrong: refused when it is declared, and when an experiment brings it."""
    words = ("m", "--endpoint", "credit", "--kind", "label_loss", "--loss")
    refused(run("metric", "declare", *words, "error"), 2, "metrics.m.loss: error is a loss of labels (classifiers)")
    assert shown(run("metric", "declare", *words, "squared", "--json"))["loss"] == "squared"
