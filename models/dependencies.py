"""The libraries that a version needs, and whether those here are of the release that it was made with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from models.artefact import Format
from models.card import Card

NEEDED: Mapping[Format, tuple[str, ...]] = {
    "linear": (),
    "onnx": ("numpy", "onnxruntime"),
    "skops": ("numpy", "scikit-learn", "skops"),
    "pickle": ("numpy", "scikit-learn"),
    "treelite": ("numpy", "treelite"),
    "river": ("river",),
    "remote": (),
}
"""By format: what must be installed where a version answers."""
DECISIVE = {"onnxruntime", "river", "scikit-learn", "treelite"}
"""Of these another minor release may answer otherwise; the others keep their promises."""


def differing(card: Card) -> tuple[str, ...]:
    """A sentence for each library whose minor release here is not the one that made the version."""
    made = ((name, card.versions.get(name)) for name in NEEDED[card.format] if name in DECISIVE)
    return tuple(
        f"made with {name} {release}, here is {installed(name) or 'none'}"
        for name, release in made
        if release is not None and minor(release) != minor(installed(name))
    )


def minor(release: str | None) -> tuple[str, ...]:
    """`1.9.1` → (`1`, `9`)."""
    return tuple((release or "").split(".")[:2])


@cache
def installed(name: str) -> str | None:
    """The release that is installed here; None where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
