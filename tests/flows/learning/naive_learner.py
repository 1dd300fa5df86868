"""What a learner comes to, written down once more in the simplest way: everything in memory, read in one go."""

from __future__ import annotations

from typing import Any

from core import events
from core.events import Example, Observed, Predicted
from core.ids import parse_prediction_id
from core.values import START
from flows.follow import between
from journal import segments
from tests.flows.learning.learn_world import LATE, LearnWorld, line


def learnt(world: LearnWorld) -> tuple[int, Any]:
    """How many rows the learner of `m@1`, which learns from all arms, is to learn of the journal, and the model that has."""
    model, labels, now = line(), 0, 0.0
    rows: dict[tuple[Any, int], tuple[float, dict[str, Any]]] = {}
    labelled, seen = set[Any](), dict[str, float]()
    for entry in between(world.journal, START, segments.end(world.journal)):
        event = events.decode(entry.payload)
        now, x = max(now, event.at), None
        if isinstance(event, Predicted):
            rows.update({(entry.address, row): (event.at, {"x": values[0]}) for row, values in enumerate(event.rows)})
        elif isinstance(event, Observed):
            address, row = parse_prediction_id(event.prediction or "")
            key = address, row or 0
            if key in rows and key not in labelled and not isinstance(event.value, str):
                labelled.add(key)
                at, features = rows[key]
                x = features if event.at - at <= LATE else None
        elif isinstance(event, Example):
            before = seen.get(event.id or "")
            x = {"x": event.features["x"]} if before is None or now - before > LATE else None
            seen[event.id or ""] = now
        if x is not None:
            truth = event.value if isinstance(event, Observed) else event.label  # type: ignore[union-attr]
            model.predict_one(x)
            model.learn_one(x, truth)
            labels += 1
    return labels, model
