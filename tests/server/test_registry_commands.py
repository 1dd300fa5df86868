"""`tiltyard model …`: register with what is said, search, describe, approve, retire, delete, alias, rule."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import skops.io
from click.testing import CliRunner, Result
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

from core.errors import Conflict, Invalid, NotFound, TiltyardError
from flows.registry.query import FIELDS
from server.cli import cli
from tests.flows.registry.registry_world import Registry, by


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The home that commands work on, with credit@1."""
    monkeypatch.setenv("TILTYARD_HOME", str(tmp_path))
    made = Registry(tmp_path)
    made.add(description="A forest", tags=("fraud",), metrics={"auc": 0.91}, owner="ann")
    return made


def invoke(*arguments: object) -> Result:
    """A command, however it ends."""
    return CliRunner().invoke(cli, ["model", *map(str, arguments)])


def run(*arguments: object) -> str:
    """What a command that succeeds prints."""
    done = invoke(*arguments)
    assert done.exit_code == 0, done.output
    return done.output


def told(*arguments: object) -> Any:
    """The same for machines."""
    return json.loads(run(*arguments, "--json"))


def fails(*arguments: object) -> TiltyardError:
    """Why a command is refused."""
    done = invoke(*arguments)
    assert isinstance(done.exception, TiltyardError), done.output
    return done.exception


def wrong(*arguments: object) -> str:
    """What is said of a command that was used wrongly."""
    done = invoke(*arguments)
    assert done.exit_code == 2, (done.exit_code, done.exception)
    return done.output


