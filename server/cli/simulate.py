"""`tiltyard experiment simulate`: how often a planned design would err, and how long it would take. It needs no home."""

from __future__ import annotations

from typing import Any

import click

from server.cli.options import json_option, show, table
from server.cli.usage import options_as_given


@click.command("simulate")
@click.option("--metric-kind", type=click.Choice(["binary", "normal", "revenue"]), default="binary", show_default=True)
@click.option("--baseline", type=float, required=True, help="Control's rate (binary) or mean.")
@click.option("--sd", type=float, help="Standard deviation of a normal metric or of revenue.")
@click.option("--cv", type=float, help="Instead of --sd: standard deviation / mean; 5.1 for revenue without either.")
@click.option("--mde", type=float, required=True, help="The smallest difference that matters, in the metric's units.")
@click.option("--relative", is_flag=True, help="The MDE and the effect are shares of the baseline.")
@click.option("--effect", type=float, help="The true effect, as the MDE is given; without it, both none and the MDE.")
@click.option("--alpha", default=0.05, show_default=True, help="The error rate of each direction.")
@click.option("--power", default=0.8, show_default=True, help="What the clock and the planned sample are for.")
@click.option("--test", type=click.Choice(["always-valid", "group-sequential", "fixed-horizon"]), help="What decides on success.")
@click.option("--maximum", type=float, help="Of a group-sequential test, in planned samples.")
@click.option("--spending", type=click.Choice(["obrien-fleming", "pocock", "power"]), default="obrien-fleming", show_default=True)
@click.option("--phi", type=float, help="The exponent of the power spending.")
@click.option("--units-per-look", type=int, help="New units between looks, of both arms; default: the planned sample over all looks.")
@click.option("--daily-units", type=float, help="New units a day: durations are in days too.")
@click.option("--days", type=float, help="How long it runs, with --daily-units.")
@click.option("--split", default="50:50", show_default=True, metavar="CONTROL:TREATMENT", help="The weights of the arms.")
@click.option("--looks", default=100, show_default=True, help="How many there are; the last is the horizon.")
@click.option("--experiments", default=1000, show_default=True, help="How many are simulated, for each effect.")
@click.option("--seed", default=1, show_default=True, help="The same seed prints the same.")
@json_option
def command(metric_kind: str, split: str, as_json: bool, **given: Any) -> None:
    """Simulate a planned experiment: false promotions and rollbacks, power, and how long until a decision.

    Beside it stands a t test that is looked at as often and stops when it is significant.
    """
    from experiments.simulation.plan import Planned
    from experiments.simulation.planned import simulate

    shape: Any = metric_kind
    with options_as_given():
        found = simulate(Planned(kind=shape, split=_weights(split), **given))
    show(found, _text(found), as_json=as_json)


def _weights(split: str) -> tuple[float, float]:
    try:
        control, treatment = split.split(":")
        return float(control), float(treatment)
    except ValueError:
        raise click.UsageError(f"--split {split}: expected CONTROL:TREATMENT such as 50:50") from None


def _text(found: dict[str, Any]) -> str:
    design = found["design"]
    long = "" if design["days"] is None else f", {design['days']:.3g} days"
    head = (
        f"{design['test']}, {design['looks']} looks of {design['units_per_look']:,} units: {design['units']:,} in all{long}"
        f" (a fixed-horizon test needs {design['planned_units']:,.0f})\n"
        f"{found['experiments']:,} simulated experiments for each true effect, seed {found['seed']}; 99.9 % intervals"
    )
    return "\n\n".join([head, *(_world(each, relative=design["relative"]) for each in found["effects"])])


def _world(found: dict[str, Any], *, relative: bool) -> str:
    effect = f"{found['effect']:.2%}".replace("%", " %") if relative else f"{found['effect']:g}"
    naive = found["naive"]
    shares = [
        {
            "decision": "promoted" + _called(found["effect"] <= 0.0),
            **_share(found["promoted"]),
            "naive t": _share(naive["promoted"])["rate"],
        },
        {"decision": "rolled back" + _called(found["effect"] >= 0.0), **_share(found["rolled_back"])},
        {"decision": "kept", **_share(found["kept"])},
    ]
    durations = [
        {"until a decision": unit, **quantiles, "naive median": naive["duration"][unit]["median"]}
        for unit, quantiles in found["duration"].items()
        if quantiles is not None
    ]
    return "\n".join(
        [
            f"True effect {effect}",
            table(shares, ("decision", "rate", "interval", "naive t")),
            table(durations, ("until a decision", "p10", "p25", "median", "p75", "p90", "naive median")),
        ]
    )


def _called(false: bool) -> str:
    return " (false)" if false else ""


def _share(found: dict[str, float]) -> dict[str, str]:
    return {"rate": f"{100.0 * found['rate']:.1f} %", "interval": f"{100.0 * found['lower']:.1f} to {100.0 * found['upper']:.1f} %"}
