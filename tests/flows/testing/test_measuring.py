"""Latency and memory in processes of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from core.ids import VersionId
from flows import known
from flows.testing import child, measuring
from flows.testing.child import CALLS, Entrant, Order
from store import registry
from tests.flows.testing.testing_world import World, sets


def entrant(world: World, number: int) -> Entrant:
    """A version of `cancer` with some of its rows."""
    with world.home.store.read() as connection:
        card = known.decode_card(registry.version_row(connection, VersionId("cancer", number)).card)
    return Entrant(card, sets().cancer[1][list(card.signature.names)].head(50).to_numpy().tolist())


def test_two_versions(world: World) -> None:
    """Quantiles of as many calls as are promised, in ascending order; the ratio's interval holds it; memory is no less than nothing."""
    found = measuring.measure(world.home.blobs_path, [entrant(world, 1), entrant(world, 2)], 0.05, np.random.default_rng(0))
    latency, memory = found["latency"], found["memory"]
    for one in (latency, latency["other"]):
        assert one["calls"] == CALLS
        assert 0.0 < one["p50_ms"] <= one["p95_ms"] <= one["p99_ms"] < 1000.0
        assert one["rows_per_second"] > 100.0
    assert latency["ratio"]["lower"] <= latency["ratio"]["value"] <= latency["ratio"]["upper"]
    assert latency["ratio"]["value"] == pytest.approx(latency["p50_ms"] / latency["other"]["p50_ms"])
    assert 0 <= memory["peak_bytes"] < 300e6
    assert 0 <= memory["other_peak_bytes"] < 300e6


def test_memory_is_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What loading takes for a moment is in the peak, though it is free again at the end."""
    load = child.load

    def greedy(*arguments: Any) -> Any:
        bytearray(200_000_000)
        return load(*arguments)

    monkeypatch.setattr(child, "load", greedy)
    monkeypatch.setattr(child, "CALLS", 3)
    found = child.measure(Order(str(world.home.blobs_path), [entrant(world, 1)]))
    assert found.peak_bytes is not None
    assert 190e6 < found.peak_bytes < 400e6
    assert len(found.seconds[0]) == 3


def test_a_process_that_fails(world: World) -> None:
    """Its last words are told, and nothing is made up."""
    broken = entrant(world, 1)
    broken = Entrant(replace(broken.card, blobs={"artefact": "0" * 64}), broken.rows)
    found = measuring.measure(world.home.blobs_path, [broken], 0.05, np.random.default_rng(0))
    assert (found["latency"], found["memory"]) == (None, None)
    assert "the process that measures failed: core.errors.Rejected: the artefact 000000000000 cannot be read" in found["failed"]


def test_a_slow_model_is_measured_on_fewer_calls(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time is up, but on twenty at least."""
    monkeypatch.setattr(child, "MOST_SECONDS", 0.0)
    assert len(child.measure(Order(str(world.home.blobs_path), [entrant(world, 1)])).seconds[0]) == child.FEWEST_CALLS
