"""An experiment with metrics of every kind on a real server: each figure is what the posted outcomes say, computed once more by hand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest

from core.clock import from_rfc3339
from experiments.methods import covariate, joint
from experiments.methods.quantile import of as quantile_of
from tests.e2e.real_server import Server, Worlds, eventually

UNITS = 1300
LOOK = 4.0
WINDOW = 4 * LOOK
"""Seconds in which what comes of a batch of units is posted, on a busy machine too."""
BATCH, LAST = 130, 40
CAP = 60.0
SHORT = 0.5
METRICS: list[dict[str, Any]] = [
    {"name": "revenue", "cap": CAP, "covariate": "champion_score"},
    {"name": "bought", "kind": "binary", "outcome": "revenue"},
    {"name": "click_rate", "kind": "ratio", "outcome": "clicks", "denominator": "views"},
    {"name": "revenue_per_request", "kind": "ratio", "outcome": "revenue", "denominator": "predictions", "role": "info"},
    {"name": "wait90", "kind": "quantile", "quantile": 0.9, "outcome": "wait", "direction": "decrease", "role": "guardrail", "margin": 5.0},
    {"name": "model_latency", "kind": "quantile", "quantile": 0.5, "source": "latency", "role": "info", "direction": "decrease"},
    {"name": "error", "kind": "label_loss", "loss": "squared", "direction": "decrease", "role": "info"},
    {"name": "loyal", "covariate": "earlier", "estimator": "lin", "role": "info"},
    {"name": "spend", "outcome": "revenue", "cap_percentile": 95.0, "role": "info"},
    {"name": "early_clicks", "kind": "count", "outcome": "clicks", "window_seconds": SHORT, "role": "info"},
]


class Unit(NamedTuple):
    """What a unit did: its arm and its first request's answer, then everything that was posted for it."""

    arm: str
    row: dict[str, float]
    prediction: str
    value: float
    requests: int
    revenue: float
    clicks: int
    views: int
    waits: list[float]
    label: float | None
    before: float
    loyal: float
    country: str


class World(NamedTuple):
    """The server after the experiment, its report, and what each unit did."""

    server: Server
    report: Any
    units: dict[str, Unit]

    def of(self, arm: str) -> list[Unit]:
        return [unit for unit in self.units.values() if unit.arm == arm]


@pytest.fixture(scope="module")
def world(worlds: Worlds, rows: list[dict[str, float]]) -> World:
    """A whole experiment: metrics declared, a history, requests in two contexts, outcomes, some looks."""
    server = worlds.server().start()
    # The salt deals the units out: left to chance, one deal in a thousand or so would alarm a check.
    server.create("credit", {"control": ("dia@1", 1), "treatment": ("dia@2", 0)}, salt="verdict")
    for metric in METRICS:
        server.post("/v1/endpoints/credit/metrics", metric, 201)
    rng = np.random.default_rng(7)
    before = {f"u{i}": float(rng.gamma(2.0, 5.0)) for i in range(UNITS)}
    post(server, [{"endpoint": "credit", "unit": unit, "metric": "loyal", "value": value} for unit, value in before.items()])
    server.caught_up("credit")
    assert server.put("/v1/endpoints/credit/traffic?wait=20s", {"weights": {"control": 1, "treatment": 1}})["applied"]
    design = {"mde": 0.2, "relative": True, "window_seconds": WINDOW, "look_every_seconds": LOOK, "slices": ["country", "sex"]}
    body = {"experiment": "e1", "endpoint": "credit", "design": design}
    assert server.post("/v1/experiments?wait=20s", body, 201)["applied"]
    units: dict[str, Unit] = {}
    names = list(before)
    with server.client() as client:
        for start in range(0, UNITS, BATCH):
            batch = names[start : start + BATCH]
            for number, name in enumerate(batch, start):
                if number == UNITS - LAST:
                    between_looks(server)
                units[name] = behave(client, name, rows[number % len(rows)], before[name], number, rng)
            time.sleep(SHORT)
            post(server, [each for name in batch for each in outcomes(name, units[name])])
    eventually(lambda: server.report("e1")["excluded"]["immature"] == 0, "all units have matured")
    waits = sum(len(unit.waits) for unit in units.values())
    eventually(lambda: server.report("e1")["metrics"]["wait90"]["values_scanned"] == waits, "a look at all of them")
    server.post("/v1/experiments/e1/stop", {})
    server.caught_up("credit")
    return World(server, server.report("e1"), units)


def between_looks(server: Server) -> None:
    """Wait until the next look is some time away, and so it is when a unit of now matures.

    All values are read again only when 2 % more units have matured: a look that saw nearly all units would be the last that reads them.
    """
    started = from_rfc3339(server.get("/v1/experiments/e1")["started"])
    eventually(lambda: 0.1 < (time.time() - started) % LOOK < 0.4 * LOOK, "no look is near")


