"""One request: assigned, answered, logged; what happens when a model or the journal fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from core import events
from core.errors import Invalid, JournalError, ModelFailed, Unavailable
from core.events import ENROLLED, FALLBACK, FORCED, PINNED, Predicted, Unlogged
from core.ids import MAX_KEY, Address, VersionId, format_prediction_id
from core.values import Label, Output, Row
from flows.asking import Timed
from flows.predict import MOST_CONTEXT, Ask, Means, Missed, predict, predict_pinned
from flows.serving import Route, make_route
from models.package import Loaded
from routing import changes
from routing.changes import Who
from routing.plan import Arm
from tests.flows.flow_world import card

FEATURES = {"m@1": ("x",), "m@2": ("y", "x")}
ASK = Ask("u", {"x": 1.0, "y": 2.0}, None)


class Model:
    """Answers the sum of a row; fails where told to."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.rows: list[Row] = []

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        """Sums."""
        if self.fails:
            raise ModelFailed("broke")
        self.rows += rows
        return [Output(value=float(sum(row))) for row in rows]  # type: ignore[arg-type]


class Journal:
    """Keeps what is appended; refuses while `full`."""

    def __init__(self) -> None:
        self.events: list[events.Event] = []
        self.full = False

    def append(self, payload: bytes) -> Address:
        """The next address."""
        if self.full:
            raise JournalError("full")
        self.events.append(events.decode(payload))
        return Address(1, len(self.events), 7)


@pytest.fixture
def journal() -> Journal:
    """An empty journal."""
    return Journal()


@pytest.fixture
def means(journal: Journal) -> Means:
    """Means of a worker whose clock stands at 5."""
    return Means(journal.append, lambda: 5.0, lambda _version, work, _seconds: work(), Missed())


def route(weights: dict[str, float], models: dict[str, Model], seconds: float = 0.0) -> Route:
    """`credit`: control is m@1 and takes x; treatment is m@2 and takes y, x."""
    arms = {name: Arm({"control": "m@1", "treatment": "m@2"}[name], weight) for name, weight in weights.items()}
    plan = changes.create("credit", arms, {}, 1.0, "s", Who("me", 0.0, ""))
    cards = {version: card(*names) for version, names in FEATURES.items()}

    def get(version: VersionId) -> Loaded:
        return Loaded(cards[str(version)], models[str(version)], seconds)

    return make_route(plan, get, lambda version: cards[version].signature)


def both(**fails: bool) -> dict[str, Model]:
    """Two models."""
    return {"m@1": Model(fails=fails.get("control", False)), "m@2": Model(fails=fails.get("treatment", False))}


TREATED = {"control": 0.0, "treatment": 1.0}


def test_a_request(journal: Journal, means: Means) -> None:
    """The assigned arm answers its own columns, and one record tells all of it; the id is the record's address."""
    models = both()
    answer = predict(route(TREATED, models), ASK, means)
    assert (answer.arm, answer.model, answer.predictions, answer.fallback, answer.logged) == (
        "treatment",
        "m@2",
        [Output(value=3.0)],
        False,
        True,
    )
    [record] = journal.events
    assert isinstance(record, Predicted)
    assert (record.at, record.unit, record.arm, record.propensity, record.version) == (5.0, "u", "treatment", 1.0, "m@2")
    assert (record.rows, record.flags, answer.prediction_id) == ([[1.0, 2.0]], ENROLLED, format_prediction_id(Address(1, 1, 7)))
    assert [tuple(row) for row in models["m@2"].rows] == [(2.0, 1.0)]


def test_fallback(journal: Journal, means: Means) -> None:
    """Where the arm fails control answers; the arm stays the assigned one, and row and answer are marked."""
    answer = predict(route(TREATED, both(treatment=True)), ASK, means)
    assert (answer.arm, answer.model, answer.predictions, answer.fallback) == ("treatment", "m@1", [Output(value=1.0)], True)
    [record] = journal.events
    assert isinstance(record, Predicted)
    assert (record.arm, record.version, record.flags) == ("treatment", "m@1", ENROLLED | FALLBACK)


@pytest.mark.parametrize("weights", [TREATED, {"control": 1.0, "treatment": 0.0}])
def test_control_fails(journal: Journal, means: Means, weights: dict[str, float]) -> None:
    """Then the request cannot be answered, and nothing is logged."""
    with pytest.raises(Unavailable, match=r"m@1 of arm control failed: broke") as caught:
        predict(route(weights, both(control=True, treatment=True)), ASK, means)
    assert (caught.value.code, journal.events) == ("model-failed", [])


def test_unlogged_is_said_and_told_later(journal: Journal, means: Means) -> None:
    """While the journal takes nothing, answers say so; what was missed is counted by arm and told when it takes records again."""
    served = route(TREATED, both())
    journal.full = True
    for _ in range(3):
        answer = predict(served, ASK, means)
        assert (answer.logged, answer.prediction_id) == (False, None)
    journal.full = False
    assert predict(served, ASK, means).logged
    means.missed.tell(means.append, 6.0)
    assert journal.events[1:] == [Unlogged(6.0, "credit", 1, "treatment", 3)]
    assert not means.missed


