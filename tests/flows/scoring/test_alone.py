"""Scoring in processes of its own: what a kill leaves, and how much memory a large file takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.flows.scoring.scoring_world import Scoring

ROOT = Path(__file__).parents[3]


def alone(*words: object) -> dict[str, Any]:
    """What the process says."""
    command = [sys.executable, "-m", "tests.flows.scoring.alone", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def numbers(path: Path, rows: int) -> Path:
    """A file of random rows, in one row group of small pages: a page is held as a whole."""
    frame = pd.DataFrame(np.random.default_rng(1).random((rows, 2)), columns=["a", "b"])
    frame = frame.assign(**{f"key{number}": frame["a"] + number for number in range(3)})
    if path.suffix == ".parquet":
        frame.to_parquet(path, row_group_size=rows, use_dictionary=False, data_page_size=2**16)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["in.parquet", "in.csv"])
def test_killed_at_random_moments_it_goes_on(scoring: Scoring, name: str) -> None:
    """kill -9 whenever, then the same call again: the output is the same to the byte as without, and nothing is left beside it."""
    path = numbers(scoring.folder / name, 10_000)
    scoring.score("sum@1", path, "whole.parquet")
    found = alone("kill", scoring.folder, path, scoring.folder / "out.parquet", 7)
    assert found["status"] == 0
    assert found["kills"] >= 1
    assert (scoring.folder / "out.parquet").read_bytes() == (scoring.folder / "whole.parquet").read_bytes()
    assert scoring.left() == []


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_memory_does_not_grow_with_the_file(scoring: Scoring, ending: str) -> None:
    """A file of 80,000 rows takes less than 12 MB more than one of 25,000: held as a whole it takes 40 MB more, or 70."""
    small, large = numbers(scoring.folder / f"small.{ending}", 25_000), numbers(scoring.folder / f"large.{ending}", 80_000)
    assert alone("memory", scoring.folder, small, large, scoring.folder / "out.parquet")["grown"] < 12 * 2**20
