"""What signs a snapshot: all that is unpickled of it was stored by a learner of this home, as that version, at that place."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from core.errors import Rejected
from core.values import Position

KEY_BYTES = 32
_SEAL_BYTES = 32
_SNAPSHOT, _STATE = b"tiltyard snapshot 1", b"tiltyard state 1"
"""What is signed: the one never stands for the other."""


def sign(key: bytes, version: str, number: int, position: Position, river: str, artefact: bytes) -> str:
    """The HMAC-SHA256 (RFC 2104) of all parts, in hexadecimal. `version` is such as `churn@1`, `river` the version of River."""
    named = (version.encode(), b"%d" % number, b"%d" % position.segment, b"%d" % position.offset, river.encode())
    return _digest(key, _SNAPSHOT, (*named, artefact)).hex()


def verify(key: bytes, version: str, number: int, position: Position, river: str, artefact: bytes, signature: str) -> None:
    """Raises Rejected where `signature` is not that of the parts: then `artefact` must not be unpickled."""
    found = sign(key, version, number, position, river, artefact)
    if not hmac.compare_digest(found.encode(), signature.encode()):
        raise Rejected(f"snapshot {number} of {version} does not bear the signature of this home's learners")


def seal(key: bytes, signature: str, state: bytes) -> bytes:
    """`state`, stored beside the artefact of the snapshot that bears `signature`, with what binds it to that one before it."""
    return _digest(key, _STATE, (signature.encode(), state)) + state


def unseal(key: bytes, signature: str, sealed: bytes) -> bytes:
    """What was sealed beside the snapshot that bears `signature`; raises Rejected where it was changed, or is that of another one."""
    found, state = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
    if not hmac.compare_digest(found, _digest(key, _STATE, (signature.encode(), state))):
        raise Rejected("what the learner kept beside its model is not what a learner of this home has stored with it")
    return state


def key(path: Path) -> bytes:
    """The 32 secret bytes in the file `path`, which is made at the first call; however many processes call, all get the same.

    For learners alone: whoever only verifies calls `read_key`. Raises Rejected as that does.
    """
    try:
        if not path.exists():
            _make(path)
    except OSError as error:
        raise Rejected(f"{path}: {error.strerror or error}") from error
    return read_key(path)


def read_key(path: Path) -> bytes:
    """The same where it has been made.

    Raises Rejected where it has not, or is not of that length, or cannot be read, or others than its owner may read or write it.
    """
    try:
        return _read(path)
    except OSError as error:
        raise Rejected(f"{path}: {error.strerror or error}") from error


def _digest(key: bytes, purpose: bytes, parts: Sequence[bytes]) -> bytes:
    mac = hmac.new(key, purpose, hashlib.sha256)
    for part in parts:
        # With its length before each part, no other parts make the same bytes.
        mac.update(len(part).to_bytes(8, "big"))
        mac.update(part)
    return mac.digest()


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        found = file.read(KEY_BYTES + 1)
    if mode & 0o077:
        raise Rejected(f"{path}: expected a key that only its owner can read (mode 0600), found mode {mode:04o}; run chmod 600 on it")
    if len(found) != KEY_BYTES:
        raise Rejected(
            f"{path}: expected a key of {KEY_BYTES} bytes, found another length; put the home's own key back from a copy, since what is"
            " stored cannot be verified by another one"
        )
    return found


def _make(path: Path) -> None:
    """A whole key under its name, or none: it is written under another name, and only one of several becomes the key."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    _write(draft)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first, and its key counts
    finally:
        draft.unlink()
    _sync(path.parent)


def _write(draft: Path) -> None:
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(fd, secrets.token_bytes(KEY_BYTES))
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
