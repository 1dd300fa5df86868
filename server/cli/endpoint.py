"""`tiltyard endpoint`: create endpoints, shift traffic, promote, roll back."""

from __future__ import annotations

import math
import secrets
from typing import Any

import click

from core.errors import Conflict
from flows import deploy, known, status
from flows.deploy import HoldoutSpec
from flows.facts import cuts
from routing.plan import Plan, public
from server.cli import options
from server.cli.lazy import Lazy
from server.cli.options import How, change_options, home, json_option, plan_options, show, table
from server.cli.usage import time_range
from server.home import Home, clock
from store import plans

_SHADOW_COLUMNS = ("mirrored", "done", "dropped", "waiting", "errors", "agreement", "mean_difference", "lag_seconds")


@click.group("endpoint", cls=Lazy, modules={"drift": "server.cli.drift"})
def command() -> None:
    """Create endpoints and shift their traffic."""


@command.command("create")
@click.argument("endpoint")
@click.option("--arm", "arms", multiple=True, required=True, help="NAME=MODEL@VERSION:WEIGHT; one must be called control.")
@click.option("--shadow", "shadows", multiple=True, help="NAME=MODEL@VERSION[:SAMPLE], or NAME=remote:SERVER/MODEL[:SAMPLE].")
@click.option("--enrolment", type=float, default=1.0, show_default=True, help="Share of units in the experiment.")
@click.option("--salt", help="What assignment is hashed with; random where not given.")
@plan_options
def create(endpoint: str, arms: tuple[str, ...], shadows: tuple[str, ...], enrolment: float, salt: str | None, how: How) -> None:
    """Create ENDPOINT with its arms and shadows."""
    here = home()
    plan = deploy.create(
        here.place, endpoint, options.arms(arms), options.shadows(shadows), enrolment, salt or secrets.token_hex(8), how.order
    )
    _changed(here, plan, how)


@command.command("arms")
@click.argument("endpoint")
@click.option("--arm", "arms", multiple=True, required=True, help="NAME=MODEL@VERSION:WEIGHT; one must be called control.")
@click.option("--enrolment", type=float, help="Share of units in the experiment.")
@change_options
def set_arms(endpoint: str, arms: tuple[str, ...], enrolment: float | None, how: How) -> None:
    """Give ENDPOINT other arms or versions; ends a running experiment."""
    here = home()
    plan = deploy.set_arms(here.place, endpoint, options.arms(arms), None, enrolment, how.order)
    _changed(here, plan, how)


@command.command("traffic")
@click.argument("endpoint")
@click.argument("weights", nargs=-1, required=True, metavar="ARM=WEIGHT...")
@click.option("--enrolment", type=float, help="Share of units in the experiment.")
@change_options
def traffic(endpoint: str, weights: tuple[str, ...], enrolment: float | None, how: How) -> None:
    """Shift the traffic of ENDPOINT: a weight for every arm."""
    here = home()
    plan = deploy.set_traffic(here.place, endpoint, options.weights(weights), enrolment, how.order)
    _changed(here, plan, how)


@command.command("shadows")
@click.argument("endpoint")
@click.option(
    "--shadow",
    "shadows",
    multiple=True,
    help="NAME=MODEL@VERSION[:SAMPLE], or NAME=remote:SERVER/MODEL[:SAMPLE]; all that there are to be.",
)
@click.option("--none", is_flag=True, help="No shadows any more.")
@change_options
def set_shadows(endpoint: str, shadows: tuple[str, ...], none: bool, how: How) -> None:
    """Set the shadows of ENDPOINT; `endpoint status` shows them."""
    if none == bool(shadows):
        raise click.UsageError("expected --shadow for each shadow that there is to be, or --none")
    here = home()
    plan = deploy.set_shadows(here.place, endpoint, options.shadows(shadows), how.order)
    _changed(here, plan, how)


