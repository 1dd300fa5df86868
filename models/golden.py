"""Golden rows: a few rows of the sample with the answers of the model as it was registered, checked at every load."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from core.errors import ModelFailed
from core.values import Output, Row, Value
from models.parity import difference
from models.runtime import Runtime

MOST = 16
FIRST = 6


class Golden(msgspec.Struct, frozen=True):
    """Rows in the signature's order, and the output expected of each."""

    rows: list[list[Value]]
    outputs: list[Output]


def choose(rows: Sequence[Row], outputs: Sequence[Output]) -> Golden:
    """The first rows, then up to 16 in all of those with missing values and with a column's smallest and largest."""
    order: dict[int, None] = dict.fromkeys(range(min(FIRST, len(rows))))
    order.update(dict.fromkeys([place for place, row in enumerate(rows) if None in row][:FIRST]))
    for column in zip(*rows, strict=True):
        present = [place for place, value in enumerate(column) if value is not None]
        if present:
            order[min(present, key=lambda place: column[place])] = None
            order[max(present, key=lambda place: column[place])] = None
        if len(order) >= MOST:
            break
    places = list(order)[:MOST]
    return Golden([list(rows[place]) for place in places], [outputs[place] for place in places])


def check(runtime: Runtime, golden: Golden, tolerance: float) -> None:
    """Predicts each golden row alone, as it is served; raises ModelFailed at the first that answers otherwise."""
    for place, (row, expected) in enumerate(zip(golden.rows, golden.outputs, strict=True)):
        answered = runtime.predict([row])[0]
        apart = difference(expected, answered)
        if not apart <= tolerance:
            raise ModelFailed(f"golden row {place} differs by {apart:.3g}: expected {_shown(expected)}, got {_shown(answered)}")


def _shown(output: Output) -> str:
    return msgspec.json.encode(output).decode()[:200]
