"""The report on a batch test: one HTML file that needs nothing else, with its pictures inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.batch import plots
from experiments.batch.table import compared_by, counted, headline, multiplicity, outcome, settings
from experiments.text import Data, number, p_text, span


def page(test: Data) -> str:
    """The page of a test as `flows.batch_tests.whole` shows it. All that comes from data is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Without scripts and without anything from elsewhere, which the page's own policy forbids as well.
    environment = Environment(autoescape=True, loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined)
    environment.filters.update(number=number, p=p_text, share="{:.2%}".format)
    words: dict[str, Any] = {"outcome": outcome(test), "counted": counted(test["data"]), "settings": settings(test)}
    words |= {"multiplicity": multiplicity(test), "headline": headline(test), "span": _span}
    if test["comparison"] is not None and "refused" not in test["comparison"]:
        words["compared_by"] = compared_by(test["comparison"])
    return environment.get_template("batch_test.html").render(test=test, pictures=plots.pictures(test), **words)


def _span(one: Data) -> str:
    return span(one.get("lower"), one.get("upper"))
