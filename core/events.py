"""The events of the journal, and their codec (MessagePack arrays: the order of fields is the format).

New fields go to the end, with a default: old journals stay readable.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from core.values import Label, Output, Value

ENROLLED = 1
"""The unit is in the running experiment's share."""
FALLBACK = 2
"""The assigned arm failed and control answered."""
FORCED = 4
"""An operator chose the arm."""
PINNED = 8
"""The client named the version: outside any experiment."""
HELD_OUT = 16
"""The unit belongs to the holdout, which one version serves whatever the plan does to others."""


class Predicted(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="p"):
    """One answered request. Its id is the address of its record.

    `unit` is None where none was given: the request is its own unit. `rows` are the features as served, in the order
    of the plan's inputs. `latency` is the model's time in seconds. `context` is what the client said of the request beyond its features.
    `snapshot` is the learner's snapshot that answered; 0: the version as it was registered.
    """

    at: float
    endpoint: str
    plan: int
    unit: str | None
    arm: str
    propensity: float
    version: str
    flags: int
    rows: list[list[Value]]
    outputs: list[Output]
    latency: float
    context: dict[str, str] | None = None
    snapshot: int = 0


class Observed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="o"):
    """One outcome as it arrived at `at`, observed at `timestamp`; belongs to `prediction` or to `endpoint` + `unit`."""

    at: float
    prediction: str | None
    endpoint: str | None
    unit: str | None
    metric: str
    value: Label
    timestamp: float
    id: str | None


class Unlogged(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="u"):
    """`count` predictions of an arm that were answered while the journal could not be written."""

    at: float
    endpoint: str
    plan: int
    arm: str
    count: int


class Tick(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="t"):
    """Journal time moves on though nothing happened: what matures or is looked at then follows from the journal alone."""

    at: float


class Example(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="x"):
    """A labelled row that was posted to the model's learners without a prediction. `features` by name, as the signature reads them."""

    at: float
    model: str
    features: dict[str, Value]
    label: Label
    id: str | None


class Restored(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="r"):
    """From here on the learner of `version` (`churn@1`) goes on from the state of the version `to`, which it had published."""

    at: float
    version: str
    to: str


class Streamed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="s"):
    """One event of a stream, of `timestamp`; `values` are its fields, the entity keys among them."""

    at: float
    stream: str
    values: dict[str, Value]
    timestamp: float
    id: str | None


Event: TypeAlias = Predicted | Observed | Unlogged | Tick | Example | Restored | Streamed

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)

encode = _encoder.encode


def decode(payload: bytes | memoryview) -> Event:
    """The event in a record's payload; raises msgspec.ValidationError or DecodeError on bytes that are none."""
    return _decoder.decode(payload)
