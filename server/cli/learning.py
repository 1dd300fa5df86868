"""The options that say how a model learns while it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click

from core.errors import Invalid
from models.learner.settings import LearnerSettings, Learning
from server.cli.options import duration
from server.cli.usage import wrong_usage

_SETTINGS = (
    "learns_from",
    "late_seconds",
    "metrics",
    "window",
    "detector",
    "detector_parameters",
    "on_drift",
    "fresh_labels",
    "keep_every",
)


def learning_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options of a learner, handed over as one `learning`: None where none of them was given."""

    @wraps(function)
    def command(**arguments: Any) -> None:
        given = {name: arguments.pop(name) for name in _SETTINGS}
        with _said_of_options():
            function(learning=_learning({name: value for name, value in given.items() if value not in (None, ())}), **arguments)

    found: Callable[..., None] = command
    for option in reversed(_OPTIONS):
        found = option(found)
    return found


@contextmanager
def _said_of_options() -> Iterator[None]:
    """A setting that will not do is found when the model is there to ask. It is the option that is wrong, and not the model."""
    try:
        yield
    except Invalid as error:
        options = {parameter.name: parameter.opts[0] for parameter in click.get_current_context().command.params}
        if error.field not in _SETTINGS:
            raise
        wrong_usage(error.message.replace(f"{error.field}:", f"{options[error.field]}:", 1))


def _learning(given: Mapping[str, Any]) -> Learning:
    if given.get("learns_from") != "off":
        return LearnerSettings(**given) if given else None
    if len(given) > 1:
        raise click.UsageError("--learn off: a version that does not learn takes no other option of learning")
    return "off"


def _names(_: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """`LogLoss,Accuracy` → both."""
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _detector(_: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    return "" if text == "none" else text


def _parameters(_: click.Context, parameter: click.Parameter, given: Sequence[str]) -> dict[str, float] | None:
    """`delta=0.002` → its number, by name."""
    found: dict[str, float] = {}
    for text in given:
        name, _equals, number = text.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            raise click.BadParameter(f"expected NAME=NUMBER such as delta=0.002, got {text!r}") from None
    return found or None


_OPTIONS = (
    click.option(
        "--learn",
        "learns_from",
        type=click.Choice(("own", "arms", "all", "off")),
        help="Of a River model: whose labelled rows it learns: its own, those of all arms, those mirrored to it as well.  [default: own]",
    ),
    click.option("--late", "late_seconds", callback=duration, metavar="TIME", help="Labels that come later are not learnt.  [default: 7d]"),
    click.option("--metrics", callback=_names, metavar="NAME,...", help="River's metrics that score it, such as LogLoss,Accuracy."),
    click.option("--window", type=int, metavar="LABELS", help="Over how many labels rolling scores are taken.  [default: 1000]"),
    click.option("--drift", "detector", callback=_detector, metavar="NAME|none", help="River's drift detector.  [default: ADWIN]"),
    click.option(
        "--drift-parameter",
        "detector_parameters",
        callback=_parameters,
        multiple=True,
        metavar="NAME=NUMBER",
        help="Of the detector, such as delta=0.002; may be repeated.",
    ),
    click.option(
        "--on-drift",
        type=click.Choice(("alert", "reset", "challenger")),
        help="What follows a drift: nothing more, it begins anew, or a fresh one learns beside it.  [default: alert]",
    ),
    click.option("--fresh-labels", type=int, metavar="LABELS", help="After so many a fresh one is registered.  [default: 1000]"),
    click.option(
        "--keep-every",
        type=int,
        metavar="SNAPSHOTS",
        help="How many snapshots come to one that is kept as a version; 0 keeps none.  [default: 10000]",
    ),
)