def behave(client: Any, name: str, row: dict[str, float], before: float, number: int, rng: np.random.Generator) -> Unit:
    """One or two requests, and what will come of them."""
    country = "de" if number % 3 else "at"
    body = {"unit": name, "features": row, "context": {"country": country}}
    answer, *_ = [client.request("POST", "/v1/endpoints/credit/predict", body).json for _ in range(1 + number % 2)]
    better = 1.15 if answer["arm"] == "treatment" else 1.0
    value, clicks = answer["predictions"][0]["value"], int(rng.poisson(1.5))
    return Unit(
        arm=answer["arm"],
        row=row,
        prediction=answer["prediction_id"],
        value=value,
        requests=1 + number % 2,
        revenue=float(rng.exponential(30.0) * better) if rng.random() < 0.6 else 0.0,
        clicks=clicks,
        views=clicks + int(rng.poisson(2.0)),
        waits=[float(wait) for wait in rng.gamma(4.0, 10.0, 1 + number % 3)],
        label=value + float(rng.normal(0.0, 3.0)) if number % 4 else None,
        before=before,
        loyal=before + float(rng.normal(0.0, 1.0)),
        country=country,
    )


def outcomes(name: str, unit: Unit) -> list[dict[str, Any]]:
    """The posts that say what a unit did."""
    values = [("revenue", unit.revenue)] if unit.revenue else []
    values += [("clicks", unit.clicks), ("views", unit.views), ("loyal", unit.loyal), *(("wait", wait) for wait in unit.waits)]
    label = [] if unit.label is None else [{"prediction_id": unit.prediction, "metric": "label", "value": unit.label}]
    return [*({"endpoint": "credit", "unit": name, "metric": metric, "value": value} for metric, value in values), *label]


def post(server: Server, found: list[dict[str, Any]]) -> None:
    for start in range(0, len(found), 1000):
        server.post("/v1/outcomes", found[start : start + 1000], 202)


def difference(world: World, metric: str) -> Any:
    return world.report["metrics"][metric]["differences"]["treatment"]


def welch(control: list[float], treatment: list[float]) -> tuple[float, float]:
    """The difference of means and its standard error."""
    sides = [np.array(side) for side in (control, treatment)]
    return float(sides[1].mean() - sides[0].mean()), float(np.sqrt(sum(side.var(ddof=1) / len(side) for side in sides)))


def same(found: Mapping[str, Any], estimate: float, se: float) -> None:
    """The fixed-horizon figures, which have the plain standard error."""
    assert found["fixed"]["estimate"] == pytest.approx(estimate, rel=1e-9, abs=1e-9)
    assert found["fixed"]["se"] == pytest.approx(se, rel=1e-9)


def test_all_is_counted(world: World) -> None:
    """Every unit has matured, and every outcome is in one figure."""
    posted = sum(len(outcomes(name, unit)) for name, unit in world.units.items())
    assert {arm: counts["matured"] for arm, counts in world.report["arms"].items()} == {
        arm: len(world.of(arm)) for arm in ("control", "treatment")
    }
    told = world.report["outcomes"]
    assert sum(told.values()) == told["counted"] == posted


def test_binary(world: World) -> None:
    """Whether a unit brought anything."""
    sides = [[float(unit.revenue > 0) for unit in world.of(arm)] for arm in ("control", "treatment")]
    same(difference(world, "bought"), *welch(*sides))


def test_capped_and_adjusted(world: World) -> None:
    """Revenue up to the cap, adjusted by what the champion says of the unit's first request (CUPED), whichever arm answered."""
    champion = champions(world)
    pairs = [
        joint.of([min(unit.revenue, CAP) for unit in world.of(arm)], [champion[id(unit)] for unit in world.of(arm)])
        for arm in ("control", "treatment")
    ]
    expected = covariate.cuped(*pairs)
    same(difference(world, "revenue"), expected.estimate, expected.se)
    assert world.report["metrics"]["revenue"]["cap"] == {"value": CAP, "source": "declared"}
    assert 0.0 <= world.report["metrics"]["revenue"]["covariate"]["variance_explained"] < 0.2


def champions(world: World) -> dict[int, float]:
    """What control's version answers: for units of control what they were told, for others what the same row was told there."""
    known = {tuple(unit.row.values()): unit.value for unit in world.of("control")}
    found = {}
    for unit in world.units.values():
        key = tuple(unit.row.values())
        if unit.arm == "control" or key in known:
            found[id(unit)] = known[key]
        else:
            body = {"inputs": [{"name": name, "datatype": "FP64", "shape": [1], "data": [value]} for name, value in unit.row.items()]}
            found[id(unit)] = world.server.post("/v2/models/dia/versions/1/infer", body)["outputs"][0]["data"][0]
    return found


