"""Reports and looks made up for pictures, and what can be read from an SVG."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

from core.clock import to_rfc3339

START, EVERY = 1_790_000_000.0, 300.0
SVG = "{http://www.w3.org/2000/svg}"


def report(
    *metrics: tuple[str, str, str],
    looks: int = 100,
    phases: int = 1,
    arms: tuple[str, ...] = ("treatment",),
    better: int | None = None,
    worse: int | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A report with what a picture needs: metrics (name, role, direction), and the looks at which the tests reached their thresholds."""

    def crossing(look: int | None) -> dict[str, Any] | None:
        return None if look is None else {"at": to_rfc3339(START + look * EVERY), "look": look}

    return {
        "experiment": "e1",
        "endpoint": "shop",
        "verdict": "continue",
        "reason": "not enough evidence yet, a < b & c",
        "treatments": {arm: {"verdict": "continue", "reason": f"no evidence yet for {arm}"} for arm in arms},
        "started": to_rfc3339(START),
        "at": to_rfc3339(START + looks * EVERY + 1.0),
        "looks": {"made": looks, "last": to_rfc3339(START + looks * EVERY)},
        "design": {"alpha": 0.05, "test": "always-valid", "spending": "obrien-fleming", "phi": None},
        "phases": [
            {
                "phase": k + 1,
                "weights": {"control": 1.0 - 0.1 * (k + 1), **{arm: 0.1 * (k + 1) / len(arms) for arm in arms}},
                "from": to_rfc3339(START + k * looks * EVERY / 3),
            }
            for k in range(phases)
        ],
        "metrics": {
            name: {
                "role": role,
                "direction": direction,
                "mde": 0.2 if role == "success" else None,
                "margin": 0.1 if role == "guardrail" else None,
                "differences": {arm: {"shown": crossing(better), "harm": {"shown": crossing(worse)}} for arm in arms},
            }
            for name, role, direction in metrics
        },
        **fields,
    }


REVENUE, LATENCY, ERRORS = ("revenue", "success", "increase"), ("latency", "guardrail", "decrease"), ("errors", "info", "decrease")


def points(found: dict[str, Any], bounds_from: int = 20, size: float = 1.0) -> list[dict[str, Any]]:
    """One of each look, treatment and metric; the first ones without bounds."""
    rows = []
    for look in range(1, found["looks"]["made"] + 1):
        reach = 4.0 / look**0.5
        for metric in found["metrics"]:
            for arm in found["treatments"]:
                bounds = (
                    {"lower": None, "upper": None} if look < bounds_from else {"lower": (0.3 - reach) * size, "upper": (0.3 + reach) * size}
                )
                key = {"look": look, "treatment": arm, "metric": metric, "at": START + look * EVERY}
                rows.append({**key, "estimate": (0.3 + 0.1 / look) * size, **bounds})
    return rows


def parsed(svg: bytes) -> ET.Element:
    return ET.fromstring(svg)


def texts(svg: bytes) -> list[str]:
    return ["".join(element.itertext()) for element in parsed(svg).iter(f"{SVG}text")]


def ids(svg: bytes) -> list[str]:
    return [element.get("id") or "" for element in parsed(svg).iter()]


def corners(svg: bytes, gid: str) -> int:
    """How many points the line of that id has."""
    group = next(element for element in parsed(svg).iter() if element.get("id") == gid)
    return len(re.findall(r"[ML] ", " ".join(path.get("d") or "" for path in group.iter(f"{SVG}path"))))
