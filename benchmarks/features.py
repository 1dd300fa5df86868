"""What feature views cost a prediction: one look-up, and a look-up with its merging into the request's row.

python -m benchmarks.features
"""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from core.values import Value
from models.features.declaration import Aggregate, Batch, Stream, View
from models.features.serving import Beside, Filler, OpenView
from models.features.table import Table, Writer, create, path_of
from models.signature import Kind

ENTITIES, FEATURES = 200_000, 8
CALLS, ROUNDS = 2000, 15
_NAMES = tuple(f"f{number}" for number in range(FEATURES))
_SENT = {f"x{number}": float(number) for number in range(10)}


def look_ups() -> dict[str, float]:
    """Step → median time in seconds, of a table of `ENTITIES` with `FEATURES` numbers each, whose pages the system has in memory.

    `batch` and `stream` are one look-up; `… merged` what a request with ten features of its own takes more in all.
    """
    with tempfile.TemporaryDirectory() as folder:
        batch, stream = _batch(Path(folder)), _stream(Path(folder))
        keys = [f"user{random.Random(number).randrange(ENTITIES)}" for number in range(CALLS)]
        found = {}
        for name, view in (("batch", batch), ("stream", stream)):
            table, filler = view.table, Filler([view], (*_SENT, *_NAMES))
            assert table is not None
            found[name] = _time(lambda number, get=table.get: get(keys[number]))  # type: ignore[misc]
            rows = [{**_SENT, "user_id": key} for key in keys]
            found[f"{name} merged"] = _time(
                lambda number, fill=filler.fill, rows=rows: fill(rows[number], None, Beside(None, {}), 1.0)  # type: ignore[misc]
            )
            table.close()
        return found


def tell() -> None:
    """Measure and print."""
    for step, seconds in look_ups().items():
        print(f"features, {step}: {seconds * 1e6:.1f} µs (aim: at most 20)")


def _batch(folder: Path) -> OpenView:
    path = path_of(folder, "batch", 1)
    create(path, _NAMES, ((f"user{number}", _values(number)) for number in range(ENTITIES)), {"as_of": 0.0, "rows": ENTITIES})
    columns: dict[str, Kind] = dict.fromkeys(_NAMES, "float")
    return OpenView(View(view="batch", key="user_id", source=Batch(columns)), 1, Table(path, immutable=True), 0.0)


def _stream(folder: Path) -> OpenView:
    path = path_of(folder, "stream", 1)
    writer = Writer(path, _NAMES)
    entities = ((f"user{number}", dict(zip(_NAMES, _values(number), strict=True)), b"state") for number in range(ENTITIES))
    writer.put_many(entities, {"as_of": 0.0, "rows": ENTITIES})
    source = Stream(stream="events", features={name: Aggregate("mean", name, 60.0) for name in _NAMES})
    view = OpenView(View(view="stream", key="user_id", source=source), 1, Table(path, immutable=False), 0.0)
    writer.close()
    return view


def _values(number: int) -> list[Value]:
    return [number / (place + 1) for place in range(FEATURES)]


def _time(call: Callable[[int], object]) -> float:
    """The median over some rounds of a call's mean time, in seconds."""
    rounds = []
    for _ in range(ROUNDS):
        start = perf_counter()
        for number in range(CALLS):
            call(number)
        rounds.append((perf_counter() - start) / CALLS)
    return statistics.median(rounds)


if __name__ == "__main__":
    tell()
