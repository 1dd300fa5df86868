"""Blobs: found by their digest, whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import NotFound, Rejected
from store.blobs import Blobs

ROOT = Path(__file__).parents[2]


def files(directory: Path) -> list[Path]:
    """All files under a directory."""
    return [path for path in directory.rglob("*") if path.is_file()]


@given(st.binary(max_size=1000))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """What was stored is found under its SHA-256."""
    blobs = Blobs(tmp_path_factory.mktemp("blobs"))
    digest = blobs.put(content)
    assert digest == sha256(content).hexdigest()
    assert blobs.get(digest) == content


def test_stored_once(tmp_path: Path) -> None:
    """The same content again writes nothing."""
    blobs = Blobs(tmp_path)
    blobs.put(b"content")
    [file] = files(tmp_path)
    before = file.stat().st_mtime_ns
    blobs.put(b"content")
    assert [each.stat().st_mtime_ns for each in files(tmp_path)] == [before]


@pytest.mark.parametrize("stored", [False, True])
def test_a_file_is_taken(tmp_path: Path, stored: bool) -> None:
    """It moves, and is found under its digest like any other, also where that is stored already."""
    blobs = Blobs(tmp_path / "blobs")
    file = tmp_path / "file"
    file.write_bytes(b"content" * 100_000)
    if stored:
        blobs.put(file.read_bytes())
    digest = blobs.take(file)
    assert digest == sha256(b"content" * 100_000).hexdigest()
    assert blobs.get(digest) == b"content" * 100_000
    assert [path.name for path in files(tmp_path)] == [digest]


def test_missing(tmp_path: Path) -> None:
    """A blob that was never stored is named."""
    with pytest.raises(NotFound, match="no blob abc"):
        Blobs(tmp_path).get("abc")


def test_damaged(tmp_path: Path) -> None:
    """Bytes that have changed on disk are never handed out."""
    blobs = Blobs(tmp_path)
    digest = blobs.put(b"content")
    files(tmp_path)[0].write_bytes(b"c0ntent")
    with pytest.raises(Rejected, match=f"blob {digest} is damaged"):
        blobs.get(digest)


def test_a_crash_leaves_no_half_blob(tmp_path: Path) -> None:
    """A process that dies before the content is on disk leaves no name; the next one stores it as if nothing had been."""
    die = (
        "import os; from pathlib import Path; from store.blobs import Blobs;"
        "os.fsync = lambda fd: os._exit(9);"
        f"Blobs(Path({str(tmp_path)!r})).put(b'content' * 100000)"
    )
    assert subprocess.run([sys.executable, "-c", die], cwd=ROOT, check=False).returncode == 9
    blobs = Blobs(tmp_path)
    with pytest.raises(NotFound):
        blobs.get(sha256(b"content" * 100000).hexdigest())
    assert blobs.get(blobs.put(b"content" * 100000)) == b"content" * 100000


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the content cannot be made durable, there is no blob and no rest of one."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        Blobs(tmp_path).put(b"content")
    assert files(tmp_path) == []
