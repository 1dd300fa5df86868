"""The page on models says what is so."""

from __future__ import annotations

import re

import click

from models.artefact import FORMATS
from models.golden import MOST
from models.learner.river_model import FARTHEST
from models.pool import KEEP_SECONDS
from models.river_building import TASKS, TRIED
from server.cli.learning import learning_options
from tests.models.model_zoo import CASES
from tests.models.table import DATA, PATH, ROW, SERVED, exponent

PAGE = PATH.read_text(encoding="utf-8")


def test_the_table_of_forms_is_that_of_the_tests():
    """Each estimator that is tested is listed with its data and the form in which it is served, and no other."""
    assert [row[:3] for row in ROW.findall(PAGE)] == [(case.shown, DATA[case.data], SERVED[case.form]) for case in CASES.values()]


def test_a_difference_is_rounded_up():
    """To a power of ten above three times itself, not below 1e-14."""
    assert [exponent(apart) for apart in (0.0, 2e-15, 4e-15, 3e-8, 4e-8)] == [-14, -14, -13, -7, -6]


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
