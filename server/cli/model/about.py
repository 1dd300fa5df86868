"""The options that say something of a version, and `tiltyard model describe`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any

import click

from core.values import Label, read_label
from models.about import About
from server.cli.options import home, json_option, revision_option, show, who
from server.cli.usage import options_as_given, wrong_usage

_TEXTS = ("description", "owner", "licence", "commit")
_LISTS = {"tags": "without_tags", "parents": "without_parents"}
_MAPPINGS = {"metrics": "without_metrics", "parameters": "without_parameters"}


def _figures(_: click.Context, parameter: click.Parameter, given: Sequence[str]) -> dict[str, float]:
    """`auc=0.91` → its number, by name."""
    found = {}
    for name, text in _pairs(given, "auc=0.91"):
        try:
            found[name] = float(text)
        except ValueError:
            found[name] = math.nan
        if not math.isfinite(found[name]):
            raise click.BadParameter(f"expected NAME=NUMBER such as auc=0.91, got {name}={text}")
    return found


def _labels(_: click.Context, parameter: click.Parameter, given: Sequence[str]) -> dict[str, Label]:
    """`max_depth=5` → its number, truth value or text, by name."""
    return {name: text if (read := read_label(text)) is None else read for name, text in _pairs(given, "max_depth=5")}


def _pairs(given: Sequence[str], example: str) -> Iterable[tuple[str, str]]:
    for text in given:
        name, equals, value = text.partition("=")
        if not (name.strip() and equals):
            raise click.BadParameter(f"expected NAME=VALUE such as {example}, got {text!r}")
        yield name.strip(), value.strip()


# `said_` keeps them apart from options of learning, which may have the same names.
_SAYING = (
    click.option("--description", "said_description", help="What it is, in some sentences."),
    click.option("--owner", "said_owner", help="Who answers for it."),
    click.option("--licence", "said_licence", help="Under which it may be used, such as MIT."),
    click.option("--tag", "said_tags", multiple=True, metavar="TAG", help="To be found by; may be repeated."),
    click.option(
        "--metric", "said_metrics", multiple=True, callback=_figures, metavar="NAME=NUMBER", help="Measured elsewhere, such as auc=0.91."
    ),
    click.option("--parameter", "said_parameters", multiple=True, callback=_labels, metavar="NAME=VALUE", help="Of training: max_depth=5."),
    click.option(
        "--training-data",
        "said_training_data",
        metavar="REFERENCE",
        help="What it was trained on; of a file here the SHA-256 is kept as well.",
    ),
    click.option(
        "--commit", "said_commit", metavar="COMMIT", help="Of the code that made it.  [default: git's, of this folder, when registered]"
    ),
    click.option("--parent", "said_parents", multiple=True, metavar="VERSION", help="A version that it was made from; may be repeated."),
)
_UNSAYING = (
    click.option("--without-tag", "said_without_tags", multiple=True, metavar="TAG", help="Take a tag away."),
    click.option("--without-metric", "said_without_metrics", multiple=True, metavar="NAME", help="Take a metric away."),
    click.option("--without-parameter", "said_without_parameters", multiple=True, metavar="NAME", help="Take a parameter away."),
    click.option("--without-parent", "said_without_parents", multiple=True, metavar="VERSION", help="Take a parent away."),
)
_SAID = (*_TEXTS, *_LISTS, *_MAPPINGS, "training_data")


def about_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options that say something of a version, handed over as one `said`."""
    return _with(_SAYING, _SAID, function)


def _describing_options(function: Callable[..., None]) -> Callable[..., None]:
    """Those, and what takes something away."""
    return _with((*_SAYING, *_UNSAYING), (*_SAID, *_LISTS.values(), *_MAPPINGS.values()), function)


def _with(options: Sequence[Any], names: Iterable[str], function: Callable[..., None]) -> Callable[..., None]:
    @wraps(function)
    def command(**arguments: Any) -> None:
        said = {name: value for name in names if (value := arguments.pop(f"said_{name}")) not in (None, (), {})}
        function(said=said, **arguments)

    found: Callable[..., None] = command
    for option in reversed(options):
        found = option(found)
    return found


def patch(said: Mapping[str, Any], about: About) -> dict[str, Any]:
    """The JSON merge patch that the options mean where `about` is said already: lists grow or shrink, an empty text is none."""
    from flows.registry import origins

    found: dict[str, Any] = {name: said[name] for name in _TEXTS if name in said}
    for name, without in _LISTS.items():
        removed = said.get(without, ())
        if name in said or removed:
            found[name] = [each for each in (*getattr(about, name), *said.get(name, ())) if each not in removed]
    for name, without in _MAPPINGS.items():
        found[name] = {**said.get(name, {}), **dict.fromkeys(said.get(without, ()))}
    if "training_data" in said:
        found |= origins.training_data(said["training_data"])
    return found


@click.command("describe")
@click.argument("reference")
@_describing_options
@revision_option
@json_option
def command(reference: str, said: dict[str, Any], if_match: int | None, as_json: bool) -> None:
    """Say more of a version such as credit@3, or otherwise; of a model its description and its owner.

    What no option names stays; an empty text takes what was said away.
    """
    from flows.registry import describing, showing
    from server.cli.model.cards import told

    if not said:
        raise click.UsageError("nothing to say: give at least one option, such as --description")
    here = home()
    with options_as_given():
        if "@" in reference:
            version = describing.describe_version(here.store, reference, lambda about: patch(said, about), who(), if_match)
            card = showing.show_version(here.store, str(version))
            show(card, "\n".join(told(card)), as_json=as_json)
            return
        foreign = sorted(set(said) - {"description", "owner"})
        if foreign:
            wrong_usage(f"{reference} is a model: it has a description and an owner; {foreign[0]} is said of a version")
        describing.describe_model(here.store, reference, said, who(), if_match)
    found = showing.show_model(here.store, reference, 1)
    shown = {name: found[name] for name in ("model", "description", "owner", "revision")}
    show(shown, f"{reference}: {found['description'] or 'no description'} (owner: {found['owner'] or 'nobody'})", as_json=as_json)
