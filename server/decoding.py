"""From bytes to checked values: msgspec decodes, this words its errors so that they name the field."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from core.errors import Invalid, Malformed, TooLarge
from server import blame

T = TypeVar("T")

_AT = re.compile(r" - at `(?:key in )?\$\.?(.*)`\Z", re.DOTALL)
_MEMBER = re.compile(r"Object (missing required|contains unknown) field `(.*)`\Z", re.DOTALL)
_ENUM = "Invalid enum value "
_MOST_SAID = 300
"""Characters of a path or message that are repeated to the client who sent them."""
_MEMBER_WORDS = {"missing required": "this field is required", "contains unknown": "unknown field"}


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The value in `body`; raises Malformed (no JSON), TooLarge (nested too deeply) or Invalid naming the field."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _worded(str(error), decoder.type, body) from None
    except msgspec.DecodeError as error:
        odd = blame.odd_number(body)
        if odd is not None:
            raise Malformed(f"{odd.path}: expected a finite number, got {odd.text}", field=odd.path) from None
        raise Malformed(f"body: expected JSON: {error}", field="body") from None
    except UnicodeDecodeError as error:
        raise Malformed(f"body: expected UTF-8: {error.reason} at byte {error.start} of a text", field="body") from None
    except RecursionError:
        raise TooLarge("body: nested too deeply", field="body") from None


def convert(given: Any, kind: type[T], where: str = "") -> T:
    """`given`, which stands at `where` of a body, as a `kind`; raises Invalid naming the field."""
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        found = _worded(str(error), kind, None)
        raise Invalid(where + found.message, field=f"{where}{found.field}") from None
    except Invalid as error:
        raise inside(where, error) from None


def inside(where: str, error: Invalid) -> Invalid:
    """The same, of what stands at `where` of a body: what a value says of itself begins with the path inside it."""
    return Invalid(where + error.message, field=where + error.message.partition(":")[0], code=error.code)


def _worded(message: str, kind: Any, body: bytes | None) -> Invalid:
    odd = blame.odd_number(body) if body is not None and "out of range" in message else None
    if odd is not None:
        return Invalid(f"{odd.path}: expected a finite number, got {odd.text}", field=odd.path)
    found = _AT.search(message)
    path = found[1] if found else ""
    text = message[: found.start()] if found else message
    if blame.ANY_KEY in path:
        path = blame.named(path, message, kind, body)
    member = _MEMBER.match(text)
    if member:
        path = f"{path}.{member[2]}" if path else member[2]
        text = _MEMBER_WORDS[member[1]]
    if text.startswith(_ENUM):
        text = f"expected one of {', '.join(blame.choices(path, kind))}, got {text.removeprefix(_ENUM)}"
    field = path[:_MOST_SAID] or "body"
    return Invalid(f"{field}: {text[0].lower()}{text[1:_MOST_SAID]}", field=field)
