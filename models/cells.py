"""The cells of a CSV file, each read by itself: as its column's kind where that is known, never guessed from what else the column holds."""

from __future__ import annotations

from collections.abc import Callable

from core.values import Value
from models.sample import MISSING
from models.signature import Kind

_BOOLEANS = {"true": True, "false": False}


def cell_reader(kind: Kind | None) -> Callable[[str], Value]:
    """What reads a cell of a column of this kind, None: as it looks, a number, true or false, else a text. A missing value is None.

    A cell that cannot be of the kind stays the text that it is: validation speaks of it.
    """
    return _READERS[kind]


def _number(cell: str) -> Value:
    try:
        number = float(cell)
    except ValueError:
        return _missing(cell)
    if number != number:
        return None
    return number if _is_plain(cell) else cell


def _integer(cell: str) -> Value:
    """3.0 is read as well: validation takes a whole number in any form."""
    try:
        return int(cell) if _is_plain(cell) else cell
    except ValueError:
        return _number(cell)


def _boolean(cell: str) -> Value:
    text = cell.strip().lower()
    return _BOOLEANS.get(text, cell) if text else None


def _any(cell: str) -> Value:
    found = _integer(cell)
    return _boolean(cell) if isinstance(found, str) else found


def _text(cell: str) -> Value:
    return cell or None


def _missing(cell: str) -> Value:
    return None if cell.strip().lower() in MISSING else cell


def _is_plain(cell: str) -> bool:
    """Python also reads 1_000, and the digits of other scripts."""
    return "_" not in cell and cell.isascii()


_READERS: dict[Kind | None, Callable[[str], Value]] = {
    "float": _number,
    "int": _integer,
    "bool": _boolean,
    "str": _text,
    None: _any,
}
