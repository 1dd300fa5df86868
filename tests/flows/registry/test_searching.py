"""Search over described versions: what is found, in which order, page by page."""

from __future__ import annotations

import random
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from core.errors import Invalid
from flows import deploy, lifecycle
from flows.deploy import ArmSpec
from flows.registry import pointing
from flows.registry.searching import search_versions
from tests.flows.flow_world import order
from tests.flows.registry.registry_world import DAY, Registry, by


@pytest.fixture
def described(registry: Registry) -> Registry:
    """Four versions of two models."""
    registry.add(
        description="A forest that finds card fraud",
        tags=("fraud", "two words"),
        owner="Ann",
        metrics={"auc": 0.91},
        parameters={"depth": 5},
    )
    registry.add(tags=("fraud",), metrics={"auc": 0.95, "f1": 0.5}, parameters={"depth": "5", "kernel": "rbf"}, parents=("credit@1",))
    registry.add(who=by("bob", 3 * DAY), commit="0D2ab48", licence="MIT", metrics={"auc": -1.0}, features=("Age", "x"))
    registry.add("prices", task="regression", who=by("bob (cli)", 5 * DAY), parameters={"depth": 10**400, "deep": True})
    return registry


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["credit@1", "credit@2", "credit@3", "prices@1"]),
        ("task:classification auc>0.9 tag:fraud", ["credit@1", "credit@2"]),
        ("auc>0.91", ["credit@2"]),
        ("auc>=0.91 -f1=0.5", ["credit@1"]),
        ("auc<0", ["credit@3"]),
        ("f1>0.9", []),
        ('tag:"Two Words"', ["credit@1"]),
        ("-tag:fraud", ["credit@3", "prices@1"]),
        ("param.depth=5", ["credit@1", "credit@2"]),
        ("param.depth>4", ["credit@1"]),
        ("param.deep=true", ["prices@1"]),
        ("param.deep=1", []),
        ("param.kernel:RBF", ["credit@2"]),
        ("owner:ann", ["credit@1"]),
        ("by:bob", ["credit@3"]),
        ('by:"bob (cli)"', ["prices@1"]),
        ("commit:0d2", ["credit@3"]),
        ("licence:mit runtime:onnx", ["credit@3"]),
        ("feature:age", ["credit@3"]),
        ("parent:credit@1", ["credit@2"]),
        ("model:prices", ["prices@1"]),
        ("registered>1970-01-02", ["credit@3", "prices@1"]),
        ("registered<=1970-01-04T00:00:00Z", ["credit@1", "credit@2", "credit@3"]),
        ("fore CARD", ["credit@1"]),
        ("words", ["credit@1"]),
        ("price", ["prices@1"]),
        ('-"fraud card"', ["credit@2", "credit@3", "prices@1"]),
        ("orest", []),
    ],
)
def test_what_is_found(described: Registry, text: str, found: list[str]) -> None:
    """Facts of each kind; several terms are and, a minus is not; words match by their beginnings."""
    assert described.search(text) == found


def test_states_and_aliases_are_found(described: Registry) -> None:
    """Each state finds the versions that show it, also as it changes; so does an alias."""
    described.add("served", task="regression")
    described.test(described.add("tested"), True)
    deploy.create(described.place, "e", {"control": ArmSpec("served@1", 1)}, {}, 1.0, "salt", order())
    lifecycle.approve(described.store, "credit@2", by("bob"))
    lifecycle.approve(described.store, "served@1", by("bob"))
    lifecycle.retire(described.store, "credit@3", by("bob"))
    pointing.set_alias(described.store, "credit@2", "champion", by("bob"))
    expected = {
        "registered": ["credit@1", "prices@1"],
        "tested": ["tested@1"],
        "approved": ["credit@2"],
        "serving": ["served@1"],
        "retired": ["credit@3"],
    }
    everything = described.search("")
    for state, found in expected.items():
        assert described.search(f"state:{state}") == found
        assert described.search(f"-state:{state}") == [each for each in everything if each not in found]
        shown = search_versions(described.store, f"state:{state} -model:m", "model", 9, None)["versions"]
        assert {each["state"] for each in shown} == {state}
    assert described.search("alias:champion") == ["credit@2"]


