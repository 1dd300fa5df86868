"""The process that builds an upload, for itself: its limits, what it sees, and how its end is told."""

from __future__ import annotations

import json
import re
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.settings import Settings
from server import uploads
from tests.models import bombs, onnx_graphs

SECONDS = 6.0
"""After which a graph that never ends is given up."""


@pytest.fixture
def harbour(tmp_path):
    """Where folders with orders are made."""

    def made(name, data):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "upload.onnx").write_bytes(data)
        (folder / "order.json").write_bytes(b'{"file":"upload.onnx"}')
        return folder

    return made


def test_memory_and_time_end(harbour):
    """A graph that takes 4 GB, and one that never ends, are refused within the limits; an honest one beside them is built."""
    graphs = {"greedy": bombs.greedy(), "endless": bombs.endless(), "honest": onnx_graphs.linear().SerializeToString()}
    folders = {name: harbour(name, data) for name, data in graphs.items()}

    def run(name):
        return uploads._run(folders[name], Settings(upload_seconds=SECONDS if name == "endless" else 100.0, upload_memory_bytes=2**30))

    with ThreadPoolExecutor() as pool:
        codes = dict(zip(folders, pool.map(run, folders), strict=True))
    assert codes.pop("endless") in (None, -signal.SIGKILL)
    assert codes == {"greedy": 0, "honest": 0}
    assert "the model failed" in json.loads((folders["greedy"] / "refused.json").read_bytes())["message"]
    assert [name for name, folder in folders.items() if (folder / "built.json").exists()] == ["honest"]


def test_it_sees_no_secrets(harbour, monkeypatch):
    """Of the environment it gets what Python needs. It has a session of its own, no input, and dies with who started it."""
    monkeypatch.setenv("TILTYARD_DATABASE_URL", "postgresql://me:secret@db/tiltyard")
    seen = harbour("seen", b"")
    told = "[dict(os.environ), os.getsid(0) == os.getpid(), os.read(0, 1) == b'']"
    program = f"import json, os; json.dump({told}, open({str(seen / 'told')!r}, 'w'))"
    monkeypatch.setattr(uploads, "command", lambda *_: [sys.executable, "-c", program])
    assert uploads._run(seen, Settings()) == 0
    environ, own_session, no_input = json.loads((seen / "told").read_text())
    assert not any(name.startswith("TILTYARD") or ":secret@" in value for name, value in environ.items())
    assert (environ["HOME"], own_session, no_input) == (str(seen), True, True)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (None, "took longer than 120 seconds"),
        (-signal.SIGKILL, "took longer than 120 seconds, or more memory"),
        (-signal.SIGXFSZ, "larger than 2147483648 bytes"),
        (-signal.SIGSEGV, r"ended the process that audited it \(signal SIGSEGV\)"),
        (1, r"\(exit code 1\)"),
    ],
)
def test_each_end_is_told(code, told):
    """A crash is a refusal with its reason, and no mistake of the server's."""
    assert re.search(told, uploads._ended(code, Settings()))


def test_types_that_the_operator_trusts():
    """Names between commas, blanks apart."""
    assert Settings(trusted_types=" my.Encoder, other.Thing ,").trusted == ("my.Encoder", "other.Thing")
    assert Settings().trusted == ()
