"""`tiltyard metric`: declare what an endpoint is measured by."""

from __future__ import annotations

from typing import Any

import click

from server.cli.options import home, json_option, order, show, table
from server.cli.usage import options_as_given

_KINDS = ("continuous", "binary", "count", "ratio", "quantile", "label_loss")
_COLUMNS = ("name", "role", "kind", "direction", "of", "window_seconds", "cap", "covariate", "mde", "margin", "weight", "since")

endpoint_option = click.option("--endpoint", required=True, help="The endpoint that is measured by it.")


@click.group("metric")
def command() -> None:
    """Declare what an endpoint is measured by; experiments take their metrics from here."""


@command.command("declare")
@click.argument("name")
@endpoint_option
@click.option("--kind", type=click.Choice(_KINDS), default="continuous", show_default=True, help="What a unit's value is.")
@click.option(
    "--direction",
    type=click.Choice(("increase", "decrease")),
    default="increase",
    show_default=True,
    help="Which change is an improvement.",
)
@click.option(
    "--role",
    type=click.Choice(("success", "guardrail", "info")),
    default="success",
    show_default=True,
    help="To be improved, not to be hurt, or deciding nothing.",
)
@click.option("--outcome", metavar="METRIC", help="The outcomes that it is computed from, where they have another name.")
@click.option("--denominator", metavar="METRIC", help="Of a ratio: other outcomes, or predictions, or events (a mean per outcome).")
@click.option("--quantile", type=float, help="Of a quantile metric, such as 0.95.")
@click.option("--latency", "source", flag_value="latency", help="A quantile of the model's latency in seconds: it needs no outcomes.")
@click.option("--loss", type=click.Choice(("error", "log_loss", "squared", "absolute")), help="Of labels.")
@click.option("--window", "window_seconds", type=float, metavar="SECONDS", help="How long after its entry a unit's outcomes count.")
@click.option("--lateness", "lateness_seconds", type=float, metavar="SECONDS", help="How much longer late outcomes are waited for.")
@click.option("--cap", type=float, help="A unit's value above this counts as this.")
@click.option("--cap-percentile", type=float, help="The cap as a percentile of all arms together, frozen at a first look, such as 99.")
@click.option(
    "--covariate",
    type=click.Choice(("earlier", "champion_score")),
    help="What the unit brought before the endpoint was split, or what control says of it.",
)
@click.option("--estimator", type=click.Choice(("cuped", "lin")), help="How the covariate is used.  [default: cuped]")
@click.option("--mde", type=float, help="Of a success metric: the smallest difference that matters, where it is not the experiment's.")
@click.option("--margin", type=float, help="Of a guardrail: the loss that is still no harm.")
@click.option(
    "--weight", type=float, help="Of a success metric: its share of alpha, relative to the others; without weights Holm divides it."
)
@click.option("--reason", help="Why; kept in the audit log.")
@json_option
def declare(endpoint: str, reason: str | None, as_json: bool, **fields: Any) -> None:
    """Declare the metric NAME on an endpoint, or declare it anew.

    Experiments to come take from here what they do not say themselves; those that exist keep what they began with.
    """
    from experiments.metric import Metric
    from flows import metric
    from server.decoding import convert

    given = {name: value for name, value in fields.items() if value is not None}
    with options_as_given():
        found = metric.declare(home().place, endpoint, convert(given, Metric), order(reason))
    show(found, f"metric {found['name']} on {endpoint}: {_sentence(found)}", as_json=as_json)


@command.command("list")
@endpoint_option
@json_option
def list_metrics(endpoint: str, as_json: bool) -> None:
    """List the metrics declared on an endpoint."""
    from flows import metric

    found = metric.list_all(home().store, endpoint)
    rows = [{"role": "success", "kind": "continuous", "direction": "increase", "of": _made_of(each), **each} for each in found]
    text = table(rows, _COLUMNS) if rows else f"No metric is declared on {endpoint}."
    show({"metrics": found}, text, as_json=as_json)


@command.command("remove")
@click.argument("name")
@endpoint_option
@click.option("--reason", help="Why; kept in the audit log.")
@json_option
def remove(endpoint: str, name: str, reason: str | None, as_json: bool) -> None:
    """Take the declaration of NAME back; experiments that exist keep theirs."""
    from flows import metric

    metric.remove(home().place, endpoint, name, order(reason))
    show({"endpoint": endpoint, "metric": name, "removed": True}, f"metric {name} on {endpoint}: removed", as_json=as_json)


def _made_of(found: dict[str, Any]) -> str | None:
    """What it is computed from: outcomes of another name, a denominator, a loss, a quantile."""
    parts = [str(found[name]) for name in ("outcome", "loss", "quantile", "source") if name in found]
    return "/".join([" ".join(parts) or found["name"], found["denominator"]]) if "denominator" in found else " ".join(parts) or None


def _sentence(found: dict[str, Any]) -> str:
    kind, direction = found.get("kind", "continuous"), found.get("direction", "increase")
    return f"{found.get('role', 'success')}, {kind}, to {direction}"
