"""The page on models says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import click

from models.artefact import FORMATS
from models.golden import MOST
from models.learner.river_model import FARTHEST
from models.pool import KEEP_SECONDS
from models.river_building import TASKS, TRIED
from server.cli.learning import learning_options
from tests.models.model_zoo import CASES, F32, F64, LINEAR, NATIVE

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
SERVED = {LINEAR: "plain floats", F64: "ONNX, float64", F32: "ONNX, float32", NATIVE: "scikit-learn"}


def test_the_table_of_forms_is_that_of_the_tests():
    """Each estimator that is tested is listed with the form in which it is served, and no other."""
    rows = re.findall(r"^\| (.+) \| (plain floats|ONNX, float64|ONNX, float32|scikit-learn) \|$", PAGE, re.MULTILINE)
    assert rows == [(case.shown, SERVED[case.form]) for case in CASES.values()]


def test_the_figures_are_those_of_the_code():
    """File endings, the number of golden rows, and how long an unwanted version stays."""
    assert all(f"`{suffix}`" in PAGE for suffix in FORMATS)
    assert f"up to {MOST} rows" in PAGE
    assert f"wanted for {KEEP_SECONDS:.0f} seconds" in PAGE


def test_the_section_on_river_models_is_complete():
    """Every option of a learner, every task, and the figures."""
    options = {name for option in click.command()(learning_options(lambda **_: None)).params for name in option.opts}
    assert set(re.findall(r"^\| `(--[a-z-]+)", PAGE, re.MULTILINE)) == options
    assert all(f"| `{task}` |" in PAGE for task in TASKS.values())
    assert f"at most {FARTHEST:,}" in PAGE
    assert f"learns up to {TRIED} rows" in PAGE
