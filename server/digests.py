"""The header `Repr-Digest` (RFC 9530): what a body must hash to."""

from __future__ import annotations

import binascii
import re

from core.errors import Invalid

FIELD = "Repr-Digest"
_EXPECTED = f"{FIELD}: expected sha-256=:BASE64:, the SHA-256 of the file"
_ITEM = r'(?::[A-Za-z0-9+/=]*:|"(?:[^"\\]|\\.)*"|[A-Za-z0-9*?.:/+-]+)'
_MEMBER = re.compile(rf"[ \t]*([a-z*][a-z0-9_.*-]*)(?:=({_ITEM}))?((?:;[ ]*[a-z*][a-z0-9_.*-]*(?:={_ITEM})?)*)[ \t]*(,|\Z)")


def sha256_of(header: str | None) -> str:
    """The SHA-256, in hexadecimal, that the header names; other algorithms are passed over. Raises Invalid where it names none.

    The header is a dictionary of structured fields (RFC 9651): of a name given twice the last one counts.
    """
    if header is None:
        raise Invalid(f"{_EXPECTED}, got none", field=FIELD, code="digest-missing")
    members = dict(_members(header))
    if "sha-256" not in members:
        raise Invalid(f"{_EXPECTED}; it names {', '.join(members)[:100] or 'nothing'}", field=FIELD, code="digest-missing")
    value = members["sha-256"] or ""
    try:
        digest = binascii.a2b_base64(value.strip(":"), strict_mode=True) if value[:1] == ":" else b""
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise Invalid(f"{_EXPECTED}; {value[:100]!r} is not 32 bytes in base64 between colons", field=FIELD, code="digest-malformed")
    return digest.hex()


def _members(header: str) -> list[tuple[str, str | None]]:
    found, at = [], 0
    while at < len(header):
        member = _MEMBER.match(header, at)
        if member is None or (member[4] == "," and not header[member.end() :].strip()):
            raise Invalid(f"{_EXPECTED}, got {header[:100]!r}", field=FIELD, code="digest-malformed")
        found.append((member[1], member[2]))
        at = member.end()
    return found
