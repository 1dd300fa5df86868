"""Random streams of requests and outcomes: facts follow from their order alone, each outcome is told once, each figure is what it says.

Beside `record` stands a simple model, which looks at a whole story at once, unit by unit and metric by metric.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.events import ENROLLED, FORCED, Tick
from core.values import Output
from experiments.metric import Metric
from experiments.slices import NONE
from experiments.snapshot import PRESENT
from flows import deploy
from flows.facts.fold import NO_EXPERIMENT
from flows.facts.report import report_in
from store import facts
from tests.flows.flow_world import ALIKE, LATENESS, QUARANTINE, WINDOW, World, order
from tests.flows.metric_world import Facts, ask, begin, close, declare, joints, logged, recorder, same_facts

SHIFT = 40.0
METRICS = (
    Metric(name="revenue", covariate="earlier"),
    Metric(name="bought", kind="binary", outcome="revenue"),
    Metric(name="clicks", kind="count", window_seconds=4.0, lateness_seconds=0.0),
    Metric(name="rate", kind="ratio", outcome="clicks", denominator="revenue"),
    Metric(name="each", kind="ratio", outcome="revenue", denominator="events", window_seconds=12.0, lateness_seconds=1.0),
    Metric(name="asked", kind="ratio", outcome="revenue", denominator="predictions", cap=None),
    Metric(name="error", kind="label_loss", loss="absolute"),
    Metric(name="wait", kind="quantile", quantile=0.5, source="latency"),
    Metric(name="capped", outcome="revenue", cap=1.5, covariate="champion_score"),
)

UNITS = st.sampled_from(["a", "b", "c", "d", None])
STEPS = st.sampled_from([0.0, 0.5, 1.0, 3.0, 4.0, 5.0, 15.0, 70.0, -2.0])
VALUES = st.sampled_from([0.5, 1.0, 2.0, -1.0, 3, True, False])
ARMS = st.sampled_from(["control", "control", "control", "treatment"])
FLAGS = st.sampled_from([ENROLLED, ENROLLED, ENROLLED, 0, FORCED, FORCED | ENROLLED])
COUNTRIES = st.sampled_from([None, "de", "at"])
NAMES = st.sampled_from(["revenue", "revenue", "clicks", "unknown"])
KEYS = st.sampled_from([None, None, None, "x", "y"])
ACTIONS = st.one_of(
    st.tuples(st.just("ask"), UNITS, ARMS, FLAGS, st.integers(1, 2), COUNTRIES),
    st.tuples(st.just("observe"), UNITS.filter(bool), NAMES, VALUES, st.sampled_from([-6.0, -1.0, 0.0, 0.0, 90.0]), KEYS),
    st.tuples(st.just("answer"), st.integers(0, 9), st.sampled_from(["revenue", "clicks"]), VALUES, KEYS),
    st.tuples(st.just("label"), st.integers(0, 9), st.integers(0, 2), st.sampled_from([3.0, 1, "good", True, "2"])),
    st.tuples(st.just("tick")),
)
Story = list[tuple[float, tuple[Any, ...]]]
STORIES = st.lists(st.tuples(STEPS, ACTIONS), min_size=2, max_size=40)
CHECKED = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])


def tell(world: World, story: Story) -> None:
    """Journal a story; the traffic shifts at 40, so that later predictions are of plan 3."""
    declare(world, METRICS[0])
    begin(world, *METRICS, slices=["country"])
    deploy.set_traffic(world.place, "credit", {"control": 1, "treatment": 3}, None, order(SHIFT))
    at, asked = 1.0, ["p1-ffff-0000000000000007"]
    for step, (kind, *how) in story:
        at = max(1.0, at + step)
        if kind == "ask":
            outputs, context = [Output(value=1.0)] * how[3], None if how[4] is None else {"country": how[4]}
            asked.append(ask(world, at, how[0], how[1], plan=2 if at < SHIFT else 3, flags=how[2], outputs=outputs, context=context))
        elif kind == "observe":
            world.observe(at, how[0], how[2], at + how[3], metric=how[1], key=how[4])
        elif kind == "answer":
            world.answer(at, asked[how[0] % len(asked)], how[2], how[1], how[3])
        elif kind == "label":
            world.answer(at, f"{asked[how[0] % len(asked)]}.{how[1]}", how[2], "label")
        else:
            world.log(Tick(at))
    world.log(Tick(at))


class Came(NamedTuple):
    """An outcome of a unit: when it was, when it came, and what it is worth by itself and as the label of an answer."""

    name: str
    value: float | None
    timestamp: float
    arrived: float


class Unit:
    """What the model knows of a unit that is in the experiment."""

    def __init__(self, arm: str, phase: int, entry: float, country: str | None, before: float) -> None:
        self.arm, self.phase, self.entry, self.country, self.before = arm, phase, entry, country, before
        self.requests: list[float] = []
        self.came: list[Came] = []
        self.left_out: float | None = None

    def worth(self, metric: Metric, now: float) -> tuple[float, float] | Literal[False] | None:
        """Its value and covariate or denominator, None where the metric leaves it out, False where it is not analysed."""
        window = metric.window(WINDOW, LATENESS)
        end, due = self.entry + window.seconds, self.entry + window.seconds + window.lateness
        if due > now or (self.phase == 1 and end > SHIFT) or (self.left_out is not None and self.left_out < due):
            return False
        inside = [each for each in self.came if self.entry <= each.timestamp < end and each.arrived < due]
        of: dict[str, list[float]] = {"revenue": [], "clicks": [], "label": []}
        for each in inside:
            of[each.name] += [] if each.value is None else [each.value]
        revenue, clicks, losses = of["revenue"], of["clicks"], of["label"]
        asked = sum(at < end for at in self.requests)
        found: dict[str, tuple[float, float] | None] = {
            "revenue": (sum(revenue), self.before),
            "bought": (float(sum(revenue) > 0), 0.0),
            "clicks": (sum(clicks), 0.0),
            "rate": (sum(clicks), sum(revenue)) if clicks or revenue else None,
            "each": (sum(revenue), len(revenue)) if revenue else None,
            "asked": (sum(revenue), asked),
            "error": (sum(losses) / len(losses), 0.0) if losses else None,
            "capped": (min(sum(revenue), 1.5), 1.0 if self.arm == "control" else 10.0),
        }
        return found[metric.name]


class Model:
    """Follows a story event by event, and keeps everything."""

    def __init__(self) -> None:
        self.units: dict[object, Unit] = {}
        self.outside: set[object] = set()
        self.predictions: list[tuple[object, int, str | None]] = []
        self.waiting: list[tuple[str, Came]] = []
        self.tallies: Counter[str] = Counter()
        self.seen: set[object] = set()
        self.before: defaultdict[str | None, float] = defaultdict(float)
        self.now = 0.0

    def ask(self, at: float, name: str | None, arm: str, flags: int, rows: int, country: str | None) -> None:
        analysed = bool(flags & ENROLLED and not flags & FORCED)
        key = len(self.predictions) if name is None else name
        self.predictions.append((key if analysed else None, rows, name))
        if flags & FORCED:
            self.tallies["forced"] += 1
        elif not analysed:
            self.outside |= set() if name is None else {name} - self.units.keys()
        else:
            self._analyse(key, name, arm, 1 if at < SHIFT else 2, country)

    def _analyse(self, key: object, name: str | None, arm: str, phase: int, country: str | None) -> None:
        if key not in self.units:
            self.outside.discard(key)
            self.units[key] = Unit(arm, phase, self.now, country, self.before[name])
            self._join(key)
        unit = self.units[key]
        done = unit.entry + WINDOW + LATENESS <= self.now
        if unit.left_out is None and not done and unit.phase == phase and unit.arm != arm:
            unit.left_out = self.now
        elif unit.left_out is None:
            unit.requests.append(self.now)

    def _join(self, key: object) -> None:
        for name, came in [each for each in self.waiting if each[0] == key]:
            self.waiting.remove((name, came))
            if came.arrived <= self.now - QUARANTINE:
                self.tallies["quarantined"] += 1
            else:
                self._place(self.units[key], came)

    def _place(self, unit: Unit, came: Came) -> None:
        if unit.left_out is not None:
            self.tallies["unanalysed"] += 1
            return
        uses = {"revenue": [(10, 5), (12, 1)], "clicks": [(4, 0), (10, 5)], "label": [(10, 5)]}.get(came.name)
        if uses is None:
            self.tallies["unanalysed"] += 1
            return
        late = came.arrived - unit.entry
        inside = any(0 <= came.timestamp - unit.entry < seconds and late < seconds + lateness for seconds, lateness in uses)
        self.tallies["outside_window" if not inside else "unanalysed" if came.value is None else "counted"] += 1
        unit.came.append(came)

    def _is_new(self, identity: object | None) -> bool:
        if identity is not None and identity in self.seen:
            self.tallies["duplicates"] += 1
            return False
        self.seen |= {identity} - {None}
        return True

    def observe(self, at: float, name: str, metric: str, value: float, shift: float, key: str | None) -> None:
        if not self._is_new(None if key is None else (metric, key)):
            return
        came = Came(metric, float(value), self.now if not shift else at + shift, self.now)
        if metric == "revenue":
            self.before[name] += value
        if name in self.units:
            self._place(self.units[name], came)
        elif metric == "unknown" or name in self.outside:
            self.tallies["unanalysed"] += 1
        else:
            self.waiting.append((name, came))

    def answer(self, number: int, metric: str, value: float | None, identity: object, row: int = 0) -> None:
        index = number % (len(self.predictions) + 1) - 1
        if index < 0 or row >= self.predictions[index][1]:
            self.tallies["quarantined"] += 1
            return
        if not self._is_new((index, row) if metric == "label" else None if identity is None else (metric, identity)):
            return
        unit, _, client = self.predictions[index]
        if metric == "revenue" and client is not None and value is not None:
            self.before[client] += value
        if unit is None:
            self.tallies["unanalysed"] += 1
        else:
            self._place(self.units[unit], Came(metric, value, self.now, self.now))

    def follow(self, story: Story) -> None:
        at = 1.0
        for step, (kind, *how) in story:
            at = max(1.0, at + step)
            self.now = max(self.now, at)
            if kind == "ask":
                self.ask(at, *how)
            elif kind == "observe":
                self.observe(at, *how)
            elif kind == "answer":
                self.answer(how[0], how[1], float(how[2]), how[3])
            elif kind == "label":
                self.answer(how[0], "label", None if isinstance(how[2], str) else abs(1.0 - how[2]), None, how[1])
        for each in [each for each in self.waiting if each[1].arrived <= self.now - QUARANTINE]:
            self.waiting.remove(each)
            self.tallies["quarantined"] += 1


def expected(model: Model, metric: Metric, country: str | None = None) -> dict[tuple[int, str], list[tuple[float, float] | None]]:
    """(phase, arm) → what each analysed unit is worth."""
    found: defaultdict[tuple[int, str], list[tuple[float, float] | None]] = defaultdict(list)
    for unit in model.units.values():
        worth = unit.worth(metric, model.now)
        if worth is not False and (country is None or (unit.country or NONE) == country):
            found[unit.phase, unit.arm].append(worth)
    return dict(found)


def check(folded: Facts, metric: Metric, worths: dict[tuple[int, str], list[tuple[float, float] | None]], *part: str) -> None:
    """The summaries say what the units are worth."""
    pairs = {place: np.array([worth for worth in each if worth is not None]) for place, each in worths.items()}
    found = joints(folded, metric.name, *part)
    assert found.keys() == {place for place, each in pairs.items() if len(each)}
    for place, one in found.items():
        y, x = pairs[place].T
        figures = (one.n, one.y.mean, one.y.m2, one.x.mean, one.x.m2, one.c)
        c = ((y - y.mean()) * (x - x.mean())).sum()
        assert figures == pytest.approx((len(y), y.mean(), len(y) * y.var(), x.mean(), len(x) * x.var(), c), rel=1e-9, abs=1e-9)
    shares = {place: (len(each), float(np.mean([worth is not None for worth in each]))) for place, each in worths.items()}
    present = {place: (each.n, each.y.mean) for place, each in joints(folded, metric.name + PRESENT, *part).items()}
    assert close([*present.items()], [] if metric.counts_all else [(place, shares[place]) for place in present])
    assert metric.counts_all or present.keys() == shares.keys()


@given(story=STORIES)
@CHECKED
def test_every_figure_is_what_the_units_did(story: Story) -> None:
    """A model that looks at the whole story at once comes to the same values, unit by unit, in all slices, and to the same tallies."""
    model = Model()
    model.follow(story)
    with TemporaryDirectory() as directory:
        world = World(Path(directory))
        world.endpoint(arms=ALIKE)  # as long as all are treated alike, what they bring is a covariate
        tell(world, story)
        world.fold(recorder(world))
        found = world.facts()
    told: Counter[str] = Counter()
    for row in found["tallies"]:
        told[row["name"]] += row["number"]
    assert (told, len(found["waiting"])) == (model.tallies, len(model.waiting))
    for metric in METRICS:
        if metric.kind != "quantile":
            check(found, metric, expected(model, metric))
            for country in ("de", "at", NONE):
                check(found, metric, expected(model, metric, country), "country", country)


@given(story=STORIES, cuts=st.lists(st.integers(1, 5), min_size=50, max_size=50), broken=st.sets(st.integers(0, 20)))
@CHECKED
def test_transactions_do_not_matter(story: Story, cuts: list[int], broken: set[int]) -> None:
    """One, or many by processes of their own, of which some are rolled back and folded again: the same facts of every kind."""
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        whole, parts = World(Path(one)), World(Path(other))
        for world in (whole, parts):
            world.endpoint(arms=ALIKE)
            tell(world, story)
        whole.fold(recorder(whole))
        folding, start = recorder(parts), 0
        for number, cut in enumerate(cuts):
            batch = parts.entries[start : start + cut]
            if number in broken:
                with parts.store.write(keep=False) as connection:
                    folding.fold(connection, batch, parts.at)
                folding = recorder(parts) if number % 2 else folding
            parts.fold(folding, batch)
            start += cut
        same_facts(whole.facts(), parts.facts())


@given(story=STORIES, limit=st.integers(1, 9))
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
def test_the_journal_tells_it_all(story: Story, limit: int) -> None:
    """Each stored outcome is in one of the report's figures or still waits for its unit; from the journal alone comes the same report."""
    with TemporaryDirectory() as directory, logged(Path(directory)) as world:
        tell(world, story)
        world.follow(limit)
        with world.store.read() as connection:
            told = report_in(connection, "e1")["outcomes"]
            nowhere = facts.tallies_of(connection, NO_EXPERIMENT)
        stored = sum(kind in ("observe", "answer", "label") for _, (kind, *_) in story)
        assert sum(told.values()) + len(world.facts()["waiting"]) + nowhere.get("quarantined", 0) == stored
        assert world.recompute().differences == []


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_huge_values(bare: World, size: int) -> None:
    """Sums beyond the range of floating point are kept as its largest number: everything goes on, and the report says so or refuses."""
    bare.endpoint()
    begin(bare, *METRICS[1:])
    for number in range(8):
        ask(bare, 1.0, f"u{number}", "treatment" if number % 2 else "control")
    for value in (1e308, 1e308, 1e308, 1e308, -1e308):
        for number in range(8):
            bare.observe(2.0, f"u{number}", value if number < 4 else -value)
    bare.log(Tick(40.0))
    for start in range(0, len(bare.entries), size):
        bare.fold(recorder(bare), bare.entries[start : start + size])
    assert set(bare.states().values()) == {"matured"}
    with bare.store.read() as connection:
        report = report_in(connection, "e1")
    assert report["outcomes"]["counted"] == 40
    json.dumps(report, allow_nan=False, default=str)