def test_what_is_shown(described: Registry) -> None:
    """Enough to choose by: state, aliases, task, runtime, and what is said."""
    pointing.set_alias(described.store, "credit@2", "champion", by("bob"))
    [shown] = search_versions(described.store, "f1>0", "model", 9, None)["versions"]
    assert shown == {
        "version": "credit@2",
        "state": "registered",
        "aliases": ["champion"],
        "at": "1970-01-01T00:00:00.000Z",
        "by": "ann",
        "revision": 1,
        "task": "classification",
        "runtime": "onnx",
        "about": {
            "tags": ["fraud"],
            "metrics": {"auc": 0.95, "f1": 0.5},
            "parameters": {"depth": "5", "kernel": "rbf"},
            "parents": ["credit@1"],
        },
    }


def test_order(described: Registry) -> None:
    """By time, by name, by a figure in both directions; a figure leaves out those that do not have it."""
    assert described.search("", "-registered")[:2] == ["prices@1", "credit@3"]
    assert described.search("", "-model") == ["prices@1", "credit@3", "credit@2", "credit@1"]
    assert described.search("", "-auc") == ["credit@2", "credit@1", "credit@3"]
    assert described.search("-tag:fraud", "auc") == ["credit@3"]
    assert described.search("", "param.depth") == ["credit@1"]


def pages(registry: Registry, text: str, sort: str, limit: int) -> list[str]:
    """All versions that are found, page by page, while another is registered after each."""
    found: list[str] = []
    after: str | None = None
    while True:
        page = search_versions(registry.store, text, sort, limit, after)
        assert len(page["versions"]) == limit or page["next"] is None
        found += [each["version"] for each in page["versions"]]
        after = page["next"]
        if after is None:
            return found
        registry.add("new", who=by("eve", 10_000.0), metrics={"auc": 0.5})


@pytest.mark.parametrize("sort", ["registered", "-registered", "model", "-model", "auc", "-auc"])
def test_pages(registry: Registry, sort: str) -> None:
    """All pages together are what one page would be: nothing twice, nothing left out, also with equal values and while others register."""
    rng = random.Random(3)
    for place in range(23):
        registry.add(rng.choice("abc"), who=by("ann", float(place // 4)), tags=("t",), metrics={"auc": rng.choice((0.1, 0.2, 0.3))})
    assert pages(registry, "tag:t", sort, 4) == registry.search("tag:t", sort)


@pytest.mark.parametrize(
    ("sort", "after"),
    [
        ("-registered", "no cursor"),
        ("-registered", "é"),
        ("-registered", ""),
        ("-registered", urlsafe_b64encode(b'[["registered",true],"x",["m",1]]').decode()),
        ("-registered", urlsafe_b64encode(b'[["registered",true],1e999,["m",1]]').decode()),
        ("-registered", urlsafe_b64encode(b'[["registered",true],1,["m",99999999999999999999]]').decode()),
        ("model", urlsafe_b64encode(b'[["model",false],3,["m",1]]').decode()),
        ("auc", urlsafe_b64encode(b'[["registered",true],1,["m",1]]').decode()),
    ],
)
def test_what_is_no_place(registry: Registry, sort: str, after: str) -> None:
    """What no page gave, or one of another order, is refused."""
    with pytest.raises(Invalid, match=r"^after: expected what the page before gave") as caught:
        search_versions(registry.store, "", sort, 5, after)
    assert caught.value.field == "after"


def test_against_all_by_hand(registry: Registry) -> None:
    """Random searches find what a look at every version finds, whether many have what is asked for or few."""
    rng = random.Random(7)
    said: dict[str, dict[str, Any]] = {}
    for _ in range(60):
        tags = tuple(tag for tag in "pqr" if rng.random() < 0.4)
        metrics = {name: round(rng.random(), 1) for name in ("auc", "f1") if rng.random() < 0.7}
        said[str(registry.add(rng.choice("ab"), tags=tags, metrics=metrics))] = {"tags": tags, "metrics": metrics}
    for _ in range(60):
        tag, name, bound, without = rng.choice("pqr"), rng.choice(("auc", "f1")), round(rng.random(), 1), rng.choice("pqr")
        found = registry.search(f"tag:{tag} {name}>={bound} -tag:{without}")
        expected = [
            version
            for version, about in said.items()
            if tag in about["tags"] and without not in about["tags"] and about["metrics"].get(name, -1.0) >= bound
        ]
        assert sorted(found) == sorted(expected)
