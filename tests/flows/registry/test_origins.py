"""Where a version came from, as far as this machine can tell."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from core.errors import Invalid
from flows.registry.origins import commit_of, training_data


def test_training_data(tmp_path: Path) -> None:
    """A file's SHA-256; of a folder, an address and a file that is not here only the reference."""
    path = tmp_path / "rows.csv"
    path.write_bytes(b"x,y\n" * 1_000_000)
    assert training_data(str(path)) == {"training_data": str(path), "training_data_digest": hashlib.sha256(path.read_bytes()).hexdigest()}
    for other in (str(tmp_path), "s3://bucket/rows.csv", str(tmp_path / "none.csv")):
        assert training_data(other) == {"training_data": other, "training_data_digest": None}


@pytest.mark.parametrize("reference", ["x" * 5000, "a\0b"])
def test_what_is_no_path(reference: str) -> None:
    """It is a reference all the same, or refused by name: nothing is raised that is not ours."""
    try:
        assert training_data(reference)["training_data_digest"] is None
    except Invalid as error:
        assert error.field == "training_data"  # noqa: PT017 - either will do


def test_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the folder; none where it is no repository, has no commit yet, or git is not there."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(tmp_path))
    assert commit_of(tmp_path) == ""
    subprocess.run([*git, "init", "-q"], check=True)
    assert commit_of(tmp_path) == ""
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    assert len(commit_of(tmp_path)) == 40
    monkeypatch.setenv("PATH", os.devnull)
    assert commit_of(tmp_path) == ""
