"""A comparison of two versions for a terminal: plain text of at most 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.text import Data, fitted, grid, number, p_text, span

_CELL = 34
"""Characters of what one side says, where it stands beside the other."""
_HEADED = frozenset({"task", "seconds_per_row", "description"})
"""What is at the top already."""


def text(found: Data) -> str:
    """What `flows.comparing.compare` has found, as text."""
    parts = [
        list(part)
        for part in (
            _heads(found),
            _differences(found["differences"]),
            _batch(found),
            _paired(found["paired"]),
            _live(found),
            *_rest(found),
        )
    ]
    return "\n\n".join("\n".join(row for line in part for row in fitted(line)) for part in parts if part)


def _heads(found: Data) -> Iterator[str]:
    sides = found["left"], found["right"]
    rows = {
        "registered": [f"{side['at'][:16]} {side['by']}" for side in sides],
        "aliases": [", ".join(side["aliases"]) for side in sides],
        "task": [side["signature"]["task"] for side in sides],
        "features": [len(side["signature"]["features"]) for side in sides],
        "served as": [side["format"] for side in sides],
        "one row": [f"{side['seconds_per_row'] * 1e6:.0f} µs" for side in sides],
        "description": [side["about"].get("description") for side in sides],
    }
    return iter(grid(["", *(side["version"] for side in sides)], [[name, *map(_cell, row)] for name, row in rows.items() if any(row)]))


def _differences(found: Data) -> Iterator[str]:
    if found["signature"]:
        rows = [[_cell(one["feature"]), _marked(one), _cell(one["left"]), _cell(one["right"])] for one in found["signature"]]
        yield from _titled("signature", grid(["feature", "change", "left", "right"], rows))
        if any(one["breaking"] for one in found["signature"]):
            yield "  *: a request that suits the left version may be refused by the right one"
    else:
        yield "signature: no difference"
    for name in ("model", "about", "parameters", "packages"):
        rows = [[each, _cell(one["left"]), _cell(one["right"])] for each, one in found[name].items() if each not in _HEADED]
        if rows:
            yield from _titled(name, grid(["", "left", "right"], rows))
    if found["metrics"]:
        rows = [
            [name, number(one["left"]), number(one["right"]), number(one["difference"], sign=True)]
            for name, one in found["metrics"].items()
        ]
        yield from _titled("metrics, as the authors measured them", grid(["", "left", "right", "difference"], rows))


def _batch(found: Data) -> Iterator[str]:
    batch = found["batch"]
    if batch is None:
        yield "batch tests: none of both on the same data"
        return
    rows = [[name, _interval(one["left"], "value"), _interval(one["right"], "value")] for name, one in batch["metrics"].items()]
    yield from _titled(f"batch tests on the data {_data(batch['data'])}", grid(["", "left", "right"], rows))
    for side in ("left", "right"):
        yield f"  {side}: {_test(batch[side])}"


def _paired(found: Data | None) -> Iterator[str]:
    if found is None:
        return
    other = "right" if found["of"] == "left" else "left"
    yield f"on the same rows of {_data(found['data'])}, {found['of']} less {other}"
    yield f"  {_test(found)}"
    rows = [
        [one["metric"], number(one.get("difference"), sign=True), span(one.get("lower"), one.get("upper")), p_text(one.get("adjusted"))]
        for one in found["metrics"]
        if isinstance(one, Mapping) and one.get("difference") is not None
    ]
    if rows:
        yield from ("  " + line for line in grid(["", "difference", "interval", "p adjusted"], rows))


def _live(found: Data) -> Iterator[str]:
    live = found["live"]
    if live is None:
        yield "live: no experiment has compared them"
        return
    yield f"live: experiment {live['experiment']} on {live['endpoint']} ({live['state']}): {live['verdict']}"
    yield f"  {live['reason']}"
    rows = [
        [name, one["role"], _interval(one["left"], "mean"), _interval(one["right"], "mean"), _difference(one["difference"])]
        for name, one in live["metrics"].items()
    ]
    heads = ["", "role", *(f"{side} ({arm})" for side, arm in live["arms"].items()), "difference"]
    yield from ("  " + line for line in grid(heads, rows))


def _rest(found: Data) -> Iterator[Iterator[str]]:
    yield _shadows(found["shadow"])
    yield _learners(found["learners"])


def _shadows(found: Sequence[Data]) -> Iterator[str]:
    for one in found:
        yield f"shadow {one['shadow']} ({one['version']}) of endpoint {one['endpoint']} (control {one['control']})"
        told = [f"{one['done'] - one['errors']} of {one['mirrored']} requests answered, {one['errors']} failed"]
        if one["agreement"] is not None:
            told.append(f"labels agree in {one['agreement']:.2%} of rows")
        if one["mean_difference"] is not None:
            told.append(f"answers differ by {number(one['mean_difference'])} on average")
        yield "  " + "; ".join(told)


def _learners(found: Data) -> Iterator[str]:
    rows = [
        [side, one["state"], one["labels"], metric, number(score), number(one["rolling"].get(metric))]
        for side, one in found.items()
        if one is not None
        for metric, score in one["scores"].items()
    ]
    if rows:
        yield from _titled("learners, scored before they learn", grid(["", "state", "labels", "metric", "since start", "rolling"], rows))


def _test(found: Data) -> str:
    passed = {None: "no thresholds", True: "passed", False: "failed"}[found["passed"]]
    return f"test {found['test']} of {found['at'][:16]}, {passed}"


def _data(found: Data) -> str:
    return f"{found.get('file', 'a file')} ({found.get('sha256', 'unknown')[:12]})"


def _titled(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield title
    yield from ("  " + line for line in lines)


def _marked(change: Data) -> str:
    return f"{change['change']} *" if change["breaking"] else str(change["change"])


def _interval(figures: Mapping[str, Any] | None, key: str) -> str:
    if not figures or figures.get(key) is None:
        return "-"
    bounds = span(figures.get("lower"), figures.get("upper"))
    return number(figures[key]) + ("" if bounds == "-" else f" {bounds}")


def _difference(found: Data | None) -> str:
    if found is None or found.get("estimate") is None:
        return "-"
    return f"{number(found['estimate'], sign=True)} ({found['of']}), p {p_text(found.get('p_value'))}"


def _cell(value: Any) -> str:
    """What one side says, short; `-` where it says nothing."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    shown = ", ".join(map(_cell, value)) if isinstance(value, list | tuple) else number(value) if isinstance(value, float) else str(value)
    return textwrap.shorten(shown, _CELL, placeholder=" …") if " " in shown else shown if len(shown) <= _CELL else shown[: _CELL - 1] + "…"
