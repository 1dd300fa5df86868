"""What people say of models and versions, changed after registration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from core.errors import Conflict, Invalid
from core.ids import VersionId
from flows import known
from flows.registry.facts import facts_of
from models import about as abouts
from models.about import About
from routing.changes import Who
from store import audit, registry, version_facts
from store.engine import Store
from store.registry import VersionRow


def describe_version(
    store: Store, reference: str, changes: Callable[[About], Mapping[str, Any]], who: Who, if_match: int | None = None
) -> VersionId:
    """Apply a JSON merge patch to what is said of a version: what it does not name stays as somebody else may just have set it.

    `changes` makes the patch of what is said now.

    Raises NotFound, Invalid naming the field, and Conflict where the version's revision is not `if_match`.
    """
    with store.write() as connection:
        version = registry.resolve(connection, reference, "version")
        row = registry.version_row(connection, version)
        match(row, if_match)
        before = decode(row.about)
        after = abouts.merge(before, changes(before))
        for parent in set(after.parents) - set(before.parents):
            _check_parent(connection, version, parent)
        if after != before:
            registry.set_about(connection, version, known.encode(after))
            version_facts.replace(connection, version, facts_of(version.model, row.by, known.decode_card(row.card), after))
            audit.write(connection, who.at, who.by, "model.describe", str(version), **_differences(before, after))
    return version


def describe_model(store: Store, model: str, changes: Mapping[str, Any], who: Who, if_match: int | None = None) -> None:
    """The same for what is said of a model: its description and its owner."""
    with store.write() as connection:
        row = registry.model_row(connection, model)
        if if_match is not None and if_match != row.revision:
            raise Conflict(
                f"If-Match: model {model} has revision {row.revision}, not {if_match}", field="If-Match", code="revision-changed"
            )
        before = {"description": row.description, "owner": row.owner}
        after = {**before, **_of_model(changes)}
        if after != before:
            registry.set_model(connection, model, **after)
            differing = {name: [before[name], after[name]] for name in before if before[name] != after[name]}
            audit.write(connection, who.at, who.by, "model.describe", model, **differing)


def decode(about: bytes) -> About:
    """What is said of a version, from its row."""
    return msgspec.json.decode(about, type=About)


def match(row: VersionRow, if_match: int | None) -> None:
    """Raises Conflict where the version's revision is another one."""
    if if_match is not None and if_match != row.revision:
        raise Conflict(f"If-Match: {row.version} has revision {row.revision}, not {if_match}", field="If-Match", code="revision-changed")


def _of_model(changes: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, value in changes.items():
        if name not in ("description", "owner"):
            raise Invalid(f"{name[:60]}: expected description or owner", field=name[:60])
        if not isinstance(value, str | None):
            raise Invalid(f"{name}: expected a text, got {type(value).__name__}", field=name)
        limited = abouts.check_description if name == "description" else abouts.check_text
        found[name] = limited(value or "", name)
    return found


def _check_parent(connection: sa.Connection, version: VersionId, parent: str) -> None:
    if registry.resolve(connection, parent, "parents") == version:
        raise Invalid(f"parents: {version} cannot be made from itself", field="parents")


def _differences(before: About, after: About) -> dict[str, list[Any]]:
    """Field → what it was and what it is."""
    was, now = msgspec.structs.asdict(before), msgspec.structs.asdict(after)
    return {name: [msgspec.to_builtins(was[name]), msgspec.to_builtins(now[name])] for name in was if was[name] != now[name]}
