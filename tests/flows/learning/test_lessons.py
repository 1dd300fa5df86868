"""From entries to lessons: which rows are taught, which are only scored, and which give nothing."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from core.events import FALLBACK, FORCED, PINNED, Observed
from core.ids import parse_version
from core.values import START, Position
from flows.deploy import ShadowSpec
from flows.follow import between
from flows.learning import lessons
from flows.learning.lessons import Lessons, Progress, Subject
from flows.learning.recent import Recent
from journal import segments
from journal.lookup import Lookup
from journal.reader import Entry
from models.learner import labels
from models.learner.learner import Lesson
from models.learner.settings import LearnsFrom
from routing.plan import Shadow
from routing.splitter import mirrors
from tests.flows.learning.learn_world import LATE, SETTINGS, LearnWorld, line


def made(world: LearnWorld, learns_from: LearnsFrom = "own", progress: Progress | None = None, version: str = "m@1") -> Lessons:
    """Lessons of a version from the journal's begin."""
    card = world.card(version)
    assert card.river is not None
    settings = replace(SETTINGS, learns_from=learns_from)
    subject = Subject(parse_version(version), settings, labels.tester(card.river), card.signature)
    return Lessons(world.store, subject, Lookup(world.journal).get, progress or lessons.begin(START, 0.0))


def every(world: LearnWorld) -> list[Entry]:
    """All that stands in the journal."""
    return [*between(world.journal, START, segments.end(world.journal))]


def read(world: LearnWorld, found: Lessons) -> list[Lesson]:
    """The lessons of all entries."""
    return [lesson for _, lesson in found.read(every(world)) if isinstance(lesson, Lesson)]


def taught(world: LearnWorld, learns_from: LearnsFrom = "own") -> list[tuple[Any, str, bool]]:
    """Label, place and whether it is taught, of all lessons."""
    return [(lesson.label, lesson.place, lesson.taught) for lesson in read(world, made(world, learns_from))]


def test_a_label_and_its_row(world: LearnWorld) -> None:
    """The features as served, by name, without the missing; the answer as served; the label's time."""
    first, second = world.predict(1.5, at=1.0), world.predict(None, 2.5, at=2.0)
    world.label(second, 7.0, at=3.0)
    world.label(f"{second}.1", 8.0, at=4.0)
    world.label(first, 6.0, at=5.0)
    found = read(world, made(world))
    assert [(one.at, one.x, one.label) for one in found] == [(3.0, {}, 7.0), (4.0, {"x": 2.5}, 8.0), (5.0, {"x": 1.5}, 6.0)]
    assert {one.answered.value for one in found if one.answered is not None} == {0.0}


def test_whose_rows_are_taught(world: LearnWorld) -> None:
    """By default those that the version answered: pinned and forced too, but not what control answered in its stead."""
    world.endpoint("swapped", {"control": "m@2", "new": "m@1"})
    world.endpoint("other", {"control": "m@2"})
    world.label(world.predict(1.0), 1)
    world.label(world.predict(1.0, version="m@2", arm="old"), 2)
    world.label(world.predict(1.0, flags=PINNED), 3)
    world.label(world.predict(1.0, flags=FORCED), 4)
    world.label(world.predict(1.0, version="m@2", arm="new", flags=FALLBACK, endpoint="swapped"), 5)
    world.label(world.predict(1.0, version="m@2", endpoint="other"), 6)
    own = [
        (1, "credit/control", True),
        (2, "credit/old", False),
        (3, "credit/control", True),
        (4, "credit/control", True),
        (5, "swapped/control", False),
    ]
    assert taught(world) == own
    assert taught(world, "arms") == [(label, place, True) for label, place, _ in own]
    counted = made(world)
    read(world, counted)
    assert counted.counts.forced == 1


def test_rows_that_are_mirrored_are_taught_where_it_is_declared(world: LearnWorld) -> None:
    """To a version that is a shadow: the sampled share of them, no pinned ones; all others are scored."""
    world.endpoint("seen", {"control": "m@2"}, {"next": ShadowSpec("m@1", 0.5)})
    ids = [world.predict(1.0, version="m@2", endpoint="seen", flags=PINNED if number == 3 else 0) for number in range(20)]
    for number, id_ in enumerate(ids):
        world.label(id_, number)
    sampled = {number for number, id_ in enumerate(ids) if mirrors("seen", "next", Shadow("m@1", 0.5), id_) and number != 3}
    assert 0 < len(sampled) < 19
    assert [label for label, _, learnt in taught(world, "all") if learnt] == sorted(sampled)
    assert len(taught(world, "all")) == 20
    assert not any(learnt for _, _, learnt in taught(world, "arms"))