@command.command("holdout")
@click.argument("endpoint")
@click.option("--share", type=float, help="Share of the units to hold out.")
@click.option("--version", "reference", metavar="MODEL@VERSION", help="What serves them; as before, at first control's version.")
@click.option("--salt", help="Which units follows from it; as before, at first random.")
@click.option("--none", is_flag=True, help="Hold out nobody any more.")
@change_options
def set_holdout(endpoint: str, share: float | None, reference: str | None, salt: str | None, none: bool, how: How) -> None:
    """Let one version serve a share of the units of ENDPOINT, whatever becomes of its arms. Without options: show the holdout."""
    here = home()
    if share is None and reference is None and salt is None and not none:
        with here.store.read() as connection:
            plan = deploy.load(connection, endpoint)
        show({"holdout": public(plan).get("holdout")}, _sentence(plan), as_json=how.as_json)
        return
    if none == (share is not None) or (none and (reference or salt)):
        raise click.UsageError("expected --share, and what else is to change of it, or --none alone")
    asked = None if share is None else HoldoutSpec(share, reference, salt)
    _changed(here, deploy.set_holdout(here.place, endpoint, asked, how.order), how)


@command.command("promote")
@click.argument("endpoint")
@click.option("--arm", help="Which arm; not needed where there is one beside control.")
@change_options
def promote(endpoint: str, arm: str | None, how: How) -> None:
    """Make an arm's version the control, at 100 %."""
    here = home()
    _changed(here, deploy.promote(here.place, endpoint, arm, how.order), how)


@command.command("rollback")
@click.argument("endpoint")
@click.option("--to", type=int, metavar="PLAN", help="To this plan; otherwise to the parent.")
@change_options
def rollback(endpoint: str, to: int | None, how: How) -> None:
    """Go back to an earlier plan of ENDPOINT."""
    here = home()
    _changed(here, deploy.rollback(here.place, endpoint, to, how.order), how)


@command.command("pause")
@click.argument("endpoint")
@change_options
def pause(endpoint: str, how: How) -> None:
    """Send all traffic of ENDPOINT to control; the weights are remembered."""
    here = home()
    _changed(here, deploy.pause(here.place, endpoint, how.order), how)


@command.command("resume")
@click.argument("endpoint")
@change_options
def resume(endpoint: str, how: How) -> None:
    """Split the traffic of ENDPOINT as before the pause."""
    here = home()
    _changed(here, deploy.resume(here.place, endpoint, how.order), how)


@command.command("list")
@json_option
def list_endpoints(as_json: bool) -> None:
    """List all endpoints."""
    with home().store.read() as connection:
        found = [deploy.load(connection, name) for name in plans.current_numbers(connection)]
    show({"endpoints": [public(plan) for plan in found]}, _plans(found), as_json=as_json)


@command.command("history")
@click.argument("endpoint")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@json_option
def history(endpoint: str, limit: int, as_json: bool) -> None:
    """List the plans of ENDPOINT, newest first."""
    with home().store.read() as connection:
        found = [known.decode_plan(row.body) for row in plans.history(connection, endpoint, limit)]
    show({"plans": [public(plan) for plan in found]}, _plans(found), as_json=as_json)


@command.command("status")
@click.argument("endpoint")
@json_option
def show_status(endpoint: str, as_json: bool) -> None:
    """Show which plan is applied where, and how far shadows and readers are."""
    here = home()
    found = status.status(here.store, here.journal, endpoint, clock)
    with here.store.read() as connection:
        plan = deploy.load(connection, endpoint)
    shadows = [{"shadow": name, **one} for name, one in found["shadows"].items()]
    told = ("failed", "warnings")
    workers = [
        {**one, **{key: "; ".join(f"{each['version']}: {each['reason']}" for each in one[key]) or None for key in told}}
        for one in found["workers"]
    ]
    readers = [{"reader": name, **one} for name, one in found["readers"].items()]
    text = [
        _plans([plan]),
        *([] if plan.holdout is None else [f"holdout: {plan.holdout.share:.4g} of the units, served by {plan.holdout.version}"]),
        "",
        table(workers, ("id", "plan", "seen", *told)) if workers else "No worker runs.",
        *(
            f"breaker of {arm} on {one['id']} is {one['breakers'].get(arm, 'open')}: {reason}"
            for one in workers
            for arm, reason in one["open"].items()
        ),
        "",
        table(shadows, ("shadow", "version", *_SHADOW_COLUMNS)) if shadows else "No shadows.",
        *(f"last error of {one['shadow']}: {one['last_error']}" for one in shadows if one["last_error"]),
        "",
        table(readers, ("reader", "state", "lag_seconds", "lag_bytes", "set_aside")),
    ]
    show(found, "\n".join(text), as_json=as_json)


