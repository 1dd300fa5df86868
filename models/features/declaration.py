"""What a feature view is: declared once, for what is served and for what models are trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from core.errors import Invalid
from core.ids import check_key, check_name
from core.values import Value
from models.signature import Kind

UNIT = "unit"
"""The key of a view whose entities are the units of predictions."""

AggregateKind: TypeAlias = Literal["count", "sum", "mean", "min", "max", "var", "ewm", "quantile", "distinct"]
MOST_FEATURES = 50

LEAST_WINDOW, MOST_WINDOW = 1.0, 366 * 86400.0
"""Seconds."""


class Aggregate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One feature of a streaming view: an aggregate of the field `of` over the last `window_seconds`.

    Only `count` goes without a field: it then counts every event of the entity. Only `ewm`, the exponentially weighted mean, has no
    window: the share of a new value in it is `fading`. `q` is of `quantile`. `var` is the sample variance (n - 1).
    """

    aggregate: AggregateKind
    of: str | None = None
    window_seconds: float | None = None
    q: float = 0.5
    fading: float = 0.5

    @property
    def empty(self) -> Value:
        """What it is where there were no events: 0 of a count or a sum, None of the others."""
        return 0 if self.aggregate in ("count", "distinct") else 0.0 if self.aggregate == "sum" else None


class Stream(msgspec.Struct, frozen=True, kw_only=True, tag="stream", forbid_unknown_fields=True, omit_defaults=True):
    """Features that are computed while events come: those of a `stream`, or the `predictions` of the view's endpoints, or one metric's
    `outcomes` there.

    An event that is more than `lateness_seconds` older than the newest one before it is left out.
    """

    stream: str | None = None
    predictions: bool = False
    outcomes: str | None = None
    lateness_seconds: float = 10.0
    features: dict[str, Aggregate]


class Batch(msgspec.Struct, frozen=True, tag="batch", forbid_unknown_fields=True, omit_defaults=True):
    """Features that are computed offline and loaded as tables: the columns of the newest one, {} before the first."""

    columns: dict[str, Kind] = {}


