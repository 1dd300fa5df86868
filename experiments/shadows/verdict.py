"""What the figures of a shadow say, each comparison in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from experiments.losses import Loss
from experiments.methods import always_valid
from experiments.shadows.evidence import EVERY_SECONDS, Looked, Shown, Track
from experiments.shadows.looks import ALPHA, FEWEST

Word: TypeAlias = Literal["better", "worse", "no_difference", "not_enough_data", "refused"]

NAMES: dict[Loss, str] = {
    "error": "share of wrong answers",
    "log_loss": "log loss",
    "squared": "squared error",
    "absolute": "absolute error",
}


def loss(looked: Looked, fixed: Mapping[str, Any], units: int) -> dict[str, str]:
    """The verdict on the mean loss, which is the verdict on the shadow; `fixed` is refused where the differences have no spread."""
    if looked.paired.shown is not None and looked.loss is not None:
        return _shown(looked.paired, looked.paired.shown, NAMES[looked.loss], looked.units)
    if units == 0:
        return _unlabelled(looked)
    if units < FEWEST:
        return _said("not_enough_data", f"not enough data: labels of {_units(units)}, {FEWEST} are needed")
    if "refused" in fixed:
        return _said("refused", f"refused: {fixed['refused']}")
    if looked.paired.log_evidence is None or looked.loss is None:
        left = f"the first look that can tell comes within {EVERY_SECONDS:g} seconds of journal time"
        return _said("not_enough_data", f"not enough data: labels of {_units(units)}, {left}")
    return _said("no_difference", f"no difference shown yet: {_figures(looked.paired, NAMES[looked.loss], looked.units)}")


def right(track: Track, fixed: Mapping[str, Any]) -> dict[str, str]:
    """The verdict on who is right more often."""
    if track.shown is not None:
        return _shown(track, track.shown, NAMES["error"], track.shown.units)
    if "refused" in fixed:
        return _said("refused", f"refused: {fixed['refused']}")
    if track.log_evidence is None:
        return _said("not_enough_data", "not enough data: no look has been made yet")
    return _said("no_difference", f"no difference shown yet: always-valid p {always_valid.p_value(track.log_evidence):.2g}")


def latency(difference: Mapping[str, Any], requests: int) -> dict[str, str]:
    """The verdict on the time that an answer takes."""
    if requests < FEWEST:
        return _said("not_enough_data", f"not enough data: {requests} requests, {FEWEST} are needed")
    if "refused" in difference:
        return _said("refused", f"refused: {difference['refused']}")
    size, p = difference["estimate"], difference["p_value"]
    figures = f"{_direction(size)} by {abs(size) * 1000.0:.4g} ms per request on {requests} requests (always-valid p {p:.2g})"
    if p > ALPHA:
        return _said("no_difference", f"no difference shown yet: latency {figures}")
    return _said(_word(size), f"{_word(size)}: latency {figures}")


def _unlabelled(looked: Looked) -> dict[str, str]:
    if looked.unlike:
        return _said("refused", f"refused: {looked.unlike} labels came, and none can be compared with both answers")
    if looked.failed:
        return _said("not_enough_data", f"not enough data: the shadow failed to answer the rows of all {looked.failed} labels")
    return _said("not_enough_data", f"not enough data: no label of a mirrored prediction has come, {FEWEST} units are needed")


def _shown(track: Track, shown: Shown, name: str, units: int) -> dict[str, str]:
    """With the figures of the last look; with those of the look that showed it where the sign has turned since."""
    word = _word(shown.estimate)
    if track.estimate is None or _word(track.estimate) != word:
        track, units = Track(estimate=shown.estimate, log_evidence=shown.log_evidence), shown.units
    return _said(word, f"{word}: {_figures(track, name, units)} since look {shown.look}")


def _figures(track: Track, name: str, units: int) -> str:
    size, p = track.estimate or 0.0, always_valid.p_value(track.log_evidence or 0.0)
    return f"{name} {_direction(size)} by {abs(size):.4g} per row on {_units(units)} (always-valid p {p:.2g})"


def _units(number: int) -> str:
    return f"{number} unit{'' if number == 1 else 's'}"


def _word(estimate: float) -> Literal["better", "worse"]:
    return "better" if estimate < 0.0 else "worse"


def _direction(estimate: float) -> str:
    return "lower" if estimate < 0.0 else "higher"


def _said(verdict: Word, reason: str) -> dict[str, str]:
    return {"verdict": verdict, "reason": reason}
