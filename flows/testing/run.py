"""Run a batch test: load the versions → ask them all rows → figures, behaviour, cost → checks → keep it with the version."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from hashlib import file_digest, sha256
from importlib.metadata import version as release_of
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from core.errors import Invalid
from core.ids import VersionId
from core.values import Label
from experiments.batch import report as reports
from experiments.batch import slices, suite
from experiments.batch.answers import Answers, Labelled
from experiments.batch.bootstrap import RESAMPLES
from experiments.batch.checks import Check, Found, checks, verdict
from experiments.batch.figures import Asking, Figure
from experiments.batch.suite import Suite
from experiments.losses import same
from flows import adopt
from flows.batch_tests import whole
from flows.testing import asking, behaving
from flows.testing.asking import Contestant, Gathered, Wanted
from flows.testing.child import Entrant
from flows.testing.measuring import measure
from models.remote.servers import NONE, Remotes
from models.runtime import BATCH
from routing.changes import Who
from store import audit, batch_tests, registry, version_facts
from store.blobs import Blobs
from store.engine import Store

CHAMPION = "champion"
PACKAGES = ("tiltyard", "numpy", "scipy", "scikit-learn", "onnxruntime", "river")


class Order(NamedTuple):
    """What to test on what. `target`: the column of true values, else the one that the version was registered with.

    `suite_bytes` is the suite's file as it was read, None without one. `against`: the version to compare with, where the suite names none.
    """

    version: str
    data: Path
    target: str | None = None
    suite: Suite = suite.EMPTY
    suite_file: str | None = None
    suite_bytes: bytes | None = None
    against: str | None = None
    seed: int = 0


class Home(NamedTuple):
    """Where versions are kept; `blobs_path` is the directory of `blobs`, `remotes` are the servers that models may be on."""

    store: Store
    blobs: Blobs
    blobs_path: Path
    remotes: Remotes = NONE


def run(home: Home, order: Order, who: Who) -> dict[str, Any]:
    """The test as it is kept with the version and shown: see `docs/testing.md` for its keys.

    Raises NotFound for a version, Invalid or Malformed where the data or the suite will not do (naming row and column), Rejected and
    ModelFailed where a version cannot be loaded or fails on a row. Then nothing is kept.
    """
    rng = np.random.default_rng(order.seed)
    version, other = _versions(home.store, order)
    contestants = _contestants(home, version, other)
    target = order.target or contestants[0].loaded.card.signature.target
    if target is None:
        raise Invalid("target: expected the column of true values: the version was registered without one", field="target")
    behaving.check_features(contestants[0], order.suite)
    digest = _digest(order.data)
    gathered = asking.ask(contestants, Wanted(order.data, target, order.suite.slices), rng)
    ask = Asking(order.suite.alpha, RESAMPLES, rng)
    made, document = _found(home, contestants, order.suite, gathered, ask)
    body = {
        "task": contestants[0].loaded.card.task,
        "data": {"file": order.data.name, "sha256": digest, "target": target, **_counts(gathered)},
        "suite": _suite(order),
        "settings": {"alpha": order.suite.alpha, "resamples": RESAMPLES, "seed": order.seed},
        "against": None if other is None else str(other),
        "checks": [one._asdict() for one in made],
        **document,
        "software": {"python": platform.python_version(), **{name: release_of(name) for name in PACKAGES}},
    }
    return _keep(home.store, version, verdict(made), body, who)


def _contestants(home: Home, version: VersionId, other: VersionId | None) -> list[Contestant]:
    load = adopt.loader(home.store, home.blobs, home.remotes)
    found = [asking.contestant(str(each), load(each)) for each in (version, other) if each is not None]
    if len(found) > 1 and found[0].classifies != found[1].classifies:
        said = [f"{one.name} answers {'labels' if one.classifies else 'values'}" for one in found]
        raise Invalid(f"against: {said[1]} and {said[0]}: they cannot be compared", field="against")
    return found


def _found(
    home: Home, contestants: Sequence[Contestant], asked: Suite, gathered: Gathered, ask: Asking
) -> tuple[list[Check], dict[str, Any]]:
    """The checks with their outcomes, and all figures."""
    answers, positive = _with_positive(gathered, asked.positive)
    cuts = [slices.cut(name, values) for name, values in gathered.slices.items()]
    found = reports.report(answers[0], cuts, answers[1] if len(answers) > 1 else None, ask)
    behaviour = behaving.behaviour(contestants[0], gathered.samples[0], asked, positive, ask)
    entrants = [Entrant(one.loaded.card, rows[:BATCH]) for one, rows in zip(contestants, gathered.samples, strict=True)]
    cost = measure(home.blobs_path, entrants, ask.alpha, ask.rng)
    made = checks(asked, Found(found.metrics, found.slices, found.comparison, behaviour, cost["latency"], cost["memory"]))
    document = {**found.document, "behaviour": behaviour, "latency": cost["latency"], "memory": cost["memory"]}
    return made, {**document, "notes": [*reports.NOTES, *_notes(contestants[0], gathered, cost.get("failed"))]}


def _counts(gathered: Gathered) -> dict[str, Any]:
    tested = gathered.rows - gathered.unlabelled - gathered.unanswered
    left_out = {"unlabelled": gathered.unlabelled, "unanswered": gathered.unanswered}
    return {"rows": gathered.rows, "tested": tested, **left_out, "unseen": gathered.unseen}


def _versions(store: Store, order: Order) -> tuple[VersionId, VersionId | None]:
    """The version under test, and the one to compare with: as ordered, else the champion where that is another version."""
    wanted = [name for name in (order.against, suite.other(order.suite)) if name is not None]
    with store.read() as connection:
        version = registry.resolve(connection, order.version, "version")
        named = {registry.resolve(connection, _reference(name, version), "against") for name in wanted}
        if len(named) > 1:
            raise Invalid(f"against: got {wanted[0]}, while the suite compares with {wanted[1]}", field="against")
        champion = {alias.version for alias in registry.list_aliases(connection, version.model) if alias.alias == CHAMPION}
    return version, next(iter(named or champion - {version}), None)


def _reference(name: str, version: VersionId) -> str:
    """`champion`, `@champion` and `2` are of the same model."""
    return name if "@" in name.lstrip("@") else f"{version.model}@{name.lstrip('@')}"


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Invalid(f"data: {path}: {error.strerror or error}", field="data") from None


def _with_positive(gathered: Gathered, wanted: Label | None) -> tuple[list[Answers], Label | None]:
    """The answers with the class that precision and recall are of; the last of two, unless one is named."""
    if not isinstance(gathered.answers[0], Labelled):
        if wanted is not None:
            raise Invalid("positive: the version answers values, and has no classes", field="positive")
        return gathered.answers, None
    place = gathered.answers[0].positive
    if wanted is not None:
        place = next((k for k, label in enumerate(gathered.labels) if same(label, wanted)), None)
        if place is None:
            raise Invalid(f"positive: expected one of {', '.join(map(str, gathered.labels))}, got {wanted!r}", field="positive")
    answers: list[Answers] = [each._replace(positive=place) if isinstance(each, Labelled) else each for each in gathered.answers]
    return answers, None if place is None else gathered.labels[place]


def _suite(order: Order) -> dict[str, Any]:
    digest = None if order.suite_bytes is None else sha256(order.suite_bytes).hexdigest()
    return {"file": order.suite_file, "sha256": digest, "asked": order.suite}


def _notes(one: Contestant, gathered: Gathered, failed: str | None) -> list[str]:
    notes = [] if failed is None else [f"Latency and memory were not measured: {failed}."]
    if one.loaded.card.learns:
        notes.append(f"{one.name} learns while it serves. It was tested as it was registered.")
    if gathered.unseen:
        told = ", ".join(f"{label!r} ({rows} rows)" for label, rows in gathered.unseen.items())
        notes.append(f"Labels that no version knows count as answered wrongly: {told}.")
    return notes


def _keep(store: Store, version: VersionId, passed: bool | None, body: dict[str, Any], who: Who) -> dict[str, Any]:
    encoded = msgspec.json.encode(body)
    with store.write() as connection:
        number = batch_tests.add(connection, version, who.at, who.by, passed, encoded)
        version_facts.replace_tested(connection, version, _figures(body))
        data = body["data"]
        audit.write(
            connection, who.at, who.by, "model.test", str(version), test=number, passed=passed, file=data["file"], sha256=data["sha256"]
        )
    return whole(batch_tests.BatchTestRow(number, version, who.at, who.by, passed, encoded))


def _figures(body: dict[str, Any]) -> dict[str, float]:
    """What the version is found by: the metrics that have a value."""
    figures: dict[str, Figure] = body["metrics"]
    return {name: figure.value for name, figure in figures.items() if figure.value is not None}
