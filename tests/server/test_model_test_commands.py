"""`tiltyard model test` and `tests` as a user runs them, the page that they write, and the same over REST."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from typing import cast

import pandas as pd
import pytest
from flask.testing import FlaskClient

from flows.serving import Routes
from flows.testing import run
from server.app import create_app
from server.auth import Guard
from server.cli import main
from server.home import from_env, open_existing
from tests.flows.testing.conftest import COST
from tests.flows.testing.testing_world import World, make, sets
from tests.server.commands_world import Ended, Run

pytestmark = pytest.mark.leaves_open("matplotlib keeps the fonts open that it has used")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Versions on scikit-learn's data, and files to test them on."""
    made = make(tmp_path_factory.mktemp("commands"))
    made.write("data.csv", sets().cancer[1])
    made.write("sugar.parquet", sets().sugar[1])
    return made


@pytest.fixture
def tiltyard(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in the folder of the files, without the processes that measure."""
    monkeypatch.setenv("TILTYARD_HOME", str(world.folder / "home"))
    monkeypatch.chdir(world.folder)
    monkeypatch.setattr(run, "measure", lambda *_: COST)

    def ended(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["tiltyard", "model", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as caught:
            code = cast(int, caught.code or 0)
        return Ended(code, *capsys.readouterr())

    return ended


@pytest.fixture
def client(tiltyard: Run) -> FlaskClient:
    """The control routes of the same home."""
    here = open_existing(from_env())
    guard = Guard(here.store, here.settings, "127.0.0.1")
    guard.refresh()
    return create_app(here, Routes(), guard).test_client()


def test_a_test_is_told(tiltyard: Run) -> None:
    """Figures with intervals, slices with how many differences were tested, the comparison; every line fits into 100 columns."""
    ended = tiltyard("test", "cancer@2", "data.csv", "--target", "kind", "--slice", "site", "--slice", "f0")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("TESTED  cancer@2 on data.csv (")
    for part in ("auc ", "TRUE \\ SAID", "Spiegelhalter", "against cancer@1", "McNemar", "adjusted", "p99 0.3 ms", "1.0 MB"):
        assert part in ended.out, part
    assert re.search(r"\d+ differences from the rest were tested", ended.out)
    assert max(map(len, ended.out.splitlines())) <= 100


def test_a_regressor_is_told(tiltyard: Run) -> None:
    """With the target that it was registered with."""
    ended = tiltyard("test", "sugar@1", "sugar.parquet")
    assert ended.code == 0
    assert "rmse " in ended.out
    assert "recalibration: intercept" in ended.out


def test_a_gate(tiltyard: Run) -> None:
    """Met: 0. Not met: 1, the result all the same on standard output, and the failing checks in one line on standard error."""
    assert tiltyard("test", "cancer@1", "data.csv", "--require", "accuracy>=0.8").out.startswith("PASSED")
    ended = tiltyard("test", "cancer@1", "data.csv", "--require", "accuracy>=0.8", "--require", "log_loss<=0.001", "--json")
    assert ended.code == 1
    assert json.loads(ended.out)["passed"] is False
    assert re.fullmatch(r"tiltyard: cancer@1 failed its test: log_loss is 0\.\d+, above 0\.001\n", ended.err)


def test_a_suite_and_options_together(tiltyard: Run, world: World) -> None:
    """Options add slices and thresholds to those of the file."""
    (world.folder / "suite.yaml").write_text("slices: [site]\nthresholds: [{metric: auc, not_worse_than: champion}]\n")
    ended = tiltyard("test", "cancer@2", "data.csv", "--suite", "suite.yaml", "--slice", "f0", "--require", "f1>=0.1", "--json")
    found = json.loads(ended.out)
    assert ended.code == 1
    assert [check["passed"] for check in found["checks"]] == [False, True]
    assert [column["column"] for column in found["slices"]["columns"]] == ["site", "f0"]
    assert found["suite"]["file"] == "suite.yaml"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["cancer@1", "none.csv"], 1, "data: none.csv: No such file or directory"),
        (["cancer@1", "."], 1, "data: .: Is a directory"),
        (["cancer@9", "data.csv"], 1, "version: no version cancer@9"),
        (["cancer", "data.csv"], 1, "version: expected MODEL@NUMBER"),
        (["cancer@1", "data.csv", "--require", "accuracy"], 2, "require: expected METRIC>=NUMBER"),
        (["cancer@1", "data.csv", "--suite", "none.yaml"], 1, "suite: none.yaml: No such file or directory"),
        (["cancer@1", "data.csv", "--suite", "wrong.yaml"], 1, "suite: thresholds[0].metric: expected one of"),
        (["cancer@1", "data.csv", "--html", "no/where.html"], 1, "no/where.html: no such directory"),
        (["cancer@1", "data.csv", "--seed", "-1"], 2, "--seed"),
    ],
)
def test_what_will_not_do(tiltyard: Run, world: World, words: list[str], code: int, said: str) -> None:
    """Ends with 2 on wrong usage, else with 1, and says why in one line."""
    (world.folder / "wrong.yaml").write_text("thresholds: [{metric: acc, min: 1}]")
    ended = tiltyard("test", *words)
    assert ended.code == code
    assert said in ended.err
    assert code == 2 or ended.err.count("\n") == 1


def test_tests_are_listed_and_shown(tiltyard: Run, client: FlaskClient) -> None:
    """The newest first, the same over REST; one with all its figures; by number or alias."""
    assert tiltyard("tests", "sugar@1", "99999").code == 1
    made = json.loads(tiltyard("test", "cancer@1", "data.csv", "--require", "auc<=0.1", "--json").out)
    listed = json.loads(tiltyard("tests", "cancer@champion", "--json").out)
    assert listed["tests"][0]["failed"] == [made["checks"][0]["reason"]]
    assert json.loads(tiltyard("tests", "cancer@1", made["id"], "--json").out) == made
    lines = tiltyard("tests", "cancer@1").out.splitlines()
    assert lines[0].split() == ["TEST", "OUTCOME", "AT", "BY", "DATA", "ROWS", "METRICS"]
    assert lines[1].split()[:2] == [str(made["id"]), "FAILED"]
    assert tiltyard("tests", "cancer@1", made["id"]).out.startswith("FAILED  cancer@1")

    base = "/v1/models/cancer/versions"
    assert client.get(f"{base}/champion/tests").json == listed
    assert client.get(f"{base}/1/tests?limit=1").json["tests"] == listed["tests"][:1]
    assert client.get(f"{base}/1/tests/{made['id']}").json == made
    assert client.get(f"{base}/1/tests/latest").json == made


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("cancer/versions/9/tests", 404, "version-not-found"),
        ("cancer/versions/nix/tests", 404, "alias-not-found"),
        ("cancer/versions/1/tests/99999", 404, "test-not-found"),
        ("cancer/versions/1/tests/x%C2%B2", 404, "test-not-found"),
        ("cancer/versions/1/tests?limit=0", 422, "invalid"),
    ],
)
def test_requests_for_what_is_not_there(client: FlaskClient, path: str, status: int, code: str) -> None:
    """Are answered with a problem and its code."""
    answered = client.get(f"/v1/models/{path}")
    assert (answered.status_code, answered.json["code"]) == (status, code)


class Read(HTMLParser):
    """What a page holds: tags, whatever it would load from elsewhere, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"} and not (value or "").startswith("#")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(("version", "data", "pictures"), [("cancer@2", "data.csv", 4), ("sugar@1", "sugar.parquet", 3)])
def test_a_page(tiltyard: Run, world: World, version: str, data: str, pictures: int) -> None:
    """One file with its pictures inside: no script, nothing from elsewhere; the same from the stored test."""
    column = "site" if version == "cancer@2" else "sex"
    demand = "bias<=1e9" if version == "sugar@1" else "f1>=0"
    ended = tiltyard("test", version, data, "--slice", column, "--html", "page.html", "--require", demand)
    assert ended.code == 0
    page = (world.folder / "page.html").read_text()
    read = Read(page)
    assert read.tags.count("svg") == pictures
    assert "script" not in read.tags
    assert read.loads == []
    assert 'name="viewport"' in page
    for part in ("PASSED", version, "Calibration", "Slices", "p99 ms"):
        assert part in read.text, part
    assert tiltyard("tests", version, "--html", "again.html").code == 0
    assert (world.folder / "again.html").read_text() == page


def test_names_from_data_are_text(tiltyard: Run, world: World) -> None:
    """Whatever columns, slices, labels and files are called, none of it becomes markup, a formula, or a line of its own."""
    evil = "<script>alert(1)</script>$\\frac{1}{2}$\n\x1b[31m&都"
    frame = sets().cancer[1]
    frame = frame.assign(**{evil: ["<b>x</b>" if k % 2 else f"<img src=x onerror=alert({k % 3})>" for k in range(len(frame))]})
    frame = pd.concat([frame, frame.head(5).assign(kind='"><script>alert(2)</script>')])
    world.write("<i>.csv", frame)
    ended = tiltyard("test", "cancer@1", "<i>.csv", "--target", "kind", "--slice", evil, "--html", "evil.html")
    assert (ended.code, ended.err) == (0, "")
    assert "\x1b" not in ended.out
    read = Read((world.folder / "evil.html").read_text())
    assert not {"script", "img", "b", "i"} & (set(read.tags) - {"b"})
    assert read.tags.count("b") == read.tags.count("figcaption")
    assert "<script>alert(1)</script>" in read.text
    assert read.loads == []


def test_help(tiltyard: Run) -> None:
    """Every option is explained."""
    for command in ("test", "tests"):
        told = tiltyard(command, "--help").out
        assert "--html" in told
        assert "--json" in told
