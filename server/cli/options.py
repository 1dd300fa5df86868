"""What commands share: the home, who acts, how results are printed, and arguments such as `control=credit@1:90`."""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, NamedTuple, TypeVar

import click
import msgspec

from flows.deploy import ArmSpec, Order, ShadowSpec
from models.remote.reference import PREFIX
from routing.changes import Who
from server.home import Home, clock, create, from_env, open_existing

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)\Z")


def home(*, make: bool = False) -> Home:
    """The home that TILTYARD_HOME names; created where `make`."""
    settings = from_env()
    return create(settings) if make else open_existing(settings)


def actor() -> str:
    """The OS user: who the audit log says did it."""
    try:
        return f"{getpass.getuser()} (cli)"
    except (KeyError, OSError):
        return "unknown (cli)"


def who(reason: str = "by command line") -> Who:
    """This user, now."""
    return Who(actor(), clock(), reason)


def order(reason: str | None, if_match: int | None = None, *, dry_run: bool = False) -> Order:
    """A change ordered by this user."""
    return Order(who(reason or "by command line"), if_match, dry_run)


def duration(_: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """`90`, `15m`, `12h`, `7d` → seconds."""
    if text is None:
        return None
    found = _DURATION.match(text.strip())
    if found is None:
        raise click.BadParameter(f"expected a time such as 90, 15m, 12h or 7d, got {text!r}")
    return float(found[1]) * _UNITS[found[2] or "s"]


def json_option(function: F) -> F:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(function)


def revision_option(function: F) -> F:
    """`--if-match REVISION`."""
    return click.option("--if-match", type=click.IntRange(min=1), metavar="REVISION", help="Only if this is still its revision.")(function)


def reason_option(function: F) -> F:
    """`--reason`."""
    return click.option("--reason", default="by command line", help="Why; kept with the change and in the audit log.")(function)


class How(NamedTuple):
    """How a change is ordered from the command line: as whom and on which conditions, how long to wait for it, what to print."""

    order: Order
    wait: float
    as_json: bool


def change_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options of every change of a plan, handed over as one `how`."""
    return click.option("--if-match", type=int, metavar="PLAN", help="Only if this is still the current plan.")(plan_options(function))


def plan_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options of whatever makes a plan, the first as well."""

    @wraps(function)
    def command(reason: str | None, dry_run: bool, wait: float, as_json: bool, if_match: int | None = None, **arguments: Any) -> None:
        function(how=How(order(reason, if_match, dry_run=dry_run), wait, as_json), **arguments)

    found = json_option(command)
    for option in (
        click.option("--reason", help="Why; kept in the plan and the audit log."),
        click.option("--dry-run", is_flag=True, help="Show the plan that would follow, and change nothing."),
        click.option("--wait", type=click.FloatRange(0.0, 60.0), default=0.0, metavar="SECONDS", help="Wait until all workers serve it."),
    ):
        found = option(found)
    return found


def show(found: Any, text: str, *, as_json: bool) -> None:
    """Print for a machine or a reader."""
    click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() if as_json else text)


def show_warned(found: dict[str, Any], text: str, warnings: Sequence[str], *, as_json: bool) -> None:
    """Print what a change has made, and what it costs."""
    shown = {**found, **({"warnings": warnings} if warnings else {})}
    show(shown, "\n".join([text, *(f"warning: {each}" for each in warnings)]), as_json=as_json)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as aligned text."""
    cells = [[column.upper() for column in columns], *[[_cell(row.get(column)) for column in columns] for row in rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)


def arms(given: Sequence[str]) -> dict[str, ArmSpec]:
    """`control=credit@champion:90` → its arm."""
    found: dict[str, ArmSpec] = {}
    for text in given:
        name, reference, weight = _split(text, "--arm", "NAME=MODEL@VERSION:WEIGHT such as control=credit@champion:90")
        if weight is None:
            raise click.UsageError(f"--arm {text}: expected a weight at the end, such as control=credit@champion:90")
        found[_once(name, found, "--arm")] = ArmSpec(reference, weight)
    return found


def shadows(given: Sequence[str]) -> dict[str, ShadowSpec]:
    """`next=credit@3`, `next=credit@3:0.1` or `next=remote:staging/credit:0.1` → its shadow."""
    found: dict[str, ShadowSpec] = {}
    for text in given:
        name, reference, sample = _split(
            text, "--shadow", "NAME=MODEL@VERSION[:SAMPLE] such as next=credit@3:0.1, or next=remote:staging/credit:0.1"
        )
        found[_once(name, found, "--shadow")] = ShadowSpec(reference, 1.0 if sample is None else sample)
    return found


def weights(given: Sequence[str]) -> dict[str, float]:
    """`control=90` → its weight."""
    found: dict[str, float] = {}
    for text in given:
        name, _, number = text.partition("=")
        try:
            found[_once(name, found, "WEIGHT")] = float(number)
        except ValueError:
            raise click.UsageError(f"{text}: expected NAME=WEIGHT such as control=90") from None
    return found


def _split(text: str, option: str, form: str) -> tuple[str, str, float | None]:
    name, equals, rest = text.partition("=")
    prefix = PREFIX if option == "--shadow" and rest.startswith(PREFIX) else ""
    reference, colon, number = rest.removeprefix(prefix).partition(":")
    try:
        if not (name and equals and ("/" if prefix else "@") in reference):
            raise ValueError
        return name, prefix + reference, float(number) if colon else None
    except ValueError:
        raise click.UsageError(f"{option} {text}: expected {form}") from None


def _once(name: str, known: Mapping[str, object], option: str) -> str:
    if name in known:
        raise click.UsageError(f"{option} {name}: given twice")
    return name


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={each}" for key, each in value.items()) or "-"
    return "-" if value is None else str(value)
