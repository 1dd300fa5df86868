"""The file that is scored: opened by its ending, read chunk by chunk so that memory stays flat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from core.errors import Invalid
from flows.scoring.csv_source import CsvSource
from flows.scoring.parquet_source import ParquetSource
from flows.scoring.rows import Chunk
from models.signature import Signature

ENDINGS = (".parquet", ".csv")


class Source(Protocol):
    """A file of rows. `kept`: the Arrow fields of the columns that are handed through."""

    kept: list[Any]

    def chunks(self, start: int, size: int) -> Iterator[Chunk]:
        """The rows from `start` (counted from 0) to the end, at most `size` at once; raises Malformed where the file breaks off."""


def open_source(path: Path, signature: Signature, keep: Sequence[str]) -> Source:
    """The file at `path`; raises Invalid where it will not do, naming the column, and Malformed where it cannot be read at all."""
    if path.suffix.lower() not in ENDINGS:
        raise Invalid(f"input: expected a file ending in {' or '.join(ENDINGS)}, got {path.name!r}", field="input")
    if not path.is_file():
        raise Invalid(f"input: {path}: no such file", field="input")
    return (CsvSource if path.suffix.lower() == ".csv" else ParquetSource)(path, signature, keep)
