"""A learner is killed at random while labels stream in: what it knows at last is what one walk along the journal gives, bit for bit."""

from __future__ import annotations

import csv
import os
import pickle
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from river import linear_model, preprocessing
from river.datasets import Phishing

from core.events import Observed, Predicted
from core.ids import VersionId, parse_prediction_id
from core.settings import Settings
from core.values import START, Position
from flows import known
from flows.follow import between, decode
from journal import segments
from models.learner.fingerprint import fingerprint
from models.package import load
from server import home as homes
from store import learners, positions, registry
from store.engine import Store, url_of
from tests.e2e.real_server import Server, Worlds, eventually

KILLS = min(200, int(os.environ.get("TILTYARD_CHAOS", "6")))
PAUSE = 0.003
STEADY = 10.5
"""Seconds after which a process that is killed is not suspected to be the cause itself."""
STRAIGHT = 6
"""So many kills come straight on, so that the learner is suspected, starts later and later and goes on carefully; then each third spares
it for a while, for a suspect is mostly not there to be killed."""
PHISH = VersionId("phish", 1)
ROWS = [(x, y) for x, y in Phishing()]
HELD = ROWS[-60:]


class Teller(threading.Thread):
    """Predicts, then tells the truth, sometimes twice and sometimes late, until it is done."""

    def __init__(self, server: Server, done: threading.Event) -> None:
        super().__init__()
        self._server = server
        self._done = done
        self.labelled: set[str] = set()
        self.bad: list[object] = []

    def run(self) -> None:
        chance, untold = random.Random(3), []
        with self._server.client() as client:
            for count in range(10**9):
                if self._done.is_set() and not untold:
                    return
                if not self._done.is_set():
                    x, y = ROWS[count % (len(ROWS) - len(HELD))]
                    reply = client.predict("mail", f"u{count}", x)
                    untold.append((reply.json["prediction_id"], y))
                id_, y = untold.pop(chance.randrange(len(untold))) if len(untold) > 20 or self._done.is_set() else untold[-1]
                told = [{"prediction_id": id_, "metric": "label", "value": y}] * (1 + (count % 10 == 0))
                for label in told:
                    reply = client.request("POST", "/v1/outcomes", label)
                    if reply.status != 202:
                        self.bad.append(reply)
                self.labelled.add(id_)
                time.sleep(PAUSE)


class Aftermath(NamedTuple):
    """A server at rest, what was told to it, and what a replay says."""

    server: Server
    teller: Teller
    replayed: dict[str, Any]


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """Load, kills, and quiet: the learner has published all that was told."""
    worlds = Worlds(tmp_path_factory.mktemp("learner"), Path())
    server = worlds.server(empty=True, TILTYARD_SEGMENT_BYTES="200000")
    register(server, worlds.directory)
    server.start()
    try:
        server.create("mail", {"control": ("phish@1", 1.0)})
        done = threading.Event()
        teller = Teller(server, done)
        teller.start()
        try:
            kill_at_random(server, random.Random(11))
        finally:
            done.set()
            teller.join()
        eventually(lambda: is_done(server), "the learner has published all labels")
        yield Aftermath(server, teller, server.cli("replay", "phish@1", "--into", "replayed"))
        server.stop()
    finally:
        worlds.close()


def register(server: Server, directory: Path) -> None:
    """An untrained pipeline, with a sample that tells its features."""
    path, sample = directory / "phish.pkl", directory / "phish.csv"
    path.write_bytes(pickle.dumps(preprocessing.StandardScaler() | linear_model.LogisticRegression()))
    with sample.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*ROWS[0][0], "phishing"])
        writer.writerows([*x.values(), y] for x, y in ROWS[:200])
    server.cli("model", "register", "phish", path, "--trust-pickle", "--sample", sample, "--target", "phishing")


