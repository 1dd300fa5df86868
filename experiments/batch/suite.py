"""What a test asks beyond figures: thresholds, checks of behaviour, limits of latency and memory; declared in a YAML file."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from core.errors import Invalid, Malformed
from core.values import Label, Value
from experiments.batch.figures import BETTER

Direction: TypeAlias = Literal["not_fall", "not_rise"]

_REQUIRED = re.compile(r"\s*([a-z0-9_]+)\s*(>=|<=)\s*([^\s<>=]+)\s*\Z")


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A demand on one metric: at least `min`, at most `max`, or not worse than the version that `not_worse_than` names.

    `at`: whether the value itself must meet `min` and `max`, or the less favourable end of its interval. `slice` is `COLUMN=SLICE`, and
    `per_slice` demands it of every slice that is not too small. Without `margin`, `not_worse_than` fails only where the version is
    significantly worse; with it, the version must be shown to be worse by less than `margin` (non-inferiority).
    """

    metric: str
    min: float | None = None
    max: float | None = None
    at: Literal["value", "bound"] = "value"
    slice: str | None = None
    per_slice: bool = False
    not_worse_than: str | None = None
    margin: float | None = None


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a feature is changed, in one of six ways. `noise` is a share of its standard deviation, `permute` shuffles its values."""

    set: Value | msgspec.UnsetType = msgspec.UNSET
    add: float | None = None
    times: float | None = None
    noise: float | None = None
    permute: bool = False
    replace: dict[str, Value] | None = None

    @property
    def ways(self) -> list[str]:
        """Those that are given."""
        given = {"set": self.set is not msgspec.UNSET, "permute": self.permute}
        given |= {name: getattr(self, name) is not None for name in ("add", "times", "noise", "replace")}
        return [name for name, is_given in given.items() if is_given]


class Behaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Of how many rows the answer must do as is demanded when `feature` is changed: in a `share` of those that the change alters.

    Without `answer` it must stay the same: the label, or where `tolerance` is given every probability, or the value, within it. With
    `answer` the value, or the probability of `label` (else of the positive class), must not fall or not rise by more than `tolerance`.
    """

    feature: str
    change: Change
    answer: Direction | None = None
    label: Label | None = None
    tolerance: float | None = None
    share: float = 1.0


