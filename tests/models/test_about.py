"""What people say of a version: merging and checking."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import Invalid
from models.about import MAX_DESCRIPTION, MAX_TEXT, About, check, merge

SAID = About(description="d", owner="ann", tags=("a",), metrics={"auc": 0.5}, parameters={"depth": 5})


@pytest.mark.parametrize(
    ("patch", "merged"),
    [
        ({}, SAID),
        ({"owner": None, "description": None}, About(tags=("a",), metrics={"auc": 0.5}, parameters={"depth": 5})),
        ({"tags": ["b", "c", "b"]}, About(description="d", owner="ann", tags=("b", "c"), metrics={"auc": 0.5}, parameters={"depth": 5})),
        ({"tags": None, "metrics": None, "parameters": {"depth": None}}, About(description="d", owner="ann")),
        ({"metrics": {"auc": 1, "f1": 2}, "parameters": {"deep": True}, "tags": []},
         About(description="d", owner="ann", metrics={"auc": 1.0, "f1": 2.0}, parameters={"depth": 5, "deep": True})),
    ],
)  # fmt: skip
def test_merge(patch: dict[str, Any], merged: About) -> None:
    """RFC 7396: what is named changes, null takes away, lists are replaced, mappings merged; what was said itself stays as it is."""
    assert merge(SAID, patch) == merged
    assert SAID.metrics == {"auc": 0.5}


def test_the_largest() -> None:
    """Limits are what may still be said."""
    text = "ä" * MAX_TEXT
    assert check(About(description="line\n\ttwo" + "x" * (MAX_DESCRIPTION - 9), owner=text, tags=tuple(f"t{n}" for n in range(200))))


@pytest.mark.parametrize(
    ("about", "field"),
    [
        (About(description="x" * (MAX_DESCRIPTION + 1)), "description"),
        (About(description="bell\a"), "description"),
        (About(licence="x" * (MAX_TEXT + 1)), "licence"),
        (About(training_data="a\nb"), "training_data"),
        (About(commit="\0"), "commit"),
        (About(tags=(" ",)), "tags"),
        (About(tags=("a\nb",)), "tags"),
        (About(tags=tuple(map(str, range(201)))), "tags"),
        (About(metrics={"a:b": 1.0}), "metrics"),
        (About(metrics={"auc": float("nan")}), "metrics.auc"),
        (About(parameters={"a b": 1}), "parameters"),
        (About(parameters={"c": float("inf")}), "parameters.c"),
        (About(parameters={"c": "x" * (MAX_TEXT + 1)}), "parameters.c"),
        (About(parents=("credit@champion",)), "parents"),
    ],
)
def test_what_cannot_be_said(about: About, field: str) -> None:
    """The error names the field."""
    with pytest.raises(Invalid) as caught:
        check(about)
    assert caught.value.field == field
    assert caught.value.message.startswith(field)
