"""Latency and memory of versions, measured in fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from flows.testing.child import Entrant, Measured, Order

TIMEOUT = 300.0
RESAMPLES = 1000
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def measure(blobs: Path, entrants: Sequence[Entrant], alpha: float, rng: np.random.Generator) -> dict[str, Any]:
    """`latency` and `memory` of the first entrant, beside the second's where there is one; None where that failed: why, in `failed`."""
    try:
        both = _run(Order(str(blobs), list(entrants)))
        other = _run(Order(str(blobs), [entrants[1]])) if len(entrants) > 1 else None
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        return {"latency": None, "memory": None, "failed": _why(error)}
    latency = {**_quantiles(both.seconds[0]), "rows_per_second": both.rows_per_second}
    memory: dict[str, Any] = {"peak_bytes": both.peak_bytes}
    if other is not None:
        latency["other"] = {**_quantiles(both.seconds[1]), "rows_per_second": other.rows_per_second}
        latency["ratio"] = _ratio(*map(np.array, both.seconds), alpha=alpha, rng=rng)
        memory["other_peak_bytes"] = other.peak_bytes
    return {"latency": latency, "memory": memory}


def _run(order: Order) -> Measured:
    command = [sys.executable, "-P", "-m", "flows.testing.child"]
    done = subprocess.run(  # noqa: S603 - our own module
        command, input=msgspec.json.encode(order), env={**os.environ, **_ONE_THREAD}, capture_output=True, timeout=TIMEOUT, check=True
    )
    return msgspec.json.decode(done.stdout, type=Measured)


def _why(error: Exception) -> str:
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else None
    last = said.decode(errors="replace").strip().splitlines()[-1:] if said else []
    return "the process that measures failed: " + (last[0] if last else str(error))[:200]


def _quantiles(seconds: Sequence[float]) -> dict[str, Any]:
    p50, p95, p99 = (1e3 * float(np.quantile(seconds, q)) for q in (0.5, 0.95, 0.99))
    return {"calls": len(seconds), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}


def _ratio(ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any], *, alpha: float, rng: np.random.Generator) -> dict[str, float]:
    """The ratio of the medians, with the percentile interval of 1,000 resamples of the turns."""
    drawn = rng.integers(0, ours.size, (RESAMPLES, ours.size))
    ratios = np.median(ours[drawn], axis=1) / np.median(theirs[drawn], axis=1)
    lower, upper = np.quantile(ratios, (alpha / 2.0, 1.0 - alpha / 2.0))
    return {"value": float(np.median(ours) / np.median(theirs)), "lower": float(lower), "upper": float(upper)}
