"""`tiltyard experiment`: create, start, stop, list, report."""

from __future__ import annotations

from typing import Any

import click

from server.cli.options import home, json_option, order, show, table


@click.group("experiment")
def command() -> None:
    """Test whether a treatment increases a business metric."""


@command.command("create")
@click.argument("name")
@click.option("--endpoint", required=True, help="The endpoint whose arms are compared.")
@click.option("--success", multiple=True, required=True, metavar="METRIC", help="A metric to be increased.")
@click.option("--guardrail", multiple=True, metavar="METRIC", help="A metric not to be hurt.")
@click.option("--window", default=86400.0, show_default=True, metavar="SECONDS", help="How long after its entry a unit's outcomes count.")
@click.option("--lateness", default=0.0, show_default=True, metavar="SECONDS", help="How much longer late outcomes are waited for.")
@click.option("--mde", required=True, type=float, help="The smallest difference of the mean that matters, in the metric's units.")
@click.option("--relative", is_flag=True, help="The MDE is a share of the metric's mean.")
@click.option("--alpha", default=0.05, show_default=True, help="The error rate of each direction.")
@click.option("--look-every", default=300.0, show_default=True, metavar="SECONDS", help="How often evidence is taken.")
@click.option(
    "--horizon",
    type=float,
    metavar="SECONDS",
    help="When to give up: keep control if enough units have shown nothing by then.",
)
@click.option("--draft", is_flag=True, help="Do not start yet.")
@json_option
def create(
    name: str,
    endpoint: str,
    success: tuple[str, ...],
    guardrail: tuple[str, ...],
    window: float,
    lateness: float,
    mde: float,
    relative: bool,
    alpha: float,
    look_every: float,
    horizon: float | None,
    draft: bool,
    as_json: bool,
) -> None:
    """Create the experiment NAME, and start it unless it is a draft."""
    from experiments.design import Design
    from experiments.metric import Metric
    from flows import experiment

    metrics = [*(Metric(name=each, role="success") for each in success), *(Metric(name=each, role="guardrail") for each in guardrail)]
    design = Design(
        metrics=metrics,
        mde=mde,
        relative=relative,
        alpha=alpha,
        window_seconds=window,
        lateness_seconds=lateness,
        look_every_seconds=look_every,
        horizon_seconds=horizon,
    )
    found = experiment.create(home().place, name, endpoint, design, order(None), draft=draft).shown
    show(found, f"experiment {name} on {endpoint}: {found['state']}", as_json=as_json)


@command.command("start")
@click.argument("name")
@json_option
def start(name: str, as_json: bool) -> None:
    """Start a draft."""
    from flows import experiment

    _state(experiment.start(home().place, name, order(None)).shown, as_json)


@command.command("stop")
@click.argument("name")
@click.option("--reason", help="Why.")
@json_option
def stop(name: str, reason: str | None, as_json: bool) -> None:
    """Stop a running experiment; the routing stays."""
    from flows import experiment

    _state(experiment.stop(home().place, name, order(reason)).shown, as_json)


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
    from flows import report as flow

    found = flow.report(home().store, name)
    show(found, report_table(found), as_json=as_json)


def _state(found: dict[str, Any], as_json: bool) -> None:
    show(found, f"experiment {found['experiment']} on {found['endpoint']}: {found['state']}", as_json=as_json)