def test_register(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the options say stands on the card, with the SHA-256 of the data, the commit of the folder, and the packages."""
    data = load_iris(as_frame=True)
    data.frame.to_csv(tmp_path / "iris.csv", index=False)
    skops.io.dump(DecisionTreeClassifier(max_depth=3, random_state=0).fit(data.data, data.target), tmp_path / "tree.skops")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(tmp_path))
    for command in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "first")):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    monkeypatch.chdir(tmp_path)
    said = ["--description", "Iris", "--owner", "bob", "--licence", "MIT", "--tag", "t", "--tag", "two words", "--metric", "f1=0.9"]
    said += ["--parameter", "depth=3", "--parameter", "kernel=rbf", "--training-data", "iris.csv", "--parent", "credit@1"]
    card = told("register", "iris", "tree.skops", "--sample", "iris.csv", "--target", "target", *said)
    assert card["about"] == {
        "description": "Iris",
        "owner": "bob",
        "licence": "MIT",
        "tags": ["t", "two words"],
        "metrics": {"f1": 0.9},
        "parameters": {"depth": 3, "kernel": "rbf"},
        "training_data": "iris.csv",
        "training_data_digest": hashlib.sha256((tmp_path / "iris.csv").read_bytes()).hexdigest(),
        "commit": commit,
        "parents": ["credit@1"],
    }
    assert {"python", "numpy", "scipy", "scikit-learn", "skops", "onnxruntime", "skl2onnx", "joblib"} <= set(card["versions"])
    assert card["parameters"]["max_depth"] == 3
    assert run("search", "param.max_depth=3 param.depth=3 feature:'petal").startswith("No version") is True
    assert [each["version"] for each in told("search", f"param.max_depth=3 commit:{commit[:7]} parent:credit@1")["versions"]] == ["iris@1"]


def test_register_refuses_early(registry: Registry, tmp_path: Path) -> None:
    """What is said wrongly, a parent that is not there, an alias with a rule: before the model is even read."""
    assert "metrics: expected a name" in wrong("register", "a", tmp_path / "none.skops", "--metric", "a b=1")
    for option in (("--metric", "auc"), ("--metric", "auc=high"), ("--metric", "auc=nan"), ("--parameter", "=3")):
        assert "expected NAME=" in wrong("register", "a", tmp_path / "none.skops", *option)
    assert fails("register", "a", tmp_path / "none.skops", "--parent", "credit@9").code == "version-not-found"
    run("rule", "credit", "champion", "--needs-approval")
    assert fails("register", "credit", tmp_path / "none.skops", "--alias", "champion").code == "rule-not-met"


def test_search(registry: Registry) -> None:
    """A table, or JSON; terms in one argument or many; a minus is no option; pages go on with --after."""
    registry.add("other", tags=("churn",), who=by("bob", 5.0))
    rows = [line.split() for line in run("search", "task:classification auc>0.9", "tag:fraud").splitlines()]
    assert rows[0] == ["VERSION", "STATE", "ALIASES", "TASK", "METRICS", "OWNER", "AT"]
    assert rows[1][:6] == ["credit@1", "registered", "-", "classification", "auc=0.91", "ann"]
    assert [each["version"] for each in told("search", "-tag:fraud", "-model:m")["versions"]] == ["other@1"]
    assert [each["version"] for each in told("search", "--sort", "-auc")["versions"]] == ["credit@1"]
    first = told("search", "--limit", 1, "-model:m")
    assert f"there are more: --after {first['next']}" in run("search", "--limit", 1, "-model:m")
    assert [each["version"] for each in told("search", "-model:m", "--after", first["next"])["versions"]] == ["credit@1"]
    assert run("search", "nothing-like-it") == "No version is found.\n"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("foo:3",), "search: 'foo:3' at character 1: no field is called 'foo'"),
        (("a", "auc>x"), "search: 'auc>x' at character 3: expected a number"),
        (("--sort", "tag"), "sort: expected registered, model or a figure"),
        (("--after", "x"), "after: expected what the page before gave"),
        (("--limit", "0"), "--limit"),
    ],
)
def test_a_wrong_search_is_wrong_usage(registry: Registry, arguments: tuple[str, ...], why: str) -> None:
    """It ends with 2 and says where."""
    assert why in wrong("search", *arguments)


def test_help_of_search_names_each_field() -> None:
    """Whoever asks what can be searched learns all of it."""
    said = set(re.findall(r"\w+", run("search", "--help")))
    assert said >= set(FIELDS)


def test_describe(registry: Registry) -> None:
    """What an option names changes, lists grow and shrink, an empty text takes away; a model has fewer things to say."""
    about = told(
        "describe", "credit@1", "--owner", "", "--tag", "new", "--without-tag", "fraud", "--metric", "f1=1", "--without-metric", "auc"
    )
    assert about["about"] == {"description": "A forest", "tags": ["new"], "metrics": {"f1": 1.0}}
    assert told("describe", "credit@1", "--parent", "m@1", "--parameter", "a=1")["revision"] == 3
    assert "parents" not in told("describe", "credit@1", "--without-parent", "m@1", "--without-parameter", "a")["about"]
    assert fails("describe", "credit@1", "--licence", "MIT", "--if-match", 1).code == "revision-changed"
    assert told("describe", "credit", "--description", "Cards", "--owner", "bob")["revision"] == 2
    assert "credit  credit@1  1      -        bob    Cards" in run("list")
    assert "nothing to say" in wrong("describe", "credit@1")
    assert "credit is a model: it has a description and an owner; tags is said of a version" in wrong("describe", "credit", "--tag", "t")
    assert "tags: expected" in wrong("describe", "credit@1", "--tag", " ")
    assert isinstance(fails("describe", "credit@9", "--owner", "eve"), NotFound)


def test_a_life(registry: Registry) -> None:
    """approve, retire, restore, delete; each says what follows, and history says it all, also after the end."""
    assert "credit@1 is approved (approved, revision 2)" in run("approve", "credit@1", "--reason", "looks well", "--if-match", 1)
    assert "credit@1 is not approved any more (registered, revision 3)" in run("approve", "credit@1", "--withdraw")
    assert told("retire", "credit@1")["state"] == "retired"
    assert fails("alias", "credit@1", "champion").code == "retired"
    assert "credit@1 may be used again" in run("restore", "credit@1")
    assert isinstance(fails("restore", "credit@1"), Conflict)
    assert "retired" in run("retire", "credit@1")
    assert told("delete", "credit@1") == {"version": "credit@1", "deleted": True}
    events = told("history", "credit@1")["events"]
    assert [each["event"] for each in events] == [
        "registered",
        "approved",
        "approval withdrawn",
        "retired",
        "restored",
        "retired",
        "deleted",
    ]
    assert events[1]["reason"] == "looks well"
    assert isinstance(fails("show", "credit@1"), NotFound)
    assert isinstance(fails("history", "credit@2"), NotFound)
    assert "version: expected MODEL@NUMBER" in wrong("history", "credit@champion")


def test_aliases(registry: Registry) -> None:
    """Moves on a condition, a history that answers for any day, and removal."""
    assert run("alias", "m@1", "champion", "--if-match", 0) == "m@champion is now m@1\n"
    assert fails("alias", "m@2", "champion", "--if-match", 2).code == "alias-changed"
    assert told("alias", "m@2", "champion", "--if-match", 1, "--reason", "better") == {"alias": "champion", "version": "m@2"}
    assert run("unalias", "m", "champion", "--if-match", 2) == "m@champion names no version any more\n"
    moves = told("alias-history", "m", "champion")["moves"]
    assert [(move["version"], move["reason"]) for move in moves] == [
        (None, "by command line"),
        ("m@2", "better"),
        ("m@1", "by command line"),
    ]
    assert told("alias-history", "m", "champion", "--at", moves[1]["at"])["version"] == "m@2"
    assert run("alias-history", "m", "champion", "--at", "2020-05-03") == "m@champion named no version at 2020-05-03T00:00:00.000Z\n"
    assert "--at: expected an RFC 3339 time" in wrong("alias-history", "m", "champion", "--at", "noon")
    assert isinstance(fails("alias", "m@1", "7"), Invalid)


def test_rules(registry: Registry) -> None:
    """Set, shown with what is missing, taken away."""
    run("alias", "m@1", "champion")
    page = run("rule", "m", "champion", "--needs-test", "--by-another")
    assert page.splitlines() == [
        "m@champion needs a batch test that passed and an approval by somebody who neither registered the version nor moves the alias",
        "  m@1, which it names now, lacks a batch test that passed (the newest with thresholds counts) and an approval",
    ]
    assert run("rule", "m", "champion") == page
    assert fails("alias", "m@2", "champion").code == "rule-not-met"
    assert "takes the rule away" in wrong("rule", "m", "champion", "--none", "--needs-test")
    assert run("rule", "m", "champion", "--none") == "m@champion may name any version\n"
    run("alias", "m@2", "champion")
    assert fails("rule", "m", "champion").code == "rule-not-found"


def test_show(registry: Registry) -> None:
    """A version's page says what is said of it and who did what last; a model's lists its versions with their states."""
    run("approve", "credit@1")
    page = run("show", "credit@1")
    for line in ("  description: A forest", "  tags: fraud", "  metrics: auc=0.91", "  approved, revision 2; last: approved by"):
        assert line in page
    [row] = [line.split() for line in run("show", "credit").splitlines()[1:]]
    assert row[:3] == ["credit@1", "approved", "-"]


@pytest.mark.parametrize(
    "command", ["search", "describe", "history", "approve", "retire", "restore", "delete", "alias", "unalias", "alias-history", "rule"]
)
def test_help(command: str) -> None:
    """Every command says what it does, and takes --json."""
    page = run(command, "--help")
    assert "--json" in page
