"""Labels of mirrored predictions: the shadow answers the rows again, and both answers are measured against the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa
from msgspec.structs import replace

from core.errors import Invalid
from core.events import Event, Observed, Predicted
from core.ids import Address, parse_prediction_id
from core.values import Label, Output
from experiments import losses
from experiments.losses import Loss
from experiments.metric import LABEL
from experiments.shadows.evidence import Looked, Seen, due
from flows.facts.homes import unit_of
from store import shadows
from store.shadows import Key, PairRow


class Labelled(NamedTuple):
    """One row of a prediction whose true label has come."""

    address: Address
    row: int
    label: Label
    prediction: Predicted


class Compared(NamedTuple):
    """The pairs that some labels made, and the counts of those that made none."""

    looked: Looked
    rows: list[PairRow]


def labelled(read: Sequence[Event], find: Callable[[Address], Predicted | None]) -> list[Labelled]:
    """The labels among the events read whose prediction is found (it may have expired, or never have been there)."""
    found = (_labelled(event, find) for event in read if isinstance(event, Observed) and event.metric == LABEL)
    return [one for one in found if one is not None]


def compare(looked: Looked, told: Sequence[Labelled], answers: Sequence[Output | None]) -> Compared:
    """Measure what users saw and what the shadow answered (None: it failed) by one loss, which the first pair decides."""
    kind, rows, failed, unlike = looked.loss, [], 0, 0
    for one, answer in zip(told, answers, strict=True):
        if answer is None:
            failed += 1
            continue
        kind = kind or common_loss(one.prediction.outputs[one.row], answer)
        row = None if kind is None else _pair(kind, one, answer)
        if row is None:
            unlike += 1
        else:
            rows.append(row)
    # Where no pair has been made no loss is decided: an odd label must not decide it.
    decided = kind if rows else looked.loss
    return Compared(replace(looked, loss=decided, failed=looked.failed + failed, unlike=looked.unlike + unlike), rows)


def common_loss(primary: Output, shadow: Output) -> Loss | None:
    """The loss that tells most and that both answers have; None for a classifier's and a regressor's."""
    kinds = {losses.best_loss(primary), losses.best_loss(shadow)}
    if len(kinds) == 1:
        return kinds.pop()
    return "error" if "squared" not in kinds else None


def look(connection: sa.Connection, key: Key, looked: Looked, at: float) -> Looked:
    """What is known after the look that is due at journal time `at`, if one is.

    It reads all pairs that are stored, which takes about 1 s with a million of them: so not inside a transaction that writes.
    """
    if not due(looked, at):
        return looked
    from experiments.shadows import (
        looks as shadow_looks,  # here, since scipy takes a while to import and commands that read totals need none of it
    )

    return shadow_looks.look(looked, _seen(connection, key), at)


def _seen(connection: sa.Connection, key: Key) -> Seen:
    counts = shadows.counts(connection, key)
    discordant = (counts.only_primary, counts.only_shadow) if counts.judged == counts.rows else None
    return Seen(np.fromiter(shadows.unit_means(connection, key), dtype=np.float64), counts.rows, discordant)


def _labelled(event: Observed, find: Callable[[Address], Predicted | None]) -> Labelled | None:
    try:
        address, row = parse_prediction_id(event.prediction or "")
    except Invalid:
        return None
    prediction = find(address)
    if prediction is None or (row or 0) >= len(prediction.rows):
        return None
    return Labelled(address, row or 0, event.value, prediction)


def _pair(kind: Loss, one: Labelled, answer: Output) -> PairRow | None:
    seen = one.prediction.outputs[one.row]
    primary, shadow = losses.loss(kind, seen, one.label), losses.loss(kind, answer, one.label)
    if primary is None or shadow is None:
        return None
    return PairRow(
        one.address.segment,
        one.address.offset,
        one.row,
        unit_of(one.address, one.prediction),
        primary,
        shadow,
        losses.is_right(seen, one.label),
        losses.is_right(answer, one.label),
        *_scores(seen, answer, one.label),
    )


def _scores(primary: Output, shadow: Output, label: Label) -> tuple[float | None, float | None, bool | None]:
    """Both scores and whether the row is positive; nothing where the two do not mean the same class by it."""
    positive = losses.is_positive(primary, label)
    if positive is None or positive != losses.is_positive(shadow, label):
        return None, None, None
    return losses.score(primary), losses.score(shadow), positive
