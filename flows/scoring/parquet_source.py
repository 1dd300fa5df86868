"""A Parquet file of rows to be scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from core.errors import Invalid, Malformed
from core.values import Value
from flows.scoring.rows import Chunk, Given, check_columns
from models.signature import Feature, Kind, Signature

_BUFFER = 65536
"""Bytes of a column that are read ahead. Without it a whole row group is: of a file of 250 MB in one group 330 MB were held, else 90."""

_WORDS: dict[Kind, str] = {"float": "numbers", "int": "integers", "str": "text", "bool": "booleans"}


class ParquetSource:
    """Only the columns that are needed are read."""

    def __init__(self, path: Path, signature: Signature, keep: Sequence[str]) -> None:
        self._path = path
        self._names = signature.names
        with _open(path) as file:
            schema = file.schema_arrow
        check_columns(path, schema.names, signature, keep)
        for feature in signature.features:
            _check_type(path, feature, schema.field(feature.name).type)
        self._keep = list(keep)
        self.kept: list[Any] = [pa.field(name, _plain_type(schema.field(name).type)) for name in keep]

    def chunks(self, start: int, size: int) -> Iterator[Chunk]:
        """See Source."""
        at = start
        try:
            with _open(self._path) as file:
                total = file.metadata.num_rows
                for batch in self._batches(file, start, size):
                    at += batch.num_rows
                    rows = self._rows(batch)
                    yield Chunk(rows, [_decoded(batch.column(name)) for name in self._keep], at / total)
        except (pa.ArrowException, OSError) as error:
            raise Malformed(f"input: {self._path.name} cannot be read after row {at}: {str(error)[:200]}", field="input") from None

    def _batches(self, file: Any, start: int, size: int) -> Iterator[Any]:
        """Batches without the rows before `start`; row groups before it are not even opened."""
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        group = 0
        while group < len(sizes) and start >= sizes[group]:
            start -= sizes[group]
            group += 1
        columns = list(dict.fromkeys((*self._names, *self._keep)))
        for batch in file.iter_batches(size, row_groups=list(range(group, len(sizes))), columns=columns, use_threads=False):
            if batch.num_rows > start:
                yield batch.slice(start)
            start = max(0, start - batch.num_rows)

    def _rows(self, batch: Any) -> list[Given]:
        if not self._names:
            return [{} for _ in range(batch.num_rows)]
        columns = [_values(batch.column(name)) for name in self._names]
        return [dict(zip(self._names, row, strict=True)) for row in zip(*columns, strict=True)]


def _open(path: Path) -> Any:
    try:
        return parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER)
    except (pa.ArrowException, OSError) as error:
        raise Malformed(f"input: {path.name} is not readable as Parquet: {str(error)[:200]}", field="input") from None


def _check_type(path: Path, feature: Feature, kind: Any) -> None:
    """A column that holds no value of the feature's kind is no matter of rows: raises Invalid."""
    plain = _plain_type(kind)
    is_number = pa.types.is_integer(plain) or pa.types.is_floating(plain) or pa.types.is_decimal(plain)
    fits = {
        "float": is_number,
        "int": is_number,
        "str": pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain),
        "bool": pa.types.is_boolean(plain),
    }
    if not fits[feature.kind] and not pa.types.is_null(plain):
        said = f"input: column {feature.name!r} of {path.name}: expected {_WORDS[feature.kind]}, got {kind}"
        raise Invalid(said, field=feature.name)


def _plain_type(kind: Any) -> Any:
    """A category is what it stands for."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _decoded(array: Any) -> Any:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _values(array: Any) -> list[Value]:
    """A column's values, as a sample has them: NaN is a missing number, decimals are floats."""
    array = _decoded(array)
    if pa.types.is_decimal(array.type) or pa.types.is_float16(array.type):
        array = array.cast(pa.float64())
    if pa.types.is_floating(array.type):
        found: list[float] = array.to_numpy(zero_copy_only=False).tolist()
        return [None if value != value else value for value in found]
    if pa.types.is_integer(array.type) and not array.null_count:
        integers: list[Value] = array.to_numpy(zero_copy_only=False).tolist()
        return integers
    others: list[Value] = array.to_pylist()
    return others