class View(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A view: features of the entities that `key` names, filled in at the predictions of `endpoints`.

    `key` is `unit`, or a field of the row, or one of the request's context. Features older than `max_age_seconds` are answered by
    `on_stale`. `defaults` are the values where nothing is known of an entity. See `check` for what is refused.
    """

    view: str
    key: str
    endpoints: tuple[str, ...] = ()
    source: Stream | Batch
    max_age_seconds: float | None = None
    on_stale: Literal["default", "error"] = "default"
    defaults: dict[str, Value] = {}

    @property
    def features(self) -> tuple[str, ...]:
        """The names of its features, in their order."""
        return tuple(self.source.features if isinstance(self.source, Stream) else self.source.columns)


def check(view: View) -> View:
    """The view, if it can be; raises Invalid naming the field."""
    check_name(view.view, "view")
    check_key(view.key, "key")
    for index, endpoint in enumerate(view.endpoints):
        check_name(endpoint, f"endpoints[{index}]")
    if len(set(view.endpoints)) < len(view.endpoints):
        raise Invalid("endpoints: expected each endpoint once", field="endpoints")
    if view.max_age_seconds is not None and not 0.0 < view.max_age_seconds < math.inf:
        raise Invalid(f"max_age_seconds: expected more than 0, got {view.max_age_seconds}", field="max_age_seconds")
    if isinstance(view.source, Stream):
        _check_stream(view, view.source)
        check_defaults(view)
    else:
        check_columns(view, view.source.columns)
    return view


def computed(view: View) -> bytes:
    """The part of a declaration that what is computed depends on: where it is the same, what was computed by the one serves the other.

    The endpoints are of it only where their own predictions or outcomes are the source.
    """
    own = isinstance(view.source, Stream) and view.source.stream is None
    return msgspec.json.encode((view.key, view.source, sorted(view.endpoints) if own else ()))


def check_columns(view: View, columns: Mapping[str, Kind]) -> None:
    """Whether a batch view can have these columns; {}: none are known yet. Raises Invalid naming the field."""
    for name in columns:
        _check_feature(view, name, "columns")
    if columns:
        check_defaults(msgspec.structs.replace(view, source=Batch(dict(columns))))


def check_defaults(view: View) -> None:
    """Whether the defaults are of features that the view has, and of their kinds; raises Invalid naming the field."""
    kinds: Mapping[str, Kind] = view.source.columns if isinstance(view.source, Batch) else dict.fromkeys(view.source.features, "float")
    for name, value in view.defaults.items():
        where = f"defaults.{name}"
        if name not in kinds:
            raise Invalid(f"{where}: the view has no feature of this name, but {', '.join(kinds)}", field=where)
        if not fits(value, kinds[name]):
            raise Invalid(f"{where}: expected {_WORDS[kinds[name]]} or null, got {str(value)[:60]!r}", field=where)


def fits(value: Value, kind: Kind) -> bool:
    """Whether the value can stand in a column of that kind; None stands in every one."""
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return False
    return value is None or (isinstance(value, _TYPES[kind]) and isinstance(value, bool) == (kind == "bool"))


def blanks(view: View) -> dict[str, Value]:
    """What the view says of an entity of which it knows nothing: the declared defaults, else 0 of counts and sums, else None."""
    known = empty(view.source) if isinstance(view.source, Stream) else dict.fromkeys(view.features)
    return {**known, **view.defaults}


def empty(source: Stream) -> dict[str, Value]:
    """The features of an entity without events in any window, whatever defaults are declared."""
    return {name: feature.empty for name, feature in source.features.items()}


_TYPES: dict[Kind, tuple[type, ...]] = {"float": (float, int), "int": (int,), "str": (str,), "bool": (bool,)}
_WORDS: dict[Kind, str] = {"float": "a finite number", "int": "a whole number within 64 bits", "str": "a text", "bool": "true or false"}


def _check_stream(view: View, source: Stream) -> None:
    given = (source.stream is not None) + source.predictions + (source.outcomes is not None)
    if given != 1:
        raise Invalid(f"source: expected one of stream, predictions and outcomes, got {given} of them", field="source")
    for name, field in ((source.stream, "source.stream"), (source.outcomes, "source.outcomes")):
        if name is not None:
            check_name(name, field)
    if source.stream is None and not view.endpoints:
        raise Invalid("endpoints: expected the endpoints whose predictions or outcomes are the source", field="endpoints")
    if not 0.0 <= source.lateness_seconds <= MOST_WINDOW:
        field = "source.lateness_seconds"
        raise Invalid(f"{field}: expected 0 to {MOST_WINDOW:.0f} seconds, got {source.lateness_seconds}", field=field)
    if not 0 < len(source.features) <= MOST_FEATURES:
        raise Invalid(f"source.features: expected 1 to {MOST_FEATURES} features, got {len(source.features)}", field="source.features")
    for name, feature in source.features.items():
        _check_feature(view, name, "source.features")
        _check_aggregate(feature, f"source.features.{name}")


def _check_feature(view: View, name: str, where: str) -> None:
    check_key(name, f"{where}.{name[:100]}")
    if name == view.key:
        raise Invalid(f"{where}.{name}: the key of the view cannot be one of its features", field=f"{where}.{name}")


def _check_aggregate(one: Aggregate, where: str) -> None:
    def wrong(field: str, what: str) -> Invalid:
        return Invalid(f"{where}.{field}: {what}", field=f"{where}.{field}")

    if one.of is not None:
        check_key(one.of, f"{where}.of")
    elif one.aggregate != "count":
        raise wrong("of", f"expected the field that the {one.aggregate} is of")
    if one.aggregate == "ewm" and one.window_seconds is not None:
        raise wrong("window_seconds", "an ewm has no window: it fades")
    if one.aggregate != "ewm" and one.window_seconds is None:
        raise wrong("window_seconds", f"a {one.aggregate} needs one")
    if one.window_seconds is not None and not LEAST_WINDOW <= one.window_seconds <= MOST_WINDOW:
        raise wrong("window_seconds", f"expected {LEAST_WINDOW:.0f} to {MOST_WINDOW:.0f} seconds, got {one.window_seconds}")
    if not 0.0 <= one.q <= 1.0:
        raise wrong("q", f"expected a number from 0 to 1, got {one.q}")
    if not 0.0 < one.fading <= 1.0:
        raise wrong("fading", f"expected a number above 0 and at most 1, got {one.fading}")
    for field, kind in (("q", "quantile"), ("fading", "ewm")):
        if getattr(one, field) != 0.5 and one.aggregate != kind:
            raise wrong(field, f"only {kind} has one")
