"""How an arm is asked: on the hub or in a thread, for how long, and what its breaker is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from core.errors import Crowded, ModelFailed, TimedOut
from core.values import Output, Row
from flows import asking
from flows.asking import Timed, ask_arm
from flows.serving import ArmRoute, Route, make_route
from models.package import Loaded
from routing import changes
from routing.breaker import Limits
from routing.changes import Who
from routing.plan import Arm
from tests.flows.flow_world import card

LIMITS = Limits(calls=4, share=0.5, slow_seconds=0.5, open_seconds=1000.0)


class Clock:
    """In the place of `perf_counter`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Model:
    """Takes so many seconds by the clock, and raises what it is told to."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.seconds = 0.0
        self.error: BaseException | None = None
        self.asked = 0

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        """1 for each row."""
        self.asked += 1
        self._clock.now += self.seconds
        if self.error is not None:
            raise self.error
        return [Output(value=1.0) for _ in rows]


class Threads:
    """Runs what is offloaded at once, and remembers its limits; raises `error` in its place."""

    def __init__(self) -> None:
        self.limits: list[float] = []
        self.error: ModelFailed | None = None

    def __call__(self, version: str, work: Callable[[], Timed], seconds: float, /) -> Timed:
        assert version == "m@2"
        self.limits.append(seconds)
        if self.error is not None:
            raise self.error
        return work()


class Asked:
    """The arm `treatment`, whose model takes `per_row` by its measure."""

    def __init__(self, clock: Clock, per_row: float = 0.0, form: str = "onnx") -> None:
        self.model, self.threads, self.clock = Model(clock), Threads(), clock
        self.loaded = Loaded(replace(card(), format=form), self.model, per_row)
        self.former: Route | None = None
        self.arm = self.plan(1.0)

    def plan(self, weight: float, loaded: Loaded | None = None) -> ArmRoute:
        """The arm by the next plan."""
        arms = {"control": Arm("m@1", 1.0), "treatment": Arm("m@2", weight)}
        plan = changes.create("credit", arms, {}, 1.0, "s", Who("me", 0.0, ""))
        self.former = make_route(plan, lambda _: loaded or self.loaded, lambda _: card().signature, LIMITS, self.former)
        return self.former.arms["treatment"]

    def ask(self, rows: int = 1) -> list[Output]:
        """Its answer."""
        return ask_arm(self.arm, [[1.0]] * rows, self.threads, 2.0)[0]

    def fail(self, times: int) -> None:
        """So many failures."""
        for _ in range(times):
            with pytest.raises(ModelFailed):
                self.ask()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time that passes only when a model takes it."""
    made = Clock()
    monkeypatch.setattr(asking, "perf_counter", made)
    return made


@pytest.mark.parametrize(("rows", "limits"), [(1, []), (2, []), (3, [2.003])])
def test_what_will_take_long_leaves_the_hub(clock: Clock, rows: int, limits: list[float]) -> None:
    """By the number of its rows; it has so much more time than they should take."""
    asked = Asked(clock, per_row=0.001)
    assert asked.ask(rows) == [Output(value=1.0)] * rows
    assert asked.threads.limits == pytest.approx(limits)


def test_a_model_that_holds_up_the_hub_leaves_it_for_a_while(clock: Clock) -> None:
    """As long as it is slow, and some calls more; one short delay of a busy machine is nothing."""
    asked = Asked(clock)
    for seconds, calls, offloaded in ((0.03, 1, 0), (0.0, 50, 0), (0.4, 1, 0), (0.4, 5, 5), (0.0, 100, 105)):
        asked.model.seconds = seconds
        for _ in range(calls):
            asked.ask()
        assert len(asked.threads.limits) <= offloaded
    assert 55 < len(asked.threads.limits) < 105


def test_what_raises_late_leaves_the_hub_too(clock: Clock) -> None:
    """Whoever waits for it, waits for its failure as long as for an answer."""
    asked = Asked(clock)
    asked.model.error, asked.model.seconds = ValueError("broke"), 0.4
    asked.fail(2)
    assert len(asked.threads.limits) == 1


def test_code_of_its_own_never_runs_on_the_hub(clock: Clock) -> None:
    """What comes as a pickle may hang, however fast it was when it was loaded."""
    asked = Asked(clock, form="pickle")
    asked.ask()
    assert asked.threads.limits == [2.0]


@pytest.mark.parametrize("error", [ModelFailed("broke"), ValueError("broke"), ZeroDivisionError()], ids=repr)
def test_whatever_a_model_raises_is_its_failure_and_opens_its_breaker(clock: Clock, error: Exception) -> None:
    """Then it is not asked any more, and whoever asks is told why."""
    asked = Asked(clock)
    asked.model.error = error
    asked.fail(4)
    with pytest.raises(ModelFailed, match="its breaker is open") as caught:
        asked.ask()
    assert (asked.model.asked, caught.value.code) == (4, "breaker-open")


def test_slow_answers_are_given_and_open_the_breaker(clock: Clock) -> None:
    """Beyond what the rows should take: a batch is not slow for its size."""
    asked = Asked(clock, per_row=1.0)
    asked.model.seconds = 3.4
    for _ in range(8):
        asked.ask(rows=3)
    assert asked.arm.breaker.state == "closed"
    asked.model.seconds = 3.6
    asked.ask(rows=3)
    asked.ask(rows=3)
    assert asked.arm.breaker.state == "open"


@pytest.mark.parametrize(("error", "state"), [(TimedOut("late"), "open"), (Crowded("full"), "closed")])
def test_what_was_not_asked_has_not_failed(clock: Clock, error: ModelFailed, state: str) -> None:
    """A call that did not return is the model's failure; one that found no room is not."""
    asked = Asked(clock, per_row=1.0)
    asked.threads.error = error
    asked.fail(4)
    assert asked.arm.breaker.state == state


def test_a_breaker_outlives_plans_but_not_its_version(clock: Clock) -> None:
    """Other weights close no breaker; a model that was loaded anew has one of its own."""
    asked = Asked(clock)
    asked.model.error = ValueError("broke")
    asked.fail(4)
    assert asked.plan(2.0).breaker.state == "open"
    assert asked.plan(2.0, Loaded(card(), Model(clock), 0.0)).breaker.state == "closed"
