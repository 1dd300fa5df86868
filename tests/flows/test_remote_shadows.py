"""A shadow that is named by its server and model is the version that was registered last of it; a remote arm waits in the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from core.errors import Invalid, NotFound
from core.ids import Address
from core.values import Output
from flows import deploy, known
from flows.deploy import ShadowSpec
from flows.predict import Ask, Means, Missed, predict
from flows.registry import adding
from flows.serving import make_route
from models.card import Card
from models.package import Loaded, Package
from routing import changes
from routing.changes import Who
from routing.plan import Arm, Shadow, public
from store.blobs import Blobs
from tests.flows.flow_world import ARMS, World, card, order
from tests.flows.serving_world import Sum


def of(remote: str) -> Card:
    """The card of a version that is there."""
    return replace(card(), format="remote", source=f"remote:{remote}")


@pytest.fixture
def staged(bare: World) -> World:
    """Versions of three remote models, one of them registered twice, under two names."""
    with bare.store.write() as connection:
        for at, (model, remote) in enumerate(
            [("m", "staging/credit"), ("n", "staging/credit"), ("m", "staging/credit@3"), ("n", "edge/credit"), ("n", "staging/credits")], 1
        ):
            adding.add(connection, Blobs(Path("none")), model, Package(of(remote), {}), "me", float(at))
    return bare


@pytest.mark.parametrize(
    ("remote", "version"), [("staging/credit", "n@1"), ("staging/credit@3", "m@6"), ("edge/credit", "n@2"), ("staging/credits", "n@3")]
)
def test_the_newest_version_that_is_there_is_taken(staged: World, remote: str, version: str) -> None:
    """Of whatever model; a version of the remote model is another remote. The plan shows it beside the version, and keeps it."""
    plan = deploy.create(staged.place, "credit", ARMS, {"next": ShadowSpec(f"remote:{remote}", 0.25)}, 1.0, "s", order())
    assert plan.shadows == {"next": Shadow(version, 0.25, remote)}
    assert public(plan)["shadows"] == {"next": {"version": version, "sample": 0.25, "remote": remote}}
    assert known.decode_plan(known.encode(plan)) == plan


def test_a_remote_version_by_its_own_name_shows_where_it_is_too(staged: World) -> None:
    """And what is not elsewhere shows nothing of the kind."""
    shadows = {"next": ShadowSpec("m@5"), "here": ShadowSpec("m@1")}
    plan = deploy.create(staged.place, "credit", ARMS, shadows, 1.0, "s", order())
    assert public(plan)["shadows"] == {
        "next": {"version": "m@5", "sample": 1.0, "remote": "staging/credit"},
        "here": {"version": "m@1", "sample": 1.0},
    }


def test_a_plan_that_names_no_remote_is_read_as_before() -> None:
    """Plans that were stored before there were any."""
    assert msgspec.json.decode(b'{"version": "m@1", "sample": 0.5}', type=Shadow) == Shadow("m@1", 0.5)


@pytest.mark.parametrize("remote", ["staging/other", "staging/credit@4", "other/credit"])
def test_what_is_not_registered_is_not_found_with_the_way_out(staged: World, remote: str) -> None:
    """The command that registers it; nothing is changed."""
    with pytest.raises(NotFound, match=f"tiltyard model register NAME remote:{remote} --sample FILE") as caught:
        deploy.create(staged.place, "credit", ARMS, {"next": ShadowSpec(f"remote:{remote}")}, 1.0, "s", order())
    assert (caught.value.field, caught.value.code) == ("shadows.next", "remote-not-registered")


@pytest.mark.parametrize("remote", ["", "credit", "http://10.0.0.7/credit", "staging/../credit"])
def test_what_is_no_remote_names_the_field(staged: World, remote: str) -> None:
    """An address is none."""
    with pytest.raises(Invalid) as caught:
        deploy.create(staged.place, "credit", ARMS, {"next": ShadowSpec(f"remote:{remote}")}, 1.0, "s", order())
    assert caught.value.field == "shadows.next"


@pytest.mark.parametrize(("found", "threads"), [(card(), 1), (of("staging/credit"), 0)], ids=["here", "remote"])
def test_what_waits_for_another_server_takes_no_thread(found: Card, threads: int) -> None:
    """A slow model computes in one of the few native threads; one that waits does so in the hub, where any number can."""
    plan = changes.create("credit", {"control": Arm("m@1", 1)}, {}, 1.0, "s", Who("me", 0.0, ""))
    route = make_route(plan, lambda _: Loaded(found, Sum(), 0.5), lambda _: found.signature)
    offloaded: list[Any] = []

    def offload(_version: str, work: Any, _seconds: float) -> Any:
        offloaded.append(work)
        return work()

    means = Means(lambda _: Address(1, 0, 7), lambda: 0.0, offload, Missed())
    assert predict(route, Ask("u", {"x": 2.0}, None), means).predictions == [Output(value=2.0)]
    assert len(offloaded) == threads
