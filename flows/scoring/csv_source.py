"""A CSV file of rows to be scored: cells are read as the version's signature says."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from core.errors import Invalid, Malformed
from flows.scoring.rows import Chunk, Given, check_columns
from models.cells import cell_reader
from models.signature import Signature


class CsvSource:
    """UTF-8, a header, as a sample is written; kept columns are texts as they stand."""

    def __init__(self, path: Path, signature: Signature, keep: Sequence[str]) -> None:
        self._path = path
        with self._open() as (_, lines):
            self._header: list[str] = next(lines, [])
        check_columns(path, self._header, signature, keep)
        self._readers = [(feature.name, self._header.index(feature.name), cell_reader(feature.kind)) for feature in signature.features]
        self._places = [self._header.index(name) for name in keep]
        self.kept: list[Any] = [pa.field(name, pa.string()) for name in keep]

    def chunks(self, start: int, size: int) -> Iterator[Chunk]:
        """See Source. Empty lines are no rows."""
        whole = max(1, self._path.stat().st_size)
        with self._open() as (file, lines):
            next(lines, None)
            told = islice(((lines.line_num, cells) for cells in lines if cells), start, None)
            while taken := list(islice(told, size)):
                rows = [self._row(line, cells) for line, cells in taken]
                fine = [cells if len(cells) == len(self._header) else None for _, cells in taken]
                kept = [pa.array([cells and cells[place] for cells in fine], pa.string()) for place in self._places]
                yield Chunk(rows, kept, file.buffer.tell() / whole)

    def _row(self, line: int, cells: list[str]) -> Given:
        if len(cells) != len(self._header):
            return Invalid(f"line {line}: expected {len(self._header)} values, got {len(cells)}", field="input")
        return {name: read(cells[place]) for name, place, read in self._readers}

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        """The file, and a reader of its lines; what is wrong with it becomes Malformed."""
        lines = None
        try:
            with self._path.open(newline="", encoding="utf-8-sig") as file:
                lines = csv.reader(file, strict=True)
                yield file, lines
        except (UnicodeDecodeError, csv.Error) as error:
            where = f" after line {lines.line_num}" if lines is not None and lines.line_num else ""
            raise Malformed(f"input: {self._path.name} is not readable as CSV{where}: {error}", field="input") from None
        except OSError as error:
            raise Malformed(f"input: {self._path}: {error.strerror or error}", field="input") from None
