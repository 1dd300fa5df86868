"""Finds what in a refused body is to blame, where the decoder does not say: a number that is none, a key of a free-form object.

It parses the body once more, so only for bodies of a size that does not make refusing them expensive.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

ANY_KEY = "[...]"
"""What msgspec writes for the key of an object whose keys are free."""

_MOST_BYTES = 65_536
_MOST_KEYS = 200
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


class Odd(NamedTuple):
    """A number that is not finite, or beyond what a float can hold: where it stands, and as it was written."""

    path: str
    text: str


class _Written(str):
    """Stands for an odd number in a parsed body."""


def odd_number(body: bytes) -> Odd | None:
    """The first odd number in `body`; None where there is none, or the body is no JSON otherwise."""
    if len(body) > _MOST_BYTES:
        return None
    try:
        found = json.loads(body, parse_constant=_Written, parse_float=_float)
    except (ValueError, RecursionError):
        return None
    stack: list[tuple[str, Any]] = [("", found)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, _Written):
            return Odd(path.removeprefix(".") or "body", value)
        if isinstance(value, dict):
            stack.extend((f"{path}.{key[:100]}", each) for key, each in reversed(value.items()))
        elif isinstance(value, list):
            stack.extend((f"{path}[{index}]", each) for index, each in reversed(list(enumerate(value))))
    return None


def named(path: str, message: str, kind: Any, body: bytes | None) -> str:
    """`path` with the key that is to blame in place of its first `[...]`: the one that alone is refused in the same words."""
    before, _, after = path.partition(ANY_KEY)
    key = None if body is None or len(body) > _MOST_BYTES else _culprit(before, message, kind, body)
    if key is None:
        return path.replace(ANY_KEY, "[]")
    return f"{before}.{key}{after}".removeprefix(".").replace(ANY_KEY, "[]")


def choices(path: str, kind: Any) -> list[str]:
    """What may stand at `path` of a body of that kind, where only some words may; empty where anything of a type may."""
    at = [inspect.type_info(kind)]
    for name, _ in _STEP.findall(path):
        at = [inner for each in at for inner in _inside(each, name)]
    return [str(value) for each in at for one in _members(each) if isinstance(one, inspect.LiteralType) for value in one.values]


def _inside(kind: inspect.Type, name: str) -> list[inspect.Type]:
    """The types of a member of that name, or of a list's items."""
    found: list[inspect.Type] = []
    for each in _members(kind):
        if name and isinstance(each, inspect.StructType):
            found += [field.type for field in each.fields if field.encode_name == name]
        elif name and isinstance(each, inspect.DictType):
            found.append(each.value_type)
        elif not name and isinstance(each, inspect.ListType):
            found.append(each.item_type)
    return found


def _members(kind: inspect.Type) -> list[inspect.Type]:
    return [one for each in kind.types for one in _members(each)] if isinstance(kind, inspect.UnionType) else [kind]


def _culprit(before: str, message: str, kind: Any, body: bytes) -> str | None:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return None
    free = document
    for name, index in _STEP.findall(before):
        free = free[int(index)] if index else free[name]
    if not isinstance(free, dict) or len(free) > _MOST_KEYS:
        return None
    members = dict(free)
    for key, value in members.items():
        free.clear()
        free[key] = value
        try:
            msgspec.convert(document, kind)
        except RecursionError:
            return None
        except msgspec.ValidationError as error:
            if str(error) == message:
                return str(key)[:100]
    return None


def _float(text: str) -> float | _Written:
    number = float(text)
    return number if isfinite(number) else _Written(text)
