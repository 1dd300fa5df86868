"""`tiltyard experiment power`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from experiments.text import grid, number
from server.cli.options import home, json_option, show
from server.cli.usage import options_as_given
from server.home import clock

_TESTS = ("always-valid", "group-sequential", "fixed-horizon")


@click.command("power")
@click.option("--endpoint", help="The endpoint whose traffic and outcomes are to be planned with.")
@click.option("--metric", help="The metric that is to change, as declared on the endpoint, else continuous.")
@click.option("--mde", type=float, help="The smallest difference of the mean that matters, in the metric's units.  [default: a table]")
@click.option("--relative", is_flag=True, help="The MDE is a share of the metric's mean.")
@click.option("--alpha", default=0.05, show_default=True, help="The error rate of the direction.")
@click.option("--power", default=0.8, show_default=True, help="How probable it is to be that an effect of the MDE is shown.")
@click.option("--split", default="50:50", show_default=True, metavar="CONTROL:TREATMENT", help="The shares of the two arms.")
@click.option("--test", type=click.Choice(_TESTS), default="always-valid", show_default=True, help="How success is decided.")
@click.option("--window", type=float, metavar="SECONDS", help="How long a unit's outcomes count.  [default: as declared, else a day]")
@click.option("--lateness", type=float, metavar="SECONDS", help="How long late outcomes are waited for.  [default: as declared, else 0]")
@click.option("--days-back", default=14.0, show_default=True, metavar="DAYS", help="How much of the journal is read.")
@click.option("--baseline", type=float, help="Without an endpoint: the mean, or without --sd the proportion.")
@click.option("--sd", type=float, help="Without an endpoint: the standard deviation of the units' values.")
@click.option("--daily-units", type=float, metavar="N", help="Without an endpoint: new units in a day.")
@click.option("--guardrails", type=int, metavar="N", help="How many are to hold as well.  [default: as declared on the endpoint]")
@json_option
def command(window: float | None, lateness: float | None, as_json: bool, **given: Any) -> None:
    """Say how many units each arm needs, and for how many days: from the endpoint's own traffic, or from figures given by hand."""
    from flows.planning import Question, Source, size

    def source() -> Source:
        here = home()
        return Source(here.store, here.journal, clock)

    with options_as_given():
        found = size(Question(window_seconds=window, lateness_seconds=lateness, **given), source)
    show(found, "\n".join(_told(found)), as_json=as_json)


def _told(found: dict[str, Any]) -> Iterator[str]:
    what = f"{found['metric']} on {found['endpoint']}: " if found["endpoint"] else ""
    together = {0: "", 1: " together with a guardrail"}.get(found["guardrails"], f" together with {found['guardrails']} guardrails")
    yield (
        f"{what}{found['test']}, power {found['power']:g}{together} at alpha {found['alpha']:g}, one-sided,"
        f" control:treatment {found['split']}"
    )
    yield from (f"  {line}" for line in (_by_hand if found["endpoint"] is None else _observed)(found["based_on"]))
    yield ""
    yield from grid(["mde", "of the mean", "control", "treatment", "days", ""], [_row(size) for size in found["sizes"]])
    yield from (f"note: {note}" for note in found["notes"])


def _by_hand(on: dict[str, Any]) -> list[str]:
    figures = {"mean": on["mean"], "sd": on["sd"], "new units a day": on["daily_units"]}
    return ["by hand: " + ", ".join(f"{name} {value:.5g}" for name, value in figures.items() if value is not None)]


def _observed(on: dict[str, Any]) -> Iterator[str]:
    yield (
        f"based on {on['source']}: {on['units']:,} units, {on['daily_new_units']:,.0f} new ones a day,"
        f" {on['units_analysed']:,} of them analysed: mean {on['mean']:.5g}, sd {on['sd']:.5g}"
    )
    yield f"{on['kind']}, outcomes count for {on['window_seconds']:g} s, waited for {on['lateness_seconds']:g} s longer"
    covariate = on["covariate"]
    if covariate is not None:
        yield f"covariate {covariate['name']}: correlation {covariate['correlation']:.3g}, {covariate['detail']}"


def _row(size: dict[str, Any]) -> list[str]:
    share = size["share_of_mean"]
    counts = ["-" if size[name] is None else f"{size[name]:,}" for name in ("n_control", "n_treatment", "days")]
    return [number(size["mde"]), "-" if share is None else f"{share:.3g}", *counts, size.get("refused", "")]
