"""`tiltyard model import`, `export` and `pull`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from core.errors import TiltyardError
from models import dependencies
from server.cli import cli
from tests.flows.exchange.exchange_world import WRITTEN


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home that commands work on; there is none yet."""
    monkeypatch.setenv("TILTYARD_HOME", str(tmp_path / "home"))


def run(*arguments: object) -> Result:
    """A command that succeeds."""
    done = CliRunner().invoke(cli, [*map(str, arguments)])
    assert done.exit_code == 0, (done, done.exception)
    return done


def fails(*arguments: object) -> str:
    """Why a command is refused."""
    done = CliRunner().invoke(cli, [*map(str, arguments)])
    assert isinstance(done.exception, TiltyardError), done
    return done.exception.message


def test_in_and_out_again(tmp_path: Path) -> None:
    """A directory of MLflow's becomes a version in a new home, that one a directory again, and a folder."""
    text = run("model", "import", "credit", WRITTEN / "frame", "--alias", "champion").output
    assert text.startswith("credit@1  (regression, 3 features, served as linear)")
    assert "warning: its input example of 5 rows served as the sample" in text
    made = json.loads(run("model", "export", "credit@champion", tmp_path / "out", "--json").output)
    assert made == {"version": "credit@1", "directory": str(tmp_path / "out"), "flavour": "onnx"}
    back = json.loads(run("model", "import", "credit", tmp_path / "out", "--json").output)
    assert (back["version"], back["format"], back["about"]["parameters"]["metadata.tiltyard"]) == ("credit@2", "onnx", "credit@1")
    pulled = json.loads(run("model", "pull", "credit@2", tmp_path / "pulled", "--json").output)
    assert (pulled["version"], sorted(path.name for path in (tmp_path / "pulled").iterdir())) == ("credit@2", pulled["files"])
    assert "credit@2 is in" in run("model", "pull", "credit@2", tmp_path / "again").output


def test_what_is_refused(tmp_path: Path) -> None:
    """One line each."""
    assert "no Tiltyard home" in fails("model", "pull", "credit@1", tmp_path / "out")
    assert "expected a directory that MLflow has written" in fails("model", "import", "credit", tmp_path)
    run("model", "import", "credit", WRITTEN / "frame")
    assert "is no empty folder" in fails("model", "export", "credit@1", WRITTEN)
    assert "no version credit@7" in fails("model", "pull", "credit@7", tmp_path / "out")
    assert "has no alias 'champion'" in fails("model", "export", "credit@champion", tmp_path / "out")
    assert CliRunner().invoke(cli, ["model", "pull", "credit@1"]).exit_code == 2


def test_another_release_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """By `model show`, in both forms."""
    made = json.loads(run("model", "import", "net", WRITTEN / "network", "--json").output)
    monkeypatch.setattr(dependencies, "installed", lambda name: "0.1.0")
    told = f"made with onnxruntime {made['versions']['onnxruntime']}, here is 0.1.0"
    assert f"  warning: {told}" in run("model", "show", "net@1").output
    assert json.loads(run("model", "show", "net@1", "--json").output)["warnings"] == [told]


def test_types_that_the_operator_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`TILTYARD_TRUSTED_TYPES` lets one in that the audit refuses; the card says so, and it is loaded again later."""
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    path = custom(tmp_path)
    assert "types that are not allowed: tests.models.test_artefact.Custom" in fails("model", "register", "own", path)
    monkeypatch.setenv("TILTYARD_TRUSTED_TYPES", "tests.models.test_artefact.Custom")
    arguments = ("model", "register", "own", path, "--sample", tmp_path / "rows.csv", "--json")
    assert json.loads(run(*arguments).output)["trusted"] == ["tests.models.test_artefact.Custom"]
    monkeypatch.delenv("TILTYARD_TRUSTED_TYPES")
    assert json.loads(run("model", "export", "own@1", tmp_path / "out", "--json").output)["flavour"] == "sklearn"
    assert load_again("own@1")


def custom(folder: Path) -> Path:
    from skops import io as skops_io

    from tests.models.test_artefact import Custom

    skops_io.dump(Custom().fit(None, None), folder / "own.skops")
    return folder / "own.skops"


def load_again(reference: str) -> bool:
    from flows.exchange.stored import fetch
    from models import package
    from server.home import from_env, open_existing

    home = open_existing(from_env())
    found = fetch(home.store, home.blobs, reference)
    return bool(package.load(found.card, home.blobs.get).predict([[1.0, 2.0]]))
