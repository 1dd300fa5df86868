"""Features filled in at prediction time: the views that are open, and what a request has left out.

For the thread of the hub: a look-up is a few microseconds in a file that is already open, without a lock and without waiting. Nothing here
changes while a request is answered, so all its rows see one generation of each view.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from core.errors import Invalid, Unavailable
from core.values import Value
from models.features.declaration import UNIT, View, blanks
from models.features.table import Table, key_text

_log = logging.getLogger("tiltyard.features")


class OpenView:
    """One generation of a view, open. `table` is None where there is nothing to look up yet.

    `as_of` is when what it serves was true: of a stream it moves on, as whoever opened the view finds out.
    """

    __slots__ = ("as_of", "blanks", "generation", "table", "view")

    def __init__(self, view: View, generation: int, table: Table | None, as_of: float | None) -> None:
        self.view = view
        self.generation = generation
        self.table = table
        self.as_of = as_of
        self.blanks = blanks(view)

    def age(self, now: float) -> float | None:
        """Seconds since what it serves was true; None where it serves nothing yet."""
        return None if self.as_of is None else max(0.0, now - self.as_of)

    def is_stale(self, now: float) -> bool:
        """Whether it is older than declared. What serves nothing yet is older than anything."""
        most = self.view.max_age_seconds
        return most is not None and (self.as_of is None or now - self.as_of > most)

    def told(self, now: float) -> dict[str, Any]:
        """What an answer says of it."""
        age = self.age(now)
        return {"age_seconds": None if age is None else round(age, 3), "generation": self.generation}


class Beside(NamedTuple):
    """What a request says beside its rows."""

    unit: str | None
    context: Mapping[str, Value]


class _Filled:
    """What one view fills in at one endpoint: those of its features that the endpoint's inputs have."""

    __slots__ = ("_blanks", "_defaults", "_open", "_pick", "key", "name", "names", "needed")

    def __init__(self, view: OpenView, inputs: Sequence[str]) -> None:
        self._open = view
        self.name, self.key = view.view.view, view.view.key
        self.names = tuple(name for name in view.view.features if name in inputs)
        self.needed = frozenset(self.names)
        self._blanks = {name: view.blanks[name] for name in self.names}
        self._defaults = {name: value for name, value in self._blanks.items() if name in view.view.defaults}
        self._pick = _picker([] if view.table is None else [view.table.names.index(name) for name in self.names])

    def features(self, key: str | None, now: float) -> Mapping[str, Value]:
        """The values of the entity; raises Unavailable where they are too old and that is an error."""
        view = self._open
        if view.is_stale(now):
            return self._without("serves nothing yet" if view.as_of is None else "is older than its declared maximum age")
        if view.table is None or key is None:
            return self._blanks
        try:
            values = view.table.values(key)
        except UnicodeEncodeError:  # half a surrogate pair: no entity is called so
            return self._blanks
        except sqlite3.Error as error:
            _log.warning("view %s could not be read: %s", self.name, error)
            return self._without("cannot be read at this moment")
        if values is None:
            return self._blanks
        found = dict(zip(self.names, self._pick(values), strict=True))
        for name, value in self._defaults.items():
            if found[name] is None:
                found[name] = value
        return found

    def _without(self, why: str) -> Mapping[str, Value]:
        if self._open.view.on_stale == "error":
            raise Unavailable(f"feature view {self.name} {why}", code="features-stale")
        return self._blanks

    def key_of(self, row: Mapping[str, Any], where: str, beside: Beside) -> str | None:
        """The entity that a row is about; raises Invalid where the row does not say it, None where it says that it knows none."""
        if self.key == UNIT:
            return beside.unit
        value = row[self.key] if self.key in row else beside.context.get(self.key, beside)
        if value is None or isinstance(value, str | int | float):
            return key_text(value)
        lacking = ", ".join(name for name in self.names if name not in row)
        expected = f"a text or a number, by which the view {self.name} knows {lacking}; it stands in the row or in the context"
        raise Invalid(f"{where}.{self.key}: expected {expected}", field=f"{where}.{self.key}")


class Filler:
    """What the views of an endpoint fill in where its inputs are `inputs`."""

    def __init__(self, views: Sequence[OpenView], inputs: Sequence[str]) -> None:
        self.views = tuple(views)
        self._filled = [filled for filled in (_Filled(view, inputs) for view in views) if filled.names]
        self._extra = sorted({view.view.key for view in views if view.view.key not in inputs and view.view.key != UNIT})

    def fill(self, features: Any, instances: Any, beside: Beside, now: float) -> tuple[Any, Any]:
        """The rows of a request with what the views know of them. A row that is a list says all itself; a client's own value wins.

        Raises Invalid where a row needs a view and does not say of which entity, Unavailable where a view is too old and that is an error.
        """
        if type(features) is dict:
            features = self._row(features, "features", beside, now)
        if type(instances) is list:
            instances = [
                self._row(row, f"instances[{index}]", beside, now) if type(row) is dict else row for index, row in enumerate(instances)
            ]
        return features, instances

    def told(self, now: float) -> dict[str, dict[str, Any]]:
        """What an answer says of the views: age in seconds and generation."""
        return {view.view.view: view.told(now) for view in self.views}

    def explained(self, error: Invalid, features: Any, instances: Any, beside: Beside) -> Invalid:
        """The same error of a row; where it is about a value that a view filled in, it says which view and entity."""
        rows = {"features": features} if instances is None else {f"instances[{place}]": row for place, row in enumerate(instances)}
        where = next((where for where in rows if f"{error.field}".startswith(f"{where}.")), None)
        if where is None or type(rows[where]) is not dict:
            return error
        row, name = rows[where], f"{error.field}"[len(where) + 1 :]
        for filled in self._filled:
            if name in filled.needed and name not in row:
                entity = filled.key_of(row, where, beside)
                said = f"{error.message} from the view {filled.name} for {filled.key} {entity!r}; declare a default for {name}, or send it"
                return Invalid(said, field=error.field)
        return error

    def _row(self, given: dict[str, Any], where: str, beside: Beside, now: float) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for filled in self._filled:
            if not filled.needed <= given.keys():
                row.update(filled.features(filled.key_of(given, where, beside), now))
        row.update(given)
        for name in self._extra:
            row.pop(name, None)
        return row


def _picker(places: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """`itemgetter` that always answers a tuple, for one place as well."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple(values[place] for place in places)
