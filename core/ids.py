"""Identifiers: a prediction's id is the address of its record, so no table of predictions exists."""

from __future__ import annotations

import re
from typing import NamedTuple

from core.errors import Invalid
from core.values import Position

_PREDICTION_ID = re.compile(r"p([0-9a-f]{1,8})-([0-9a-f]{1,12})-([0-9a-f]{16})(?:\.(0|[1-9][0-9]{0,5}))?\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}\Z")
_VERSION = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.\-]{0,99})@([1-9][0-9]{0,8})\Z")

NAME_RULE = "a name of 1 to 100 letters, digits, '_', '-' or '.', beginning with a letter or digit"


class Address(NamedTuple):
    """Where a record stands, and the nonce it carries: together they name it once and for all."""

    segment: int
    offset: int
    nonce: int

    @property
    def position(self) -> Position:
        return Position(self.segment, self.offset)


def format_prediction_id(address: Address) -> str:
    """`p<segment>-<offset>-<nonce>`, in hexadecimal."""
    return f"p{address[0]:x}-{address[1]:x}-{address[2]:016x}"


def parse_prediction_id(text: str) -> tuple[Address, int | None]:
    """The address and, where the id ends in `.n`, the row (from 0).

    Raises Invalid when it is not of that form.
    """
    found = _PREDICTION_ID.match(text)
    if found is None:
        raise Invalid(f"prediction_id: expected an id as a prediction answered it, got {text[:60]!r}", field="prediction_id")
    segment, offset, nonce, row = found.groups()
    return Address(int(segment, 16), int(offset, 16), int(nonce, 16)), None if row is None else int(row)


def check_name(text: str, field: str) -> str:
    """`text` where it can name an endpoint, model, arm, alias, metric or experiment; else Invalid."""
    if not _NAME.match(text):
        raise Invalid(f"{field}: expected {NAME_RULE}, got {text[:60]!r}", field=field)
    return text


MAX_KEY = 200


def check_key(text: str, field: str) -> str:
    """`text` where it can be a client's own identifier (a unit, an outcome's id): 1 to 200 printable characters; else Invalid."""
    if not 0 < len(text) <= MAX_KEY or not text.isprintable():
        raise Invalid(f"{field}: expected 1 to {MAX_KEY} printable characters, got {text[:60]!r}", field=field)
    return text


class VersionId(NamedTuple):
    """`credit@3`: the third version of the model `credit`."""

    model: str
    number: int

    def __str__(self) -> str:
        return f"{self.model}@{self.number}"


def parse_version(text: str, field: str = "version") -> VersionId:
    """`credit@3` → VersionId; raises Invalid otherwise."""
    found = _VERSION.match(text)
    if found is None:
        raise Invalid(f"{field}: expected MODEL@NUMBER such as credit@3, got {text[:60]!r}", field=field)
    return VersionId(found[1], int(found[2]))
