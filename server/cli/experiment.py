"""`tiltyard experiment`: create, start, stop, list, report, recompute; what plans and draws is in files of its own."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from core.errors import TiltyardError
from server.cli.lazy import Lazy
from server.cli.options import home, json_option, order, show, show_warned, table
from server.cli.usage import options_as_given
from server.home import Home

if TYPE_CHECKING:
    from flows.experiment import Changed


@click.group("experiment", cls=Lazy, modules={"plot": "server.cli.plot", "power": "server.cli.power", "simulate": "server.cli.simulate"})
def command() -> None:
    """Test whether a treatment increases a business metric."""


def design_options(function: Callable[..., None]) -> Callable[..., None]:
    """What an experiment declares; handed over as one `design`, with what was given alone."""

    @wraps(function)
    def handed(design: str | None, success: Any, guardrail: Any, info: Any, **given: Any) -> None:
        named = {"success": success, "guardrail": guardrail, "info": info}
        own = {name: given.pop(name) for name in _DESIGN if name in given}
        function(design=_design(design, named, {name: value for name, value in own.items() if _is_given(value)}), **given)

    found: Callable[..., None] = handed
    for option in reversed(_OPTIONS):
        found = option(found)
    return found


def _is_given(value: object) -> bool:
    # Not by equality: 0 is given, and equals False.
    return value is not None and value is not False and value != ()


def _seconds(option: str, field: str, said: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(option, field, type=float, metavar="SECONDS", help=said)


_OPTIONS = (
    click.option("--success", multiple=True, metavar="METRIC", help="A metric to be improved."),
    click.option("--guardrail", multiple=True, metavar="METRIC", help="A metric not to be hurt."),
    click.option("--info", multiple=True, metavar="METRIC", help="A metric that decides nothing."),
    click.option("--mde", type=float, help="The smallest difference that matters, in the units of the first success metric."),
    click.option("--relative", is_flag=True, help="The MDE is a share of the metric's mean."),
    click.option("--alpha", type=float, help="The error rate of each direction.  [default: 0.05]"),
    click.option("--power", type=float, help="The power for which the test is planned.  [default: 0.8]"),
    _seconds("--window", "window_seconds", "How long after its entry a unit's outcomes count.  [default: 86400]"),
    _seconds("--lateness", "lateness_seconds", "How much longer late outcomes are waited for.  [default: 0]"),
    _seconds("--look-every", "look_every_seconds", "How often evidence is taken.  [default: 300]"),
    _seconds("--horizon", "horizon_seconds", "When to give up: keep control if nothing is shown by then."),
    click.option(
        "--test",
        type=click.Choice(("always-valid", "group-sequential", "fixed-horizon")),
        help="What decides on success.  [default: always-valid; group-sequential with --maximum]",
    ),
    click.option("--maximum", type=float, help="Of a group-sequential test: planned samples at most.  [default: 1.055]"),
    click.option(
        "--spending",
        type=click.Choice(("obrien-fleming", "pocock", "power")),
        help="Of a group-sequential test.  [default: obrien-fleming]",
    ),
    click.option("--phi", type=float, help="The exponent of power spending."),
    click.option("--interim-looks", type=int, help="In how many steps a group-sequential test spends alpha.  [default: 14]"),
    click.option(
        "--slice", "slices", multiple=True, metavar="KEY", help="A context key, or a feature of few values: a break-down of the report."
    ),
    click.option(
        "--design",
        metavar="FILE",
        help="A JSON file with the design as over REST; options replace what it says.",
    ),
)
_DESIGN = (
    "mde",
    "relative",
    "alpha",
    "power",
    "window_seconds",
    "lateness_seconds",
    "look_every_seconds",
    "horizon_seconds",
    "test",
    "maximum",
    "spending",
    "phi",
    "interim_looks",
    "slices",
)


rerandomise_option = click.option(
    "--rerandomise", is_flag=True, help="Give units their arms anew: what they met before is then no part of the comparison."
)


@command.command("create")
@click.argument("name")
@click.option("--endpoint", required=True, help="The endpoint whose arms are compared.")
@design_options
@click.option("--draft", is_flag=True, help="Do not start yet.")
@rerandomise_option
@json_option
def create(name: str, endpoint: str, design: dict[str, Any], draft: bool, rerandomise: bool, as_json: bool) -> None:
    """Create the experiment NAME, and start it unless it is a draft.

    What is said of its metrics on the endpoint (`tiltyard metric declare`) holds here too; where no metric is named, all declared ones
    are taken.
    """
    _create(name, endpoint, design, draft, as_json, rerandomise)


@command.command("aa")
@click.argument("name")
@click.option("--endpoint", required=True, help="The endpoint; where control is alone, a second arm of its version is added.")
@design_options
@click.option("--draft", is_flag=True, help="Do not start yet.")
@json_option
def a_a(name: str, endpoint: str, design: dict[str, Any], draft: bool, as_json: bool) -> None:
    """Create an A/A test: all arms serve the same version, so whatever differs is an error in the set-up.

    Units, outcomes and checks are those of a real experiment. A difference that is shown makes it invalid; at its horizon it is kept.
    """
    _create(name, endpoint, {**design, "aa": True}, draft, as_json)


@command.command("start")
@click.argument("name")
@rerandomise_option
@json_option
def start(name: str, rerandomise: bool, as_json: bool) -> None:
    """Start a draft."""
    from flows import experiment

    here = home()
    _state(here, experiment.start(here.place, name, order(None), _salt(rerandomise)), as_json)


@command.command("stop")
@click.argument("name")
@click.option("--reason", help="Why.")
@json_option
def stop(name: str, reason: str | None, as_json: bool) -> None:
    """Stop a running experiment (the routing stays), or give up a draft."""
    from flows import experiment

    here = home()
    _state(here, experiment.stop(here.place, name, order(reason)), as_json)


@command.command("list")
@json_option
def list_experiments(as_json: bool) -> None:
    """List all experiments."""
    from flows import experiment

    found = experiment.list_all(home().store)
    show(
        {"experiments": found}, table(found, ("experiment", "endpoint", "state", "started", "stopped", "stopped_because")), as_json=as_json
    )


@command.command("report")
@click.argument("name")
@json_option
def report(name: str, as_json: bool) -> None:
    """Show what is known by now: arms, differences, checks, and the verdict with its reason."""
    from experiments.table import table as report_table
    from flows.facts import report as flow

    found = flow.report(home().store, name)
    show(found, report_table(found), as_json=as_json)


@command.command("recompute")
@click.argument("name")
@json_option
def recompute(name: str, as_json: bool) -> None:
    """Make the report of NAME anew from the journal alone, and say whether it comes out the same (if not: exit 1)."""
    from experiments.table import table as report_table
    from flows import recompute as flow
    from flows.adopt import loader

    here = home()
    source = flow.Source(here.store, here.journal, loader(here.store, here.blobs), here.settings.quarantine_seconds)
    found = flow.recompute(source, name)
    said = f"recomputed from {found.events} events: " + ("the same report" if not found.differences else "it differs:")
    text = "\n".join([report_table(found.report).rstrip(), "", said, *(f"  {each}" for each in found.differences)])
    shown = {"same": not found.differences, "events": found.events, "differences": found.differences, "report": found.report}
    show(shown, text, as_json=as_json)
    if found.differences:
        sys.exit(1)


def _create(name: str, endpoint: str, given: dict[str, Any], draft: bool, as_json: bool, rerandomise: bool = False) -> None:
    from experiments.design import Design
    from flows import experiment, metric
    from server.decoding import convert

    here = home()
    with options_as_given():
        design = convert(metric.complete(here.store, endpoint, given), Design)
        made = experiment.create(here.place, name, endpoint, design, order(None), draft=draft, salt=_salt(rerandomise))
    arms = "" if made.plan is None else ", arms " + ", ".join(f"{arm} {one.version}" for arm, one in made.plan.arms.items())
    _state(here, made, as_json, arms)


def _salt(rerandomise: bool) -> str | None:
    return secrets.token_hex(8) if rerandomise else None


def _design(file: str | None, named: dict[str, tuple[str, ...]], own: dict[str, Any]) -> dict[str, Any]:
    """The file's design with the options on top; metrics that were named replace those of the file."""
    found = _read(file) if file is not None else {}
    metrics = [{"name": each, "role": role} for role, names in named.items() for each in names]
    if "slices" in own:
        own["slices"] = list(own["slices"])
    found = {**found, **own, **({"metrics": metrics} if metrics else {})}
    if "mde" not in found:
        raise click.UsageError("Missing option '--mde': the smallest difference that matters.")
    return found


def _read(file: str) -> dict[str, Any]:
    from server.decoding import decode

    try:
        return decode(msgspec.json.Decoder(dict[str, Any]), Path(file).read_bytes())
    except OSError as error:
        raise click.UsageError(f"--design {file}: {error.strerror}") from None
    except TiltyardError as error:
        raise click.UsageError(f"--design {file}: {error.message}") from None


def _state(here: Home, made: Changed, as_json: bool, more: str = "") -> None:
    from flows.facts import cuts

    text = f"experiment {made.shown['experiment']} on {made.shown['endpoint']}: {made.shown['state']}{more}"
    show_warned(made.shown, text, [] if made.plan is None else cuts.warnings(here.store, made.plan), as_json=as_json)
