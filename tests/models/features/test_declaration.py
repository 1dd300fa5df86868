"""What can be declared as a feature view, and how it is said what cannot."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from core.errors import Invalid
from models.features.declaration import Aggregate, Batch, Stream, View, blanks, check, computed, fits
from server.decoding import decode

GOOD: dict[str, Any] = {
    "view": "activity",
    "key": "unit",
    "endpoints": ["churn"],
    "source": {
        "type": "stream",
        "stream": "clicks",
        "features": {
            "clicks_1h": {"aggregate": "count", "window_seconds": 3600},
            "spent_1d": {"aggregate": "sum", "of": "amount", "window_seconds": 86400},
            "pace": {"aggregate": "ewm", "of": "amount", "fading": 0.1},
        },
    },
    "max_age_seconds": 60,
    "defaults": {"pace": 1.5},
}


def changed(where: str, value: object) -> dict[str, Any]:
    """The good view with another value at one place; ... takes the place away."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(GOOD))
    inner = found
    *path, last = where.split("/")
    for name in path:
        inner = inner[name]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return found


def read(declared: dict[str, Any]) -> View:
    """The view that a body declares."""
    return decode(msgspec.json.Decoder(View), msgspec.json.encode(declared))


def test_a_view_reads_as_it_was_written() -> None:
    """The declaration survives its own JSON, and knows its features in their order."""
    view = check(read(GOOD))
    assert msgspec.json.decode(msgspec.json.encode(view), type=View) == view
    assert view.features == ("clicks_1h", "spent_1d", "pace")


def test_blanks_are_the_defaults_else_what_no_events_come_to() -> None:
    """Of an entity without events a count and a sum are 0, other features what is declared, else null."""
    view = check(read(changed("source/features/least", {"aggregate": "min", "of": "amount", "window_seconds": 60})))
    assert blanks(view) == {"clicks_1h": 0, "spent_1d": 0.0, "pace": 1.5, "least": None}


@pytest.mark.parametrize(
    ("where", "value", "field"),
    [
        ("view", "no name", "view"),
        ("key", "", "key"),
        ("endpoints", ["churn", "churn"], "endpoints"),
        ("endpoints", ["a b"], "endpoints[0]"),
        ("max_age_seconds", 0, "max_age_seconds"),
        ("on_stale", "guess", "on_stale"),
        ("extra", 1, "extra"),
        ("source/extra", 1, "source.extra"),
        ("source/type", "river", "source.type"),
        ("source/stream", ..., "source"),
        ("source/predictions", True, "source"),
        ("source/stream", "a b", "source.stream"),
        ("source/lateness_seconds", -1, "source.lateness_seconds"),
        ("source/features", {}, "source.features"),
        ("source/features", {f"f{n}": {"aggregate": "count", "window_seconds": 60} for n in range(51)}, "source.features"),
        ("source/features/unit", {"aggregate": "count", "window_seconds": 60}, "source.features.unit"),
        ("source/features/spent_1d/of", ..., "source.features.spent_1d.of"),
        ("source/features/spent_1d/window_seconds", ..., "source.features.spent_1d.window_seconds"),
        ("source/features/spent_1d/window_seconds", 0.5, "source.features.spent_1d.window_seconds"),
        ("source/features/spent_1d/window_seconds", 1e9, "source.features.spent_1d.window_seconds"),
        ("source/features/spent_1d/aggregate", "median", "source.features.spent_1d.aggregate"),
        ("source/features/spent_1d/q", 0.9, "source.features.spent_1d.q"),
        ("source/features/pace/window_seconds", 60, "source.features.pace.window_seconds"),
        ("source/features/pace/fading", 0, "source.features.pace.fading"),
        ("source/features/pace/q", 2, "source.features.pace.q"),
        ("defaults/other", 1, "defaults.other"),
        ("defaults/pace", "fast", "defaults.pace"),
        ("defaults/pace", True, "defaults.pace"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(where: str, value: object, field: str) -> None:
    """A declaration that cannot be is refused, naming the field."""
    with pytest.raises(Invalid) as refused:
        check(read(changed(where, value)))
    assert refused.value.field == field
    assert refused.value.message.startswith(f"{field}: ")


def test_predictions_and_outcomes_need_an_endpoint() -> None:
    """A view of an endpoint's own events names the endpoint."""
    features = {"n": Aggregate("count", window_seconds=60.0)}
    for source in (Stream(predictions=True, features=features), Stream(outcomes="revenue", features=features)):
        with pytest.raises(Invalid, match=r"^endpoints: "):
            check(View(view="v", key="unit", source=source))
        check(View(view="v", key="unit", endpoints=("churn",), source=source))


def test_defaults_of_a_table_are_of_its_columns_kinds() -> None:
    """Defaults of a batch view wait for its columns, and are then of their kinds."""
    view = View(view="v", key="unit", source=Batch(), defaults={"city": "Bern"})
    check(view)
    check(msgspec.structs.replace(view, source=Batch({"city": "str"})))
    with pytest.raises(Invalid, match=r"^defaults\.city: expected a finite number or null, got 'Bern'"):
        check(msgspec.structs.replace(view, source=Batch({"city": "float"})))


@pytest.mark.parametrize(
    ("where", "value", "same"),
    [
        ("max_age_seconds", 5.0, True),
        ("on_stale", "error", True),
        ("defaults", {"pace": 7.0}, True),
        ("endpoints", ["churn", "other"], True),
        ("key", "user", False),
        ("source/lateness_seconds", 11.0, False),
        ("source/features/spent_1d/window_seconds", 60, False),
    ],
)
def test_what_is_computed_depends_on_a_part_of_it(where: str, value: object, same: bool) -> None:
    """Key and source are what is computed; how it is served and where can change without computing anything anew."""
    assert (computed(read(GOOD)) == computed(read(changed(where, value)))) == same


def test_endpoints_are_part_of_it_where_they_are_the_source() -> None:
    """A view of an endpoint's own predictions is another one where the endpoints are others; their order is nothing."""
    own = replace(read(GOOD), endpoints=("a", "b"), source=Stream(predictions=True, features={"n": Aggregate("count", window_seconds=60)}))
    assert computed(own) == computed(replace(own, endpoints=("b", "a")))
    assert computed(own) != computed(replace(own, endpoints=("a",)))


def test_a_default_is_a_number_that_can_be_stored() -> None:
    """Whole numbers beyond 64 bits are refused."""
    assert [fits(2**63 - 1, "int"), fits(-(2**63), "float")] == [True, True]
    assert [fits(2**63, "int"), fits(-(2**63) - 1, "float")] == [False, False]
