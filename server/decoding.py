"""From bytes to checked values: msgspec decodes, this words its errors so that they name the field."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from core.errors import Invalid, Malformed, TooLarge

T = TypeVar("T")

_AT = re.compile(r" - at `(?:key in )?\$\.?(.*)`\Z", re.DOTALL)
_INDEX = re.compile(r"\[\.\.\.\]")


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The value in `body`; raises Malformed (no JSON), TooLarge (nested too deeply) or Invalid naming the field."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _worded(str(error)) from None
    except msgspec.DecodeError as error:
        raise Malformed(f"body: expected JSON: {error}", field="body") from None
    except UnicodeDecodeError as error:
        raise Malformed(f"body: expected UTF-8: {error.reason} at byte {error.start} of a text", field="body") from None
    except RecursionError:
        raise TooLarge("body: nested too deeply", field="body") from None


def convert(given: Any, kind: type[T]) -> T:
    """`given` as a `kind`; raises Invalid naming the field."""
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise _worded(str(error)) from None


def _worded(message: str) -> Invalid:
    found = _AT.search(message)
    field = _INDEX.sub("[]", found[1]) if found and found[1] else "body"
    text = message[: found.start()] if found else message
    return Invalid(f"{field}: {text[0].lower()}{text[1:]}", field=field)