def test_earlier_outcomes_as_covariate(world: World) -> None:
    """What a unit brought before its entry explains most of what it brings, by Lin's regression."""
    pairs = [joint.of([unit.loyal for unit in world.of(arm)], [unit.before for unit in world.of(arm)]) for arm in ("control", "treatment")]
    same(difference(world, "loyal"), *covariate.lin(*pairs))
    assert world.report["metrics"]["loyal"]["covariate"]["variance_explained"] > 0.95


def test_ratios(world: World) -> None:
    """Clicks per view, and revenue per request, over all of an arm."""
    for metric, parts in (
        ("click_rate", lambda unit: (unit.clicks, unit.views)),
        ("revenue_per_request", lambda unit: (unit.revenue, unit.requests)),
    ):
        arms = world.report["metrics"][metric]["arms"]
        for arm in ("control", "treatment"):
            above, below = np.array([parts(unit) for unit in world.of(arm)], dtype=float).T
            assert arms[arm]["mean"] == pytest.approx(above.sum() / below.sum(), rel=1e-9)


def test_quantiles(world: World) -> None:
    """The 90th percentile of all waits with its clustered standard error, and the median latency of the model."""
    found = []
    for arm in ("control", "treatment"):
        units = world.of(arm)
        waits = [wait for unit in units for wait in unit.waits]
        owners = [number for number, unit in enumerate(units) for _ in unit.waits]
        found.append(quantile_of(np.array(waits), np.array(owners), 0.9))
    se = np.sqrt(sum(side.variance / side.n for side in found))
    same(difference(world, "wait90"), found[1].mean - found[0].mean, float(se))
    assert world.report["metrics"]["wait90"]["values_scanned"] == sum(len(unit.waits) for unit in world.units.values())
    assert 0.0 < world.report["metrics"]["model_latency"]["arms"]["control"]["mean"] < 0.1


def test_label_loss(world: World) -> None:
    """The server's own squared errors of labelled units; the others are left out, and that as many are in each arm is checked."""
    sides = [[(unit.value - unit.label) ** 2 for unit in world.of(arm) if unit.label is not None] for arm in ("control", "treatment")]
    same(difference(world, "error"), *welch(*sides))
    [check] = [check for check in world.report["checks"] if check["name"] == "missing_outcomes/error"]
    assert check["status"] == "ok"


def test_a_cap_from_the_data(world: World) -> None:
    """The cap is a percentile of all arms together; everything above counts as it."""
    cap = world.report["metrics"]["spend"]["cap"]
    assert cap["n"] >= 100
    sides = [[min(unit.revenue, cap["value"]) for unit in world.of(arm)] for arm in ("control", "treatment")]
    same(difference(world, "spend"), *welch(*sides))
    assert 50.0 < cap["value"] < 200.0


def test_a_window_of_its_own(world: World) -> None:
    """A metric with a shorter window is analysed by it: nothing was posted within half a second."""
    arms = world.report["metrics"]["early_clicks"]["arms"]
    assert {arm: figures["units"] for arm, figures in arms.items()} == {arm: len(world.of(arm)) for arm in arms}
    assert {figures["sum"] for figures in arms.values()} == {0.0}


def test_slices(world: World) -> None:
    """The context's countries, and a feature, each unit in one part; adjusted p values are no smaller."""
    countries = world.report["slices"]["country"]
    assert set(countries) == {"de", "at"}
    for country, metrics in countries.items():
        sides = [[float(unit.revenue > 0) for unit in world.of(arm) if unit.country == country] for arm in ("control", "treatment")]
        cell = metrics["bought"]["treatment"]
        assert (cell["estimate"], cell["se"]) == pytest.approx(welch(*sides), rel=1e-9)
        assert cell["units"] == {"control": len(sides[0]), "treatment": len(sides[1])}
        assert cell["p_value"] <= cell["adjusted"] <= 1.0
    assert len(world.report["slices"]["sex"]) == 2


def test_it_can_be_recomputed(world: World) -> None:
    """From the journal alone the same report comes out."""
    found = world.server.cli("experiment", "recompute", "e1")
    assert (found["same"], found["differences"]) == (True, [])
    assert found["events"] > 3 * UNITS


def test_it_can_be_read(world: World) -> None:
    """The terminal's report names every metric, slice and check; the sequence of looks is a picture."""
    text = world.server.cli_text("experiment", "report", "e1")
    for expected in (*(metric["name"] for metric in METRICS), "slice country", "covariate_balance/revenue", "propensities"):
        assert expected in text
    picture = world.server.home.parent / "e1.svg"
    world.server.cli_text("experiment", "plot", "e1", "-o", picture)
    assert "<svg" in picture.read_text()[:1000]
