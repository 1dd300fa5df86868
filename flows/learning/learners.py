"""The names of learners among the readers: each learning version has one."""

from __future__ import annotations

from core.ids import VersionId, parse_version

_KIND = "learn"


def learner_reader(version: VersionId) -> str:
    """The name of the reader that learns for `version`: `learn:churn@1`."""
    return f"{_KIND}:{version}"


def parse_learner(reader: str) -> VersionId | None:
    """The version that a reader of that name learns for; None where it is another kind of reader."""
    kind, _, version = reader.partition(":")
    return parse_version(version, "reader") if kind == _KIND else None