def test_what_cannot_be_told_is_kept(journal: Journal) -> None:
    """A journal that is still full forgets no count."""
    missed = Missed()
    missed.add("credit", 1, "control")
    journal.full = True
    missed.tell(journal.append, 6.0)
    journal.full = False
    missed.tell(journal.append, 7.0)
    assert journal.events == [Unlogged(7.0, "credit", 1, "control", 1)]


def test_forced(journal: Journal, means: Means) -> None:
    """An operator's choice is served and marked; an unknown arm is refused."""
    served = route({"control": 1.0, "treatment": 0.0}, both())
    assert predict(served, ASK._replace(forced="treatment"), means).model == "m@2"
    [record] = journal.events
    assert isinstance(record, Predicted)
    assert record.flags == FORCED
    with pytest.raises(Invalid, match="expected one of control, treatment"):
        predict(served, ASK._replace(forced="c"), means)


def test_pinned(journal: Journal, means: Means) -> None:
    """A named version takes its own features, is logged in the endpoint's order and marked, and has no fallback."""
    assert predict_pinned(route(TREATED, both()), "control", ASK._replace(features={"x": 1.0}), means).model == "m@1"
    [record] = journal.events
    assert isinstance(record, Predicted)
    assert (record.flags, record.rows) == (PINNED, [[1.0, None]])
    with pytest.raises(Unavailable, match="m@2 of arm treatment failed"):
        predict_pinned(route(TREATED, both(treatment=True)), "treatment", ASK, means)


@pytest.mark.parametrize("weights", [TREATED, {"control": 1.0, "treatment": 1e-6}])
def test_bad_input_is_the_same_for_every_arm(journal: Journal, means: Means, weights: dict[str, float]) -> None:
    """What an arm needs is demanded whatever arm would answer; nothing is logged."""
    with pytest.raises(Invalid, match=r"^features\.y: expected a number, the feature is missing"):
        predict(route(weights, both()), ASK._replace(features={"x": 1.0}), means)
    assert journal.events == []


@pytest.mark.parametrize("features", [{"x": 1.0}, {"x": 1.0, "y": 2.0}])
def test_what_an_arm_of_weight_0_needs_is_taken_and_not_demanded(journal: Journal, means: Means, features: dict[str, float]) -> None:
    """So clients can begin to send a new feature before any traffic needs it."""
    assert predict(route({"control": 1.0, "treatment": 0.0}, both()), ASK._replace(features=features), means).arm == "control"
    [record] = journal.events
    assert isinstance(record, Predicted)
    assert record.rows == [[1.0, features.get("y")]]


def test_a_slow_model_leaves_the_hub(means: Means) -> None:
    """A model that took more than 2 ms a row at load runs by `offload`, a fast one does not."""
    calls = 0

    def offload(version: str, work: Callable[[], Timed], seconds: float) -> Timed:
        nonlocal calls
        calls += 1
        return work()

    for seconds in (0.0019, 0.0021):
        predict(route(TREATED, both(), seconds), ASK, means._replace(offload=offload))
    assert calls == 1


def test_context_is_logged_as_text(means: Means, journal: Journal) -> None:
    """Beside the features, and no model sees it; truths as in JSON, a number in the form in which a feature view is asked for it."""
    model = Model()
    predict(
        route({"control": 1.0}, {"m@1": model}),
        Ask("u", {"x": 1.0}, None, context={"country": "de", "n": 3, "new": True, "x": 1.5, "whole": 17.0}),
        means,
    )
    [record] = journal.events
    assert isinstance(record, Predicted)
    assert record.context == {"country": "de", "n": "3", "new": "true", "x": "1.5", "whole": "17"}
    assert model.rows == [[1.0]]


@pytest.mark.parametrize(
    ("context", "field"),
    [
        ({str(number): number for number in range(MOST_CONTEXT + 1)}, "context"),
        ({"": "x"}, "context"),
        ({"a\nb": "x"}, "context"),
        ({"k": ""}, "context.k"),
        ({"k": "v" * (MAX_KEY + 1)}, "context.k"),
        ({"k": 10**300}, "context.k"),
        ({"k": "a\0b"}, "context.k"),
    ],
    ids=str,
)
def test_a_context_that_cannot_be(means: Means, journal: Journal, context: dict[str, Label], field: str) -> None:
    """Too many keys, or texts that are none: refused by name, and nothing is logged."""
    with pytest.raises(Invalid) as caught:
        predict(route({"control": 1.0}, {"m@1": Model()}), Ask("u", {"x": 1.0}, None, context=context), means)
    assert (caught.value.field, journal.events) == (field, [])
