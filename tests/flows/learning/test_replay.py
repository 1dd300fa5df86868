"""A learner's state from the journal alone: equal to the live one, at other times, and of another model."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
from msgspec.structs import replace
from river import linear_model

from core.clock import to_rfc3339
from core.errors import Conflict, Invalid, NotFound
from core.ids import VersionId
from flows.deploy import ShadowSpec
from flows.learning import replay as replays
from flows.learning.origin import Origin
from journal import segment
from models.learner.fingerprint import fingerprint
from models.package import load
from tests.e2e.real_server import TILTYARD
from tests.flows.learning.learn_world import KEY, SETTINGS, LearnWorld, Make, line


@pytest.fixture
def world(make: Make) -> LearnWorld:
    """Twenty labels, at the times 1 to 20, and a learner that has learnt them in several lives."""
    made = make(settings=replace(SETTINGS, metrics=("MAE", "RMSE")))
    for number in range(20):
        made.pair(number % 7 - 3.0, 2.0 * number, at=1.0 + number)
        if number % 6 == 0:
            made.learn()
    made.learn()
    return made


def taught(start: int = 0, stop: int = 20) -> Any:
    """A line that has learnt some of the labels."""
    model = line()
    for number in range(start, stop):
        model.predict_one({"x": number % 7 - 3.0})
        model.learn_one({"x": number % 7 - 3.0}, 2.0 * number)
    return model


def test_it_is_the_live_one(world: LearnWorld) -> None:
    """Model, labels, scores; and the journal is only read."""
    before = world.snapshot()
    found = world.replay()
    assert (found["equal"], found["reason"], found["labels"]) == (True, None, 20)
    assert found["fingerprint"] == found["live"]["fingerprint"] == fingerprint(taught())
    assert found["scores"] == found["live"]["scores"] == world.status()["scores"]
    assert world.snapshot() == before
    assert world.replay("m")["version"] == "m@1"


def test_a_live_learner_that_went_wrong_is_found_out(world: LearnWorld) -> None:
    """A label that stands in the journal and was not learnt makes the two unequal."""
    learning = world.learning()
    position = world.position()
    world.pair(1.0, 5.0)
    learning._follower._worked = world.place.journal_end()
    world.ticks += 10.0
    learning._course.taken += 1
    row = learning._publish(world.place.journal_end())
    assert row is not None
    learning._follower.store(row)
    assert world.position() > position
    found = world.replay()
    assert (found["equal"], found["labels"], found["live"]["labels"]) == (False, 21, 20)


def test_a_part_of_it(world: LearnWorld) -> None:
    """Up to a time, or from one on with the model as it was registered: not to be compared, and said so."""
    until, since = world.replay(stop=10.0), world.replay(start=10.5)
    assert (until["fingerprint"], until["equal"]) == (fingerprint(taught(0, 10)), None)
    assert (since["fingerprint"], since["equal"]) == (fingerprint(taught(10)), None)
    assert "ended before" in until["reason"]
    assert "another time" in since["reason"]
    assert world.replay(stop=1e9)["equal"] is True


def test_rows_that_lack_a_feature(make: Make) -> None:
    """A learner that takes the rows of other arms passes over what its version could not answer; so does the replay."""
    world = make()
    version = str(world.register(line(), replace(SETTINGS, learns_from="arms"), ("x", "y"), nullable=False))
    world.endpoint("tried", {"control": "m@1", "next": version})
    world.begin(version)
    for y in (5.0, None, 6.0, None, None):
        world.label(world.predict([1.0, y], endpoint="tried"), 1.0)
    told, found = world.learn(version), world.replay(version)
    assert (told["labels"], told["unfit"], told["quarantined"]) == (2, 3, 0)
    assert (found["equal"], found["unfit"]) == (True, 3)


def test_rows_that_had_their_label_before(world: LearnWorld) -> None:
    """A replay from a later time knows them: it learns the rows that the learner has learnt since, and no others."""
    id_ = world.predict(1.0, at=21.0)
    world.label(id_, 1.0, at=22.0)
    world.label(id_, 1.0, at=24.0)
    world.learn()
    assert world.replay(start=23.0)["labels"] == 0


def test_another_model(world: LearnWorld) -> None:
    """It learns the same rows, and its scores stand beside the live ones."""
    world.register(linear_model.LinearRegression(l2=0.5), None, name="other")
    found = world.replay(other="other@1")
    model = linear_model.LinearRegression(l2=0.5)
    for number in range(20):
        model.predict_one({"x": number % 7 - 3.0})
        model.learn_one({"x": number % 7 - 3.0}, 2.0 * number)
    assert (found["with"], found["equal"], found["fingerprint"]) == ("other@1", None, fingerprint(model))
    assert found["scores"] != found["live"]["scores"]
    assert found["live"]["labels"] == found["labels"] == 20


def test_another_model_whose_features_were_not_logged(world: LearnWorld) -> None:
    """Those rows are counted, and not learnt."""
    world.register(line(), None, ("x", "y"), name="other")
    found = world.replay(other="other@1")
    assert (found["labels"], found["unfit"]) == (0, 20)


def test_another_model_of_another_kind(world: LearnWorld) -> None:
    """The scores that the learner keeps are none of it: said beforehand, and not after all has been learnt."""
    world.register(linear_model.LogisticRegression(), None, kind="classifier", name="other")
    with pytest.raises(Invalid, match="with: other@1 cannot be scored as m@1 is: metrics: MAE") as caught:
        world.replay(other="other@1")
    assert caught.value.field == "with"


def test_a_journal_that_is_deleted_meanwhile(world: LearnWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is missing, and no state that differs."""
    world.rotate()
    world.pair(1.0, 2.0, at=50.0)
    world.learn()
    begin = replays._begin
    monkeypatch.setattr(replays, "_begin", lambda *given: (begin(*given), segment.path(world.journal, 1).unlink())[0])
    with pytest.raises(Conflict) as caught:
        world.replay()
    assert caught.value.code == "journal-expired"


