"""How two cards differ: pure functions of what registration has kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from models.card import Card
from models.signature import Feature, Signature


class Told(NamedTuple):
    """The card of a version, and what people say of it."""

    card: Card
    about: Mapping[str, Any]


def differences(left: Told, right: Told) -> dict[str, Any]:
    """All that differs, each as {"left", "right"}; None where one side does not say.

    `metrics` are those that the authors measured, equal ones too: their difference is right − left.
    """
    said = [{name: value for name, value in side.about.items() if name not in ("metrics", "parameters")} for side in (left, right)]
    return {
        "signature": list(_changes(left.card.signature, right.card.signature)),
        "model": _unlike(_model(left.card), _model(right.card)),
        "about": _unlike(*said),
        "metrics": _metrics(left.about.get("metrics", {}), right.about.get("metrics", {})),
        "parameters": _unlike(_parameters(left), _parameters(right)),
        "packages": _unlike(left.card.versions, right.card.versions),
    }


def _parameters(side: Told) -> dict[str, Any]:
    """Those that its estimator says it has, and those that people say."""
    return {**side.card.parameters, **side.about.get("parameters", {})}


def _changes(left: Signature, right: Signature) -> Iterator[dict[str, Any]]:
    """Feature by feature what changes from left to right.

    `breaking`: a request that suits an endpoint of the left version may be refused by one of the right version.
    """
    before, after = ({feature.name: feature for feature in signature.features} for signature in (left, right))
    for name in dict.fromkeys((*before, *after)):
        if name not in after:
            yield _change(name, "removed", before[name].kind, None, breaking=True)
        elif name not in before:
            yield _change(name, "added", None, after[name].kind, breaking=True)
        else:
            yield from _within(before[name], after[name])
    shared = [name for name in before if name in after]
    if shared != [name for name in after if name in before]:
        yield _change(None, "order", list(before), list(after), breaking=True)


def _within(left: Feature, right: Feature) -> Iterator[dict[str, Any]]:
    """What changes of a feature that both take."""
    name = left.name
    if left.kind != right.kind:
        yield _change(name, "type", left.kind, right.kind, breaking=(left.kind, right.kind) != ("int", "float"))
    if left.nullable != right.nullable:
        yield _change(name, "nullable", left.nullable, right.nullable, breaking=left.nullable)
    if (left.minimum, left.maximum) != (right.minimum, right.maximum):
        yield _change(name, "range", [left.minimum, left.maximum], [right.minimum, right.maximum])
    if left.categories != right.categories:
        yield _change(name, "categories", left.categories, right.categories)


def _change(feature: str | None, change: str, left: Any, right: Any, *, breaking: bool = False) -> dict[str, Any]:
    return {"feature": feature, "change": change, "left": left, "right": right, "breaking": breaking}


def _model(card: Card) -> dict[str, Any]:
    """What it is and how it is served; the time of one row was measured where it was registered."""
    return {
        "task": card.task,
        "target": card.signature.target,
        "classes": card.signature.classes,
        "form": card.format if card.compiled is None else card.compiled.form,
        "learns": card.learns,
        "seconds_per_row": card.seconds_per_row,
        "source": card.source,
        "source_digest": card.source_digest,
    }


def _metrics(left: Mapping[str, float], right: Mapping[str, float]) -> dict[str, Any]:
    found = {name: (left.get(name), right.get(name)) for name in dict.fromkeys((*left, *right))}
    return {name: {"left": a, "right": b, "difference": None if a is None or b is None else b - a} for name, (a, b) in found.items()}


def _unlike(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    names = dict.fromkeys((*left, *right))
    return {name: {"left": left.get(name), "right": right.get(name)} for name in names if left.get(name) != right.get(name)}