@command.command("shadow-report")
@click.argument("endpoint")
@click.argument("shadow", required=False)
@json_option
def report_shadow(endpoint: str, shadow: str | None, as_json: bool) -> None:
    """Show what is known of SHADOW (not needed where there is one): agreement, latency, and with labels whether it is better."""
    from experiments.shadows.table import table as report_table
    from flows import shadow_report

    here = home()
    found = shadow_report.report(here.store, here.journal, endpoint, shadow, clock)
    show(found, report_table(found), as_json=as_json)


@command.command("holdout-report")
@click.argument("endpoint")
@click.option("--from", "start", metavar="TIME", help="From this time on, such as 2026-05-03T12:00:00Z; since the holdout was set.")
@click.option("--to", "end", metavar="TIME", help="Until before this time; until now.")
@json_option
def report_holdout(endpoint: str, start: str | None, end: str | None, as_json: bool) -> None:
    """Compare the units of ENDPOINT that are held out with those that were treated: answers, outcomes, labels, losses."""
    from experiments.holdout import table as report_table
    from flows.holdout_report import Source, Wanted, report

    begin, stop = time_range(start, end)
    wanted = Wanted(endpoint, -math.inf if begin is None else begin, math.inf if stop is None else stop)
    here = home()
    found = report(Source(here.store, here.journal, clock), wanted)
    show(found, report_table(found), as_json=as_json)


def _changed(here: Home, plan: Plan, how: How) -> None:
    # Counted before anybody waits: by then the units may be settled.
    warnings = cuts.warnings(here.store, plan)
    found: dict[str, Any] = public(plan)
    text = ("would be: " if how.order.dry_run else "") + _sentence(plan)
    if how.order.dry_run:
        found["dry_run"] = True
    elif how.wait > 0:
        found["applied"] = status.wait_applied(here.store, plan, how.wait, clock)
        running = found["applied"] or status.status(here.store, here.journal, plan.endpoint, clock)["workers"]
        text += "; all workers serve it" if found["applied"] else "; not all workers serve it yet" if running else "; no worker runs"
    options.show_warned(found, text, warnings, as_json=how.as_json)
    hindrance = None if found.get("applied", True) else status.hindrance(here.store, plan, clock)
    if hindrance is not None:
        raise Conflict(f"plan {plan.plan} of {plan.endpoint} is not applied: {hindrance}", code="not-applied")


def _reasons(told: list[dict[str, Any]]) -> str | None:
    return "; ".join(f"{each['version']}: {each['reason']}" for each in told) or None


def _breaker(worker: dict[str, Any], arm: str, reason: str) -> str:
    return f"breaker of {arm} on {worker['id']} is {worker['breakers'].get(arm, 'open')}: {reason}"


def _sentence(plan: Plan) -> str:
    shares = ", ".join(f"{name} {arm.version} {plan.share(name):.4g}" for name, arm in plan.arms.items())
    paused = " (paused: all to control)" if plan.mode == "paused" else ""
    held = "" if plan.holdout is None else f"; holdout {plan.holdout.version} {plan.holdout.share:.4g}"
    return f"plan {plan.plan} of {plan.endpoint}, phase {plan.phase}: {shares}{paused}{held}"


def _plans(found: list[Plan]) -> str:
    rows = [
        {
            **public(plan),
            "arms": {name: f"{arm.version}:{arm.weight:g}" for name, arm in plan.arms.items()},
            "shadows": {name: shadow.version for name, shadow in plan.shadows.items()},
        }
        for plan in found
    ]
    return table(rows, ("endpoint", "plan", "at", "phase", "mode", "enrolment", "arms", "shadows", "experiment", "by", "reason"))
