"""A digest of all that a model's state is: equal for a model and its copy in another process, different from one last bit on."""

from __future__ import annotations

import hashlib
import struct
import sys
import types
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np

_DEEP = 20_000
"""Calls within calls: each object takes several here, and pickle goes a thousand objects deep."""


def fingerprint(model: Any) -> str:
    """The SHA-256 of the state, in hexadecimal.

    What pickle would store is what counts: floats by their bits, dicts in their order, but attributes and sets in any. What does not:
    where objects are in memory, which of equal ones are one and the same, and the seed of Python's hashes. Raises TypeError on what
    cannot be pickled.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _DEEP))
    try:
        return _Walk().digest(model).hex()
    finally:
        sys.setrecursionlimit(before)


class _Walk:
    """Digests each object once: `_known` keeps them alive, since an id is given anew when its object is gone."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, bytes]] = {}
        self._open: dict[int, int] = {}

    def digest(self, found: Any) -> bytes:
        plain = _plain(found)
        if plain is not None:
            return plain
        known = self._known.get(id(found))
        if known is not None:
            return known[1]
        if id(found) in self._open:  # a cycle: how many objects up it leads
            return _hash(b"cycle", [b"%d" % (len(self._open) - self._open[id(found)])])
        self._open[id(found)] = len(self._open)
        digest = _hash(*self._parts(found))
        del self._open[id(found)]
        self._known[id(found)] = (found, digest)
        return digest

    def _parts(self, found: Any) -> tuple[bytes, Iterable[bytes]]:
        kind = type(found)
        if kind in (list, tuple):
            return kind.__name__.encode(), map(self.digest, found)
        if kind is dict:
            return b"dict", map(self.digest, chain.from_iterable(found.items()))
        if kind in (set, frozenset):
            return kind.__name__.encode(), sorted(map(self.digest, found))
        if kind is np.ndarray and found.dtype != object:
            return b"array", [found.dtype.str.encode(), repr(found.shape).encode(), found.tobytes()]
        return b"object", self._reduced(found)

    def _reduced(self, found: Any) -> Iterable[bytes]:
        reduced = found.__reduce_ex__(5)
        if isinstance(reduced, str):
            yield reduced.encode()
            return
        parts: list[Any] = [*reduced, None, None, None]
        yield self.digest(parts[0])
        yield self.digest(parts[1])
        yield self._state(_without_chance(found, parts[2]))
        yield self.digest(list(parts[3] or ()))
        yield self.digest(list(parts[4] or ()))

    def _state(self, state: Any) -> bytes:
        if isinstance(state, tuple) and len(state) == 2:  # attributes, and those in slots
            return _hash(b"slots", map(self._state, state))
        if type(state) is dict and all(isinstance(name, str) for name in state):
            attributes: list[tuple[str, Any]] = sorted(state.items())
            return _hash(b"state", map(self.digest, chain.from_iterable(attributes)))
        return self.digest(state)


def _without_chance(found: Any, state: Any) -> Any:
    # River's distributions draw a seed from the operating system when they are made, which is while their model learns (GaussianNB). They
    # need it to draw samples, which no model does: so it is not the model's state.
    if type(found).__module__.startswith("river.proba.") and type(state) is dict and state.get("seed") is None:
        return {name: value for name, value in state.items() if name != "_rng"}
    return state


def _plain(found: Any) -> bytes | None:
    """The digest of what consists of nothing else; None of other objects."""
    kind = type(found)
    if found is None or found is Ellipsis or found is NotImplemented:
        return _hash(b"constant", [repr(found).encode()])
    if kind is float:
        return _hash(b"float", [struct.pack("<d", found)])
    if kind is str:
        return _hash(b"str", [found.encode(errors="surrogatepass")])
    if kind in (bool, int):
        return _hash(kind.__name__.encode(), [b"%d" % found])
    if kind in (bytes, bytearray):
        return _hash(kind.__name__.encode(), [bytes(found)])
    if isinstance(found, type | types.FunctionType | types.BuiltinFunctionType) and not _bound(found):
        return _hash(b"global", [f"{found.__module__}.{found.__qualname__}".encode()])
    return None


def _bound(found: Any) -> bool:
    owner = getattr(found, "__self__", None)
    return owner is not None and not isinstance(owner, types.ModuleType | type)


def _hash(kind: bytes, parts: Iterable[bytes]) -> bytes:
    made = hashlib.sha256(kind)
    for part in parts:
        made.update(len(part).to_bytes(8, "big"))
        made.update(part)
    return made.digest()
