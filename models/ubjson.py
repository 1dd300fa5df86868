"""Universal Binary JSON, as XGBoost writes it: plain values, nothing executed (https://ubjson.org, draft 12)."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEEPEST = 50
_NUMBERS = {"i": ">b", "U": ">B", "I": ">h", "l": ">i", "L": ">q", "d": ">f", "D": ">d"}
_WORDS = {"Z": None, "T": True, "F": False}


def decode(data: bytes) -> Any:
    """The value in `data`; a typed array of numbers, of which large models mostly consist, as numpy's. Raises ValueError."""
    reader = _Reader(data)
    try:
        return reader.value(reader.marker(), 0)
    except (struct.error, KeyError, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"no UBJSON at byte {reader.at}: {error}") from None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if count < 0 or count > len(self.data) - self.at:
            raise IndexError(f"{count} bytes were announced")
        self.at += count
        return self.data[self.at - count : self.at]

    def marker(self) -> str:
        return chr(self.take(1)[0])

    def number(self, marker: str) -> Any:
        form = _NUMBERS[marker]
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self) -> str:
        return self.take(self._length()).decode()

    def value(self, marker: str, depth: int) -> Any:
        if depth > DEEPEST:
            raise IndexError("nested too deeply")
        if marker in _WORDS:
            return _WORDS[marker]
        if marker in "SH":
            return self.text()
        if marker == "C":
            return self.marker()
        if marker not in "[{":
            return self.number(marker)
        kind, count = self._announced()
        return self._array(kind, count, depth) if marker == "[" else self._object(kind, count, depth)

    def _length(self) -> int:
        found = self.number(self.marker())
        if type(found) is not int:
            raise IndexError("a length is no integer")
        return found

    def _announced(self) -> tuple[str | None, int | None]:
        """The type and the number of a container's values, where they stand before them."""
        kind = self.marker() if self._is_next("$") else None
        if kind is not None and kind in _WORDS:  # they take no bytes, so any number of them could be announced
            raise IndexError(f"values of the type {kind}")
        return kind, self._length() if self._is_next("#") else None

    def _is_next(self, marker: str) -> bool:
        found = self.data[self.at : self.at + 1] == marker.encode()
        self.at += found
        return found

    def _array(self, kind: str | None, count: int | None, depth: int) -> list[Any] | NDArray[Any]:
        if kind in _NUMBERS and count is not None:
            return np.frombuffer(self.take(count * struct.calcsize(_NUMBERS[kind])), dtype=_NUMBERS[kind])
        values: list[Any] = []
        while len(values) < count if count is not None else not self._is_next("]"):
            values.append(self.value(kind or self.marker(), depth + 1))
        return values

    def _object(self, kind: str | None, count: int | None, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        done = 0
        while done < count if count is not None else not self._is_next("}"):
            name = self.text()
            values[name] = self.value(kind or self.marker(), depth + 1)
            done += 1
        return values
