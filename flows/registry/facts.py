"""From a version to the facts that it is searched by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from core.values import Label
from models.about import About
from models.card import Card
from store.version_facts import Fact

MAX_TEXT = 500
"""Characters of a text that are compared."""
_WORD = re.compile(r"[^\W_]+")


def facts_of(model: str, by: str, card: Card, about: About) -> list[Fact]:
    """All that the version can be found by, beside what happens to it."""
    said = {
        "owner": about.owner,
        "licence": about.licence,
        "commit": about.commit,
        "data": about.training_data_digest,
        "by": by,
        "remote": card.remote,
    }
    return [
        *(Fact("word", word) for word in words(model, about.description, *about.tags)),
        *(Fact(name, text_of(text)) for name, text in said.items() if text),
        *_texts("tag", about.tags),
        *_texts("parent", about.parents),
        *_texts("feature", (feature.name for feature in card.signature.features)),
        Fact("task", card.task),
        Fact("runtime", card.runtime),
        *(Fact(f"metric.{name}", repr(figure), figure) for name, figure in about.metrics.items()),
        *_parameters({**card.parameters, **about.parameters}),
    ]


def words(*texts: str) -> set[str]:
    """The words of the texts in small letters."""
    return {text_of(word) for text in texts for word in _WORD.findall(text)}


def text_of(value: Label) -> str:
    """How a value is compared: as a text in small letters."""
    return str(value).casefold()[:MAX_TEXT]


def _texts(name: str, texts: Iterable[str]) -> Iterator[Fact]:
    return (Fact(name, text_of(text)) for text in texts)


def _parameters(parameters: dict[str, Label]) -> Iterator[Fact]:
    for name, value in parameters.items():
        yield Fact(f"param.{name}", text_of(value), _number(value))


def _number(value: Label) -> float | None:
    """The number that a parameter is; None for a text, a truth value, and what is beyond all floats."""
    if isinstance(value, str | bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return None