def test_features_are_cut_from_the_row(world: LearnWorld) -> None:
    """Where the endpoint takes more than the version does."""
    world.register(line(), None, ("a", "x"))
    world.endpoint("wide", {"control": "m@3", "new": "m@1"})
    world.label(world.predict([5.0, 6.0], version="m@1", arm="new", endpoint="wide"), 1)
    assert [lesson.x for lesson in read(world, made(world))] == [{"x": 6.0}]


def test_numbers_are_of_the_version_s_own_kinds(world: LearnWorld) -> None:
    """Where it shares an endpoint with a version that takes floats, and in examples that were checked against another."""
    version = world.register(line(), SETTINGS, each="int")
    world.begin(str(version))
    world.endpoint("mixed", {"control": str(version), "new": "m@1"})
    world.label(world.predict(4.0, version=str(version), endpoint="mixed"), 1.0)
    world.example(5.0, 1.0)
    found = read(world, made(world, version=str(version)))
    assert [(lesson.x, type(lesson.x["x"])) for lesson in found] == [({"x": 4}, int), ({"x": 5}, int)]


def test_what_gives_no_lesson(world: LearnWorld) -> None:
    """Repetitions, late and unknown labels are counted; other metrics, later events and rubbish are passed over."""
    id_, late, two = world.predict(1.0, at=0.0), world.predict(2.0, at=0.0), world.predict(1.0, 2.0, at=0.0)
    for row in (id_, two, f"{two}.1"):
        world.label(row, 1, at=1.0)
    for row, key in ((id_, None), (id_, "another"), (f"{id_}.0", None), (f"{two}.1", None)):
        world.label(row, 2, at=2.0, key=key)
    for row in (f"{id_}.1", id_[:-1] + ("0" if id_[-1] != "0" else "1"), "p1-18-0000000000000000", "p9-18-0000000000000000"):
        world.label(row, 3, at=2.0)
    world.label(id_, 4, at=2.0, metric="revenue")
    world.writer.append(b"")
    world.writer.append(b"\xff" * 50)
    world.writer.append(b"\x92\xa1z\xcb" + bytes(20))
    world.label(late, 5, at=LATE + 0.5)
    found = made(world)
    assert [lesson.label for lesson in read(world, found)] == [1, 1, 1]
    assert found.counts == lessons.Counts(late=1, duplicates=4, unknown=4)
    assert found.at == LATE + 0.5


def test_a_label_under_a_false_id_takes_nothing(world: LearnWorld) -> None:
    """The true one is learnt after it; a resumed learner knows so too."""
    id_ = world.predict(1.0)
    false = id_[:-1] + ("0" if id_[-1] != "0" else "1")
    world.label(false, 1)
    resumed = made(world)
    resumed.recall(every(world))
    before = segments.end(world.journal)
    world.label(id_, 2)
    assert [lesson.label for lesson in read(world, made(world))] == [2]
    rest = [entry for entry in every(world) if entry.address.position >= before]
    assert [lesson.label for _, lesson in resumed.read(rest) if isinstance(lesson, Lesson)] == [2]


def test_examples(world: LearnWorld) -> None:
    """Those of the model, cut to the signature; one id counts once until it was not seen for as long as labels are waited for."""
    world.example(1.0, 1, "a", at=0.0)
    world.example(1.0, 2, "a", at=LATE)
    world.example(1.0, 3, "a", at=2 * LATE)
    world.example(1.0, 4, "a", at=3 * LATE + 1)
    world.example(2.0, 5)
    world.example(2.0, 5)
    world.example(2.0, 6, model="n")
    found = made(world)
    assert [(one.label, one.x, one.place, one.answered, one.taught) for one in read(world, found)] == [
        (1, {"x": 1.0}, "", None, True),
        (4, {"x": 1.0}, "", None, True),
        (5, {"x": 2.0}, "", None, True),
        (5, {"x": 2.0}, "", None, True),
    ]
    assert found.counts.duplicates == 2


