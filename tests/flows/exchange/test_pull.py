"""A pulled folder is of use without Tiltyard: its own check is run by a Python that sees none of our packages."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import get_args

import pytest

from core.errors import Conflict, NotFound, Rejected
from flows.exchange.pull import FORMS
from models.artefact import Format, TreeFormat
from models.dependencies import NEEDED
from tests.flows.exchange.exchange_world import Exchange

ALONE = """
import os, runpy, sys
sys.path[:] = [path for path in sys.path if not os.path.isdir(os.path.join(path, "routing"))]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
try:
    import models
except ImportError:
    runpy.run_path(sys.argv[1], run_name="__main__")
"""


def check(exchange: Exchange) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", ALONE, str(exchange.out / "check.py")]
    return subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, timeout=120)


@pytest.mark.parametrize(
    ("name", "file", "needs"),
    [
        ("logistic", "model.json", set()),
        ("ridge", "model.json", set()),
        ("forest-classes", "model.onnx", {"numpy", "onnxruntime"}),
        ("svc", "model.onnx", {"numpy", "onnxruntime"}),
        ("one-hot", "model.onnx", {"numpy", "onnxruntime"}),
        ("histogram-categories", "model.msgpack", {"numpy", "treelite", "msgspec"}),
        ("columns-missing", "model.skops", {"numpy", "scikit-learn", "skops", "pandas"}),
    ],
)
def test_the_folder_checks_itself(exchange: Exchange, name: str, file: str, needs: set[str]) -> None:
    """Its answers to the golden rows are those that were registered, and its requirements are pinned to the captured releases."""
    version = exchange.register(name)
    found = exchange.pull(version)
    assert {file, "card.json", "golden.json", "requirements.txt", "model.py", "check.py"} <= set(found.files)
    lines = (exchange.out / "requirements.txt").read_text().split()
    made = exchange.stored(version).card.versions
    assert {line.partition("==")[0] for line in lines} == needs
    pins = {name: release for name, _, release in (line.partition("==") for line in lines) if release}
    assert pins == {name: made[name] for name in needs if name in made}
    done = check(exchange)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(exchange.stored(version).golden.rows)
    assert json.loads((exchange.out / "card.json").read_text())["version"] == version


def test_the_check_can_fail(exchange: Exchange) -> None:
    """A changed answer is told by the exit code."""
    exchange.pull(exchange.register("ridge"))
    golden = json.loads((exchange.out / "golden.json").read_text())
    golden["outputs"][0]["value"] += 0.1
    (exchange.out / "golden.json").write_text(json.dumps(golden))
    done = check(exchange)
    assert (done.returncode, "largest difference 0.000" in done.stderr) == (1, True)


def test_a_river_model_with_a_file_of_its_own(exchange: Exchange) -> None:
    """Its file lies beside it under the name that the pickle asks for."""
    own = exchange.folder / "own.py"
    own.write_text(
        "from river import linear_model, preprocessing\nclass Own(preprocessing.StandardScaler): pass\n"
        "def build():\n    model = Own() | linear_model.LinearRegression()\n"
        "    for k in range(9):\n        model.learn_one({'a': k, 'b': -k}, 2.0 * k)\n    return model\n"
    )
    sample = exchange.folder / "rows.csv"
    sample.write_text("a,b,y\n1,2,3\n2,1,5\n")
    version = exchange.register("ridge", path=own.with_name("own.py:build"), rows=None, sample=sample, target="y")
    found = exchange.pull(version)
    assert {"model.pkl", "golden.json"} <= set(found.files)
    assert sum(name.startswith("tiltyard_code_") for name in found.files) == 1
    assert check(exchange).returncode == 0


def test_a_version_without_a_sample_comes_without_golden_rows(exchange: Exchange) -> None:
    """And so without a check."""
    found = exchange.pull(exchange.register("ridge", rows=None))
    assert found.files == ("card.json", "model.py", "model.skops", "requirements.txt", "types.json")


def test_every_form_of_an_artefact_can_be_pulled(exchange: Exchange) -> None:
    """And what is needed to load it is known. Only a model on another server is none of ours to write."""
    stored = {*get_args(Format)} - {*get_args(TreeFormat)}
    assert set(NEEDED) == stored
    assert set(FORMS) == stored - {"remote"}
    with pytest.raises(Rejected, match="its model is on another server, staging/credit, and not here"):
        exchange.pull(exchange.moved(exchange.register("ridge")))
    assert not exchange.out.exists()


def test_what_is_there_is_kept(exchange: Exchange) -> None:
    """A folder that holds anything, and a file, are refused; so is a damaged blob. Nothing is left of it."""
    version = exchange.register("ridge")
    exchange.out.write_text("mine")
    with pytest.raises(Conflict, match="is no empty folder"):
        exchange.pull(version)
    assert exchange.out.read_text() == "mine"
    exchange.out.unlink()
    with pytest.raises(NotFound):
        exchange.pull("ridge@9")
    digest = exchange.stored(version).card.blobs["artefact"]
    (exchange.folder / "blobs" / digest[:2] / digest).write_bytes(b"x")
    with pytest.raises(Rejected, match="is damaged"):
        exchange.pull(version)
    assert not exchange.out.exists()
