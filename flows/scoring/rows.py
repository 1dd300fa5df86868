"""Rows as a file hands them over, and what any file must have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from core.errors import Invalid
from core.values import Value
from models.signature import Signature

Given: TypeAlias = dict[str, Value] | Invalid
"""A row by name, as a client would send it; or why the file holds none there."""


class Chunk(NamedTuple):
    """Rows that follow each other, their values of the kept columns (one Arrow array each), and how much of the file is read by now."""

    rows: list[Given]
    kept: list[Any]
    share: float


def check_columns(path: Path, found: Sequence[str], signature: Signature, keep: Sequence[str]) -> None:
    """Raises Invalid naming the columns that are missing or occur twice."""
    lacking = [name for name in signature.names if name not in found]
    if lacking:
        shown = ", ".join(map(repr, lacking[:10])) + (f" and {len(lacking) - 10} more" if len(lacking) > 10 else "")
        raise Invalid(f"input: the model takes {shown}, which {path.name} lacks (feature views are not filled in here)", field="input")
    for name in keep:
        if name not in found:
            raise Invalid(f"keep: {path.name} has no column {name!r}", field="keep")
    for name in (*signature.names, *keep):
        if found.count(name) > 1:
            raise Invalid(f"input: column {name!r} occurs twice in {path.name}", field="input")