def test_examples_that_lack_a_feature(world: LearnWorld) -> None:
    """Another version of the model may do without it; one that has never seen it missing does not learn them."""
    version = world.register(line(), SETTINGS, ("x", "y"), nullable=False)
    found = made(world, version=str(version))
    world.example(1.0, 5.0)
    assert (read(world, found), found.counts.unfit, len(read(world, made(world)))) == ([], 1, 1)


def test_rows_of_others_that_lack_a_feature(world: LearnWorld) -> None:
    """An arm that does without it answers such rows; the version, which would refuse them, neither learns nor scores them."""
    version = world.register(line(), SETTINGS, ("x", "y"), nullable=False)
    for name, shadows, arms in (("seen", {"next": ShadowSpec(str(version), 1.0)}, {}), ("tried", {}, {"next": str(version)})):
        world.endpoint(name, {"control": "m@1", **arms}, shadows)
        for number, y in enumerate((5.0, None, 6.0)):
            world.label(world.predict([1.0, y], [2.0, None], endpoint=name, flags=PINNED if number == 2 else 0) + ".0", number)
    found = made(world, "all", version=str(version))
    assert [(one.label, one.x) for one in read(world, found)] == [(label, {"x": 1.0, "y": y}) for label, y in ((0, 5.0), (2, 6.0))] * 2
    assert (found.counts.unfit, found.counts.duplicates) == (2, 0)


def test_a_label_that_the_model_cannot_read_does_not_stand_for_the_right_one(world: LearnWorld) -> None:
    """Neither now nor after a restart; it gives a lesson of its own, which the learner puts aside with the reason."""
    row = world.predict(1.0)
    world.label(row, "many")
    again = made(world)
    again.recall(every(world))
    assert [lesson.label for lesson in read(world, made(world))] == ["many"]
    start = segments.end(world.journal)
    world.label(row, 3.0)
    world.label(row, 4.0)
    assert [lesson.label for _, lesson in again.read([*between(world.journal, start, segments.end(world.journal))])] == [3.0]  # type: ignore[union-attr]
    world.label(row, "few")
    found = made(world)
    assert [lesson.label for lesson in read(world, found)] == ["many", 3.0, "few"]
    assert found.counts.duplicates == 1


def test_a_label_that_names_no_prediction(world: LearnWorld) -> None:
    """Such as one of a unit: it is counted, and teaches nothing."""
    world.log(Observed(1.0, None, "credit", "u", "label", 1.0, 1.0, None))
    found = made(world)
    assert (read(world, found), found.counts.unknown) == ([], 1)


def test_segments_whose_labels_are_not_waited_for_any_more(world: LearnWorld) -> None:
    """They expire by journal time; what is known of them is forgotten, and a scan need not begin there."""
    early, late = world.predict(1.0, at=0.0), world.predict(1.0, at=60.0)
    world.rotate()
    world.label(early, 1, at=70.0)
    world.rotate()
    world.label(late, 2, at=155.0)
    world.tick(161.0)
    world.label(late, 3, at=161.0)
    world.rotate()
    world.tick(162.0)
    found = made(world)
    assert [lesson.label for lesson in read(world, found)] == [1, 2]
    assert (found.counts.expired, found.scan_start, sorted(found.progress.ends)) == (1, Position(2, 0), [2, 3])


def test_payloads_of_recent_predictions_are_bounded(world: LearnWorld) -> None:
    """The newest are kept; what is not kept any more is looked up in the journal, and each finds its own."""
    for number in range(50):
        world.predict(float(number))
    entries, looked_up = every(world), []
    recent = Recent(lambda address: looked_up.append(address) or Lookup(world.journal).get(address), most_bytes=8000)
    for entry in entries:
        recent.keep(entry.address, entry.payload)
    found = [recent.get(entry.address) for entry in entries]
    assert [one.rows for one in found if one is not None] == [[[float(number)]] for number in range(50)]
    assert looked_up == [entry.address for entry in entries[: len(looked_up)]]
    assert 25 <= len(looked_up) < 45
