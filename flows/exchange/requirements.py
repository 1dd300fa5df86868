"""What must be installed where a version answers without Tiltyard."""

from __future__ import annotations

from collections.abc import Sequence

from models.card import Card
from models.dependencies import NEEDED


def lines(card: Card, *more: str) -> Sequence[str]:
    """Lines of a `requirements.txt`: each library that it needs, and `more`, of the captured release where one was captured."""
    names = dict.fromkeys([*NEEDED[card.format], *more])
    return [f"{name}=={card.versions[name]}" if name in card.versions else name for name in names]