def kill_at_random(server: Server, chance: random.Random) -> None:
    """`kill -9` of the learner, `KILLS` times: mostly soon after it has gone on, sometimes while it starts, sometimes later."""
    for number in range(KILLS):
        before = position(server)
        if number >= STRAIGHT and number % 3 == 2:
            eventually(lambda: server.readers("learn:"), "the learner runs")
            time.sleep(STEADY)
        elif number % 4:
            eventually(lambda before=before: position(server) > before, "the learner has gone on")  # type: ignore[misc]
        time.sleep(chance.uniform(0.0, 0.7))
        eventually(lambda: killed(server), "the learner runs, and is killed")


def killed(server: Server) -> bool:
    """Whether there was a learner's process to be killed."""
    try:
        os.kill(server.readers("learn:")[0], signal.SIGKILL)
    except (IndexError, ProcessLookupError):
        return False
    return True


def store(server: Server) -> Store:
    return Store(url_of(Settings(home=str(server.home))))


def position(server: Server) -> Position:
    with store(server).read() as connection:
        row = positions.get(connection, f"learn:{PHISH}")
    assert row is not None
    return row.position


def is_done(server: Server) -> bool:
    return not any(isinstance(event, Observed) for event in server.events(position(server)))


def model_of(server: Server) -> Any:
    """The model that is served."""
    with store(server).read() as connection:
        row = learners.newest(connection, PHISH)
    assert row is not None
    return pickle.loads(row.artefact)


def walked(server: Server) -> tuple[Any, int]:
    """The model after all labels of the journal, taught by nothing but a loop; and how many they were."""
    model, rows, told = preprocessing.StandardScaler() | linear_model.LogisticRegression(), {}, set()
    names = ROWS[0][0].keys()
    for entry in between(server.home / "journal", START, segments.end(server.home / "journal")):
        event = decode(entry)
        if isinstance(event, Predicted):
            rows[entry.address] = dict(zip(names, event.rows[0], strict=True))
        elif isinstance(event, Observed) and event.prediction is not None and event.prediction not in told:
            told.add(event.prediction)
            x = rows[parse_prediction_id(event.prediction)[0]]
            model.predict_proba_one(x)
            model.learn_one(x, event.value)
    return model, len(told)


def test_the_load_was_real(aftermath: Aftermath) -> None:
    """Labels came all the while, none was refused, and the journal was rotated."""
    assert len(aftermath.teller.labelled) > 50 * KILLS
    assert aftermath.teller.bad == []
    assert position(aftermath.server).segment > 1


def test_the_state_is_that_of_a_walk_along_the_journal(aftermath: Aftermath) -> None:
    """By a replay, and by a loop that shares no code with it: each label that was acknowledged once, and nothing was put aside."""
    expected, labels = walked(aftermath.server)
    replayed = aftermath.replayed
    assert labels == len(aftermath.teller.labelled) == replayed["labels"] == replayed["live"]["labels"]
    assert (replayed["equal"], replayed["reason"], replayed["quarantined"]) == (True, None, 0)
    assert replayed["fingerprint"] == fingerprint(expected) == fingerprint(model_of(aftermath.server))
    with store(aftermath.server).read() as connection:
        assert positions.aside(connection) == {}


def test_predictions_on_held_rows_are_equal(aftermath: Aftermath) -> None:
    """Of the live model as every worker serves it, of the replayed one, and of the walked one: bit for bit."""
    here = homes.open_existing(Settings(home=str(aftermath.server.home)))
    with here.store.read() as connection:
        row = registry.version_row(connection, registry.resolve(connection, aftermath.replayed["into"], "version"))
    replayed, (model, _) = load(known.decode_card(row.card), here.blobs.get), walked(aftermath.server)
    eventually(lambda: _serve_the_newest(aftermath.server), "every worker serves the newest snapshot")
    for x, _ in HELD:
        shares = {str(label): share for label, share in model.predict_proba_one(x).items()}
        assert replayed.predict([list(x.values())])[0].probabilities == shares
        assert aftermath.server.predict("mail", x)["predictions"][0]["probabilities"] == shares


def _serve_the_newest(server: Server) -> bool:
    found = server.get("/v1/models/phish/learner")
    return set(found["workers"].values()) == {found["snapshot"]}