def test_the_result_as_a_version(world: LearnWorld) -> None:
    """It answers as the learner does, does not learn, and says where it came from."""
    found = world.replay(into="copy")
    card = world.card("copy@1")
    assert found["into"] == "copy@1"
    assert card.river is not None
    assert card.river.learnt is not None
    assert (card.river.settings, card.river.learnt.base, card.river.learnt.labels) == (None, "m@1", 20)
    assert load(card, world.blobs.get).predict([[1.5]])[0].value == taught().predict_one({"x": 1.5})
    assert "the rows that the learner of m@1 learns (own)" in card.notes[0]


def test_a_learner_never_was_what_a_replay_made(world: LearnWorld) -> None:
    """So it cannot go back to it."""
    made = world.replay(into="m")["into"]
    assert Origin(world.store, world.blobs, VersionId("m", 1)).state_of(made) is None


def test_what_expired(world: LearnWorld) -> None:
    """A journal that begins after the learner does is refused by name; from a later time on it will do."""
    world.rotate()
    world.pair(1.0, 2.0, at=50.0)
    world.learn()
    segment.path(world.journal, 1).unlink()
    with pytest.raises(Conflict, match="segment 1 of the journal, whose segments before 2") as caught:
        world.replay()
    assert caught.value.code == "journal-expired"
    assert world.replay(start=0.0)["labels"] == 1


def test_several_learners_of_one_model(world: LearnWorld) -> None:
    """Which one is meant must be said; each has its own rows."""
    world.register(line(), replace(SETTINGS, learns_from="all"))
    world.endpoint("seen", {"control": "m@1"}, {"next": ShadowSpec("m@3")})
    world.begin("m@3")
    world.label(world.predict(1.0, endpoint="seen", at=30.0), 3.0, at=31.0)
    world.learn()
    world.learn("m@3")
    with pytest.raises(Invalid, match="m@1, m@3"):
        world.replay("m")
    assert [(world.replay(name)["labels"], world.replay(name)["equal"]) for name in ("m@1", "m@3")] == [(21, True), (1, True)]


@pytest.mark.parametrize(
    ("model", "how", "error"),
    [
        ("none", {}, NotFound),
        ("m@9", {}, NotFound),
        ("m@2", {}, Conflict),
        ("m@1", {"other": "none@1"}, NotFound),
        ("m@1", {"into": "a b"}, Invalid),
    ],
)
def test_what_cannot_be_replayed(world: LearnWorld, model: str, how: dict[str, Any], error: type[Exception]) -> None:
    """Names that do not exist, and versions that do not learn."""
    with pytest.raises(error):
        world.replay(model, **how)


def test_by_command_line(world: LearnWorld) -> None:
    """It says the same, as JSON and to people; a time that is none ends with 2."""
    home = world.journal.parent
    (home / "snapshots.key").write_bytes(KEY)
    (home / "snapshots.key").chmod(0o600)
    environ = {**os.environ, "TILTYARD_HOME": str(home), "PYTHONHASHSEED": "5"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([TILTYARD, "replay", "m@1", *arguments], env=environ, capture_output=True, text=True, timeout=120)

    found = json.loads(run("--json").stdout)
    assert (found["equal"], found["fingerprint"]) == (True, fingerprint(taught()))
    assert "equal to the live learner, bit for bit" in run("--to", to_rfc3339(1e9)).stdout
    assert (run("--from", "now").returncode, "--from" in run("--from", "now").stderr) == (2, True)
