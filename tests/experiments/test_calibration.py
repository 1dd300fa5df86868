"""Every claim on error rates, simulated with fewer experiments than `make calibrate` takes: the same cases, the same seed.

A claim fails when the 99.9 % Clopper-Pearson interval of the simulated rate excludes it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.simulation.all_cases import every
from experiments.simulation.calibration import CLOSED, OPENED
from experiments.simulation.claims import Case, simulate

CASES = every()
DOCUMENT = Path(__file__).parent.parent.parent / "docs/statistics.md"


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_claims_hold(case: Case) -> None:
    """What is claimed of the error rates of a design is not refuted by simulation."""
    for found in simulate(case, case.short):
        assert found.holds, f"{found.claim}: {found.rate.value:.4f}, {found.rate.interval} of {found.rate.n}"


def test_the_document_shows_all_claims() -> None:
    """docs/statistics.md has a row for each claim of each case, none fails, and there are no others."""
    block = DOCUMENT.read_text().partition(OPENED)[2].partition(CLOSED)[0]
    rows = [line.split(" | ") for line in block.splitlines() if line.startswith("| ")][1:]
    shown = [(row[0].removeprefix("| "), row[1].partition(":")[0]) for row in rows]
    assert shown == [(case.name, claim.what) for case in CASES for claim in case.claims]
