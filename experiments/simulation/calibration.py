"""The table of all claims with their simulated rates, and where it stands in the documentation."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import Invalid
from experiments.simulation.claims import SEED, Found

OPENED, CLOSED = "<!-- calibration -->", "<!-- /calibration -->"


def table(found: Sequence[Found]) -> str:
    """Markdown: one row per claim."""
    head = ("case", "claim", "rate", "99.9 % interval", "generator", "experiments", "looks")
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *map(_row, found)]
    return "\n".join([f"NumPy's PCG64, seed {SEED}.", "", *rows])


def written(document: str, table: str) -> str:
    """The document with the table between its two markers. Raises Invalid where it lacks one."""
    before, opened, rest = document.partition(OPENED)
    _, closed, after = rest.partition(CLOSED)
    if not (opened and closed):
        raise Invalid(f"document: expected the markers {OPENED} and {CLOSED}", field="document")
    return f"{before}{OPENED}\n{table}\n{CLOSED}{after}"


def percent(share: float) -> str:
    """With as many digits as a rate in thousands of experiments has."""
    return f"{100.0 * share:.2f} %"


def _row(each: Found) -> str:
    low, high = each.rate.interval
    claim = f"{each.claim.what}: {each.claim.relation} {100.0 * each.claim.level:.3g} %"
    cells = (
        each.case.name,
        claim if each.holds else f"**FAILS** {claim}",
        percent(each.rate.value),
        f"{percent(low)} to {percent(high)}",
        each.case.generator,
        f"{each.rate.n:,}",
        each.case.grid,
    )
    return "| " + " | ".join(cells) + " |"