class Latency(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Limits of the time of one row, in milliseconds; `times_champion` of the median as a multiple of the other version's."""

    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    times_champion: float | None = None


class Memory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A limit of what loading and asking the version adds to a process, in MB of 10⁶ bytes."""

    peak_mb: float | None = None


class Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """All that a test asks. `against` is the version to compare with, `positive` the class that precision and recall are of.

    `alpha`: intervals are at confidence 1 − alpha, tests at alpha.
    """

    alpha: float = 0.05
    against: str | None = None
    positive: Label | None = None
    slices: tuple[str, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    invariance: tuple[Behaviour, ...] = ()
    directional: tuple[Behaviour, ...] = ()
    latency: Latency | None = None
    memory: Memory | None = None


EMPTY = Suite()


def read(path: Path) -> tuple[Suite, bytes]:
    """The suite in a YAML file, and the file's bytes; raises Invalid or Malformed naming the place in it and what was expected."""
    import yaml

    try:
        data = path.read_bytes()
        document = yaml.safe_load(data)
    except OSError as error:
        raise Invalid(f"suite: {path}: {error.strerror or error}", field="suite") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Malformed(f"suite: {path.name} is not readable as YAML: {' '.join(str(error).split())[:200]}", field="suite") from None
    return parse(document if document is not None else {}), data


def parse(document: Any) -> Suite:
    """The suite that a document says; raises Invalid naming the place."""
    try:
        suite = msgspec.convert(_with_text_keys(document), Suite)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        place = where.partition("$")[2].rstrip("`").removeprefix(".")
        raise _wrong(place or "document", what[0].lower() + what[1:] + " as a key" * where.startswith("`key`")) from None
    return check(suite)


def written(value: Value) -> str:
    """How a value is written as a key of `replace`: `true`, `3`, `red`, `null`."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def require(text: str) -> Threshold:
    """`accuracy>=0.8` or `rmse<=60` → its threshold; raises Invalid."""
    found = _REQUIRED.match(text)
    try:
        if found is None:
            raise ValueError
        number = float(found[3])
    except ValueError:
        raise Invalid(
            f"require: expected METRIC>=NUMBER or METRIC<=NUMBER such as accuracy>=0.8, got {text[:60]!r}", field="require"
        ) from None
    made = Threshold(found[1], min=number) if found[2] == ">=" else Threshold(found[1], max=number)
    if made.metric not in BETTER or not math.isfinite(number):
        expected = "a finite number" if made.metric in BETTER else f"one of {', '.join(BETTER)}"
        raise Invalid(f"require: expected {expected}, got {text[:60]!r}", field="require")
    return made


def check(suite: Suite) -> Suite:
    """The suite, if it can be; raises Invalid naming the place."""
    if not 0.0 < suite.alpha < 0.5:
        raise _wrong("alpha", f"expected a number above 0 and below 0.5, got {suite.alpha}")
    if len(set(suite.slices)) < len(suite.slices):
        raise _wrong("slices", "expected each column once")
    for index, threshold in enumerate(suite.thresholds):
        _check_threshold(threshold, f"thresholds[{index}]")
    named = {one.not_worse_than for one in suite.thresholds if one.not_worse_than is not None} | {suite.against} - {None}
    if len(named) > 1:
        raise _wrong("thresholds", f"expected one version to compare with, got {', '.join(sorted(map(str, named)))}")
    for index, one in enumerate(suite.invariance):
        _check_behaviour(one, f"invariance[{index}]", directional=False)
    for index, one in enumerate(suite.directional):
        _check_behaviour(one, f"directional[{index}]", directional=True)
    for name, limits in (("latency", suite.latency), ("memory", suite.memory)):
        _check_limits(limits, name)
    return suite


def other(suite: Suite) -> str | None:
    """The version that the suite compares with; None where it names none."""
    return suite.against or next((one.not_worse_than for one in suite.thresholds if one.not_worse_than is not None), None)


def _with_text_keys(document: Any) -> Any:
    """The document, the keys of every `replace` as texts: YAML makes numbers and truth values of some."""
    if not isinstance(document, dict):
        return document
    checks = {kind: document[kind] for kind in ("invariance", "directional") if isinstance(document.get(kind), list)}
    return {**document, **{kind: [_with_text_keys_of(one) for one in each] for kind, each in checks.items()}}


def _with_text_keys_of(check: Any) -> Any:
    if not isinstance(check, dict) or not isinstance(check.get("change"), dict):
        return check
    change = check["change"]
    if not isinstance(change.get("replace"), dict):
        return check
    return {**check, "change": {**change, "replace": {written(old): new for old, new in change["replace"].items()}}}


def _check_threshold(one: Threshold, where: str) -> None:
    if one.metric not in BETTER:
        raise _wrong(f"{where}.metric", f"expected one of {', '.join(BETTER)}, got {one.metric[:60]!r}")
    _check_numbers(where, {"min": one.min, "max": one.max, "margin": one.margin})
    bounds = (one.min is not None) + (one.max is not None)
    if bounds + (one.not_worse_than is not None) == 0 or (bounds and one.not_worse_than is not None):
        raise _wrong(where, "expected min, max, or not_worse_than")
    if one.min is not None and one.max is not None and one.min > one.max:
        raise _wrong(where, f"expected min to be at most max, got {one.min:g} and {one.max:g}")
    if one.margin is not None and (one.not_worse_than is None or one.margin <= 0.0):
        raise _wrong(f"{where}.margin", "expected a number above 0, beside not_worse_than")
    if one.slice is not None and (one.per_slice or "=" not in one.slice):
        raise _wrong(f"{where}.slice", "expected COLUMN=SLICE, and not per_slice beside it")
    if one.not_worse_than is not None and (one.slice is not None or one.per_slice or one.at != "value"):
        raise _wrong(where, "not_worse_than is of all rows: expected neither slice, per_slice nor at")


def _check_behaviour(one: Behaviour, where: str, *, directional: bool) -> None:
    if len(one.change.ways) != 1:
        raise _wrong(f"{where}.change", f"expected one of set, add, times, noise, permute and replace, got {len(one.change.ways)} of them")
    _check_numbers(f"{where}.change", {name: getattr(one.change, name) for name in ("add", "times", "noise")})
    _check_numbers(where, {"tolerance": one.tolerance, "share": one.share})
    if one.change.noise is not None and one.change.noise <= 0.0:
        raise _wrong(f"{where}.change.noise", f"expected a number above 0, got {one.change.noise:g}")
    if one.tolerance is not None and one.tolerance < 0.0:
        raise _wrong(f"{where}.tolerance", f"expected a number from 0, got {one.tolerance:g}")
    if not 0.0 < one.share <= 1.0:
        raise _wrong(f"{where}.share", f"expected a number above 0 and at most 1, got {one.share:g}")
    if directional and one.answer is None:
        raise _wrong(f"{where}.answer", "expected not_fall or not_rise")
    if not directional and (one.answer is not None or one.label is not None):
        raise _wrong(where, "answer and label are of directional checks")


def _check_limits(limits: Latency | Memory | None, where: str) -> None:
    given = {} if limits is None else msgspec.structs.asdict(limits)
    _check_numbers(where, given)
    for name, value in given.items():
        if value is not None and value <= 0.0:
            raise _wrong(f"{where}.{name}", f"expected a number above 0, got {value:g}")


def _check_numbers(where: str, numbers: dict[str, float | None]) -> None:
    for name, value in numbers.items():
        if value is not None and not math.isfinite(value):
            raise _wrong(f"{where}.{name}", f"expected a finite number, got {value}")


def _wrong(place: str, what: str) -> Invalid:
    return Invalid(f"suite: {place}: {what}", field=place)
