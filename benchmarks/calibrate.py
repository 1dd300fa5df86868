"""Every claim on error rates, simulated in full: `make calibrate`. Ends with 1 where the interval of a rate excludes its claim."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import perf_counter

from experiments.simulation.all_cases import every
from experiments.simulation.calibration import table, written
from experiments.simulation.claims import Found, simulate

DOCUMENT = Path(__file__).parent.parent / "docs/statistics.md"


def main() -> None:
    """Simulate, print the table, and with --write put it into docs/statistics.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/statistics.md")
    parser.add_argument("--share", type=float, default=1.0, help="of the experiments that a full run simulates")
    options = parser.parse_args()
    found = _all(options.share)
    print(table(found))
    if options.write:
        DOCUMENT.write_text(written(DOCUMENT.read_text(), table(found)))
    if failed := [each for each in found if not each.holds]:
        sys.exit("\n".join(f"{each.case.name}: {each.claim.what}: {each.rate.value:.4f} of {each.rate.n}" for each in failed))


def _all(share: float) -> list[Found]:
    found = []
    for case in every():
        started = perf_counter()
        found += simulate(case, max(1, round(share * case.full)))
        print(f"{perf_counter() - started:6.1f} s  {case.name}", file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    main()
