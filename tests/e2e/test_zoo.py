"""Every estimator of the zoo, registered and asked over HTTP, answers what scikit-learn itself does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.settings import Settings
from flows import deploy, register
from flows.deploy import ArmSpec, Order
from routing.changes import Who
from server import home as homes
from tests.e2e.real_server import Client, Server
from tests.models.boosters.answers import ANSWERS, DATA, FOLDER, TARGETS
from tests.models.model_zoo import CASES, F32, answers, rows
from tests.models.registering import save
from tests.models.zoo_data import data

TOGETHER = 20
ALONE = 3
FILES = ("labels.json", "codes.ubj", "categories.txt", "classes.txt", "targets.ubj")
"""Files of trees: with missing values, with codes and with texts of categories, of several classes, of several outputs."""


def home_with(folder: Path) -> homes.Home:
    """A home in which each case and each file has a model and an endpoint of its name."""
    home = homes.create(Settings(home=str(folder / "home")))
    for name in CASES:
        saved = save(name, folder)
        _serve(home, name, saved.path, saved.sample, saved.asked)
    for file in FILES:
        data(DATA[file]).features.to_csv(folder / "rows.csv", index=False)
        _serve(home, file.replace(".", "-"), FOLDER / file, folder / "rows.csv", {"output": TARGETS.get(file)})
    return home


def _serve(home: homes.Home, name: str, path: Path, sample: Path, asked: dict[str, Any]) -> None:
    who = Who("test", time.time(), "zoo")
    version = register.register(home.store, home.blobs, name, path, who, sample=sample, **asked)
    deploy.create(home.place, name, {"control": ArmSpec(str(version), 1.0)}, {}, 1.0, "salt", Order(who))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of them all."""
    made = Server(home_with(tmp_path_factory.mktemp("zoo")).path).start()
    yield made
    made.stop()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A connection to it."""
    with server.client() as made:
        yield made


def posted(client: Client, endpoint: str, asked: list[list[object]], names: list[str]) -> list[dict[str, object]]:
    """The answers to rows as a batch of lists, and to the first of them alone by name, which must be the same."""
    path = f"/v1/endpoints/{endpoint}/predict"
    reply = client.request("POST", path, {"instances": asked})
    assert reply.status == 200, reply
    together = reply.json["predictions"]
    for row, expected in zip(asked[:ALONE], together, strict=False):
        alone = client.request("POST", path, {"features": dict(zip(names, row, strict=True))})
        assert alone.status == 200, alone
        [answer] = alone.json["predictions"]
        for key in ("label", "value", "probabilities"):
            same = pytest.approx(expected[key], rel=1e-6, abs=1e-6) if type(expected.get(key)) in (float, dict) else expected.get(key)
            assert answer.get(key) == same
    return together


@pytest.mark.parametrize("name", CASES)
def test_online_answers_are_those_of_scikit_learn(name, client):
    """Labels are equal; values and probabilities agree within 1e-9, or 1e-4 where some step is in float32; missing values are null."""
    expected, tolerance = answers(name), 1e-4 if CASES[name].form == F32 else 1e-9
    found = posted(client, name, rows(name)[:TOGETHER], list(map(str, data(CASES[name].data).features)))
    if "value" in found[0]:
        np.testing.assert_allclose([one["value"] for one in found], expected.answers[:TOGETHER], rtol=1e-9, atol=tolerance)
        return
    assert [one["label"] for one in found] == expected.answers[:TOGETHER]
    assert ("probabilities" in found[0]) == (expected.probabilities is not None)
    if expected.probabilities is not None:
        shares = [list(one["probabilities"].values()) for one in found]
        np.testing.assert_allclose(shares, expected.probabilities[:TOGETHER], rtol=0, atol=tolerance)


@pytest.mark.parametrize("file", FILES)
def test_online_answers_are_those_of_the_library(file, client):
    """Of XGBoost within 2e-6, of LightGBM within 1e-9, though neither is installed."""
    features = data(DATA[file]).features.head(TOGETHER)
    asked = features.astype(object).where(features.notna(), None).to_numpy().tolist()
    found = posted(client, file.replace(".", "-"), asked, list(map(str, features)))
    expected = np.array(ANSWERS[file][:TOGETHER])
    near = 1e-9 if file.endswith(".txt") else 2e-6
    if "value" in found[0]:
        np.testing.assert_allclose([one["value"] for one in found], expected[:, TARGETS[file]], rtol=near, atol=near)
        return
    shares = expected if expected.ndim == 2 else np.column_stack([1 - expected, expected])
    assert [one["label"] for one in found] == shares.argmax(axis=1).tolist()
    np.testing.assert_allclose([list(one["probabilities"].values()) for one in found], shares, rtol=0, atol=near)
