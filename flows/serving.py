"""What a worker serves: the route of each endpoint, made from a plan and the loaded versions, swapped by one assignment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from core.errors import Conflict, NotFound, Unavailable
from core.ids import VersionId, parse_version
from models.features.serving import Filler, OpenView
from models.inputs import Inputs
from models.package import Loaded
from models.signature import Signature
from routing.breaker import DEFAULT_LIMITS, Breaker, Limits
from routing.plan import CONTROL, HOLDOUT, Plan
from routing.splitter import Splitter


class Pace:
    """Whether an arm's model is `slow`: it has lately taken longer than it should, or may at any time.

    It lately has where a moving mean of what its calls took too long is above 2 ms: one call that was held up by a busy machine is
    forgotten after a few that were not. At any time may one that is a pickle: that holds code of its own, which waits for whatever it
    likes, however fast it was when it was loaded. What hangs when the hub asks it hangs the hub.
    """

    __slots__ = ("_always", "_mean", "slow")

    def __init__(self, loaded: Loaded) -> None:
        self._always = loaded.card.format == "pickle"
        self._mean = 0.0
        self.slow = self._always

    def tell(self, late: float) -> None:
        """One more call, that took so many seconds longer than its rows should."""
        self._mean += ((late if late > 0.0 else 0.0) - self._mean) * _WEIGHT
        self.slow = self._always or self._mean > SLOW_SECONDS


class ArmRoute(NamedTuple):
    """One arm, ready to answer: its model, how its rows are cut from the endpoint's inputs (None: as they are), its own inputs.

    `breaker` and `pace` are what is remembered of how it answered: plans come and go, they stay as long as the arm has this version.
    """

    arm: str
    version: str
    loaded: Loaded
    columns: tuple[int, ...] | None
    inputs: Inputs
    breaker: Breaker
    pace: Pace


class Route(NamedTuple):
    """One endpoint by one plan. Immutable: a request that holds it finishes on it. What serves the units held out is an arm here too.

    `filler` is None where no feature view is declared.
    """

    plan: Plan
    splitter: Splitter
    inputs: Inputs
    arms: Mapping[str, ArmRoute]
    filler: Filler | None = None


SLOW_SECONDS = 0.002
"""A request that will take longer is answered in a native thread, so that it does not hold up the others."""

_WEIGHT = 0.05
"""Of the newest call in the mean that a model's pace is judged by."""


def inputs_of(plan: Plan, signature_of: Callable[[str], Signature]) -> Inputs:
    """What the endpoint accepts, and the order of every logged row.

    All that control, the arms with a weight and the holdout need; where it comes, what only a shadow or an arm of weight 0 needs: so a
    version with further features is added at 0, clients begin to send them, and then traffic is shifted, without one refused request.
    """
    asked = {name for name, arm in plan.arms.items() if name == CONTROL or arm.weight > 0}
    waiting = [arm.version for name, arm in plan.arms.items() if name not in asked]
    held = [] if plan.holdout is None else [plan.holdout.version]
    needed = [*(plan.arms[name].version for name in sorted(asked, key=lambda name: (name != CONTROL, name))), *held]
    return Inputs.union(
        [signature_of(version) for version in needed],
        [signature_of(version) for version in (*waiting, *(shadow.version for shadow in plan.shadows.values()))],
    )


def make_route(
    plan: Plan,
    get: Callable[[VersionId], Loaded],
    signature_of: Callable[[str], Signature],
    limits: Limits = DEFAULT_LIMITS,
    former: Route | None = None,
) -> Route:
    """The route of a plan whose arms' versions are all loaded, after the `former` one of the endpoint."""
    inputs = inputs_of(plan, signature_of)
    before = {} if former is None else former.arms
    versions = {name: arm.version for name, arm in plan.arms.items()} | ({} if plan.holdout is None else {HOLDOUT: plan.holdout.version})
    arms = {
        name: _arm_route(name, version, get(parse_version(version)), inputs, limits, before.get(name)) for name, version in versions.items()
    }
    return Route(plan, Splitter(plan), inputs, arms)


def _arm_route(name: str, version: str, loaded: Loaded, inputs: Inputs, limits: Limits, before: ArmRoute | None) -> ArmRoute:
    signature = loaded.card.signature
    if before is not None and before.version == version and before.loaded is loaded:
        breaker, pace = before.breaker, before.pace
    else:
        breaker, pace = Breaker(limits, has_fallback=name != CONTROL), Pace(loaded)
    return ArmRoute(name, version, loaded, inputs.columns(signature), Inputs.union([signature]), breaker, pace)


class Routes:
    """The routes of a worker. Readers take `by_endpoint` once per request; a swap replaces the whole mapping."""

    def __init__(self) -> None:
        self.by_endpoint: Mapping[str, Route] = {}
        self._views: Mapping[str, Sequence[OpenView]] = {}
        self._refused: frozenset[str] = frozenset()
        self.metrics: frozenset[str] = frozenset()
        """The metric names that experiments have declared: only these may become labels."""
        self.streams: frozenset[str] = frozenset()
        """The streams that feature views are computed from."""
        self.polled = False

    def adopt(self, route: Route) -> None:
        """Serve `route` from the next request on."""
        self.by_endpoint = {**self.by_endpoint, route.plan.endpoint: self._with_views(route)}
        self._refused -= {route.plan.endpoint}

    def show_views(self, views: Mapping[str, Sequence[OpenView]]) -> None:
        """Fill in from these views from the next request on, by endpoint: all of them at once."""
        self._views = views
        self.by_endpoint = {endpoint: self._with_views(route) for endpoint, route in self.by_endpoint.items()}

    def refuse(self, endpoint: str) -> None:
        """The endpoint exists, but its plan cannot be served here: what was served before goes on."""
        self._refused |= {endpoint}

    def _with_views(self, route: Route) -> Route:
        views = self._views.get(route.plan.endpoint)
        return route._replace(filler=Filler(views, route.inputs.names) if views else None)

    @property
    def ready(self) -> bool:
        """Whether every endpoint that exists is served."""
        return self.polled and not self._refused - set(self.by_endpoint)

    def of(self, endpoint: str) -> Route:
        """The endpoint's route; raises NotFound."""
        route = self.by_endpoint.get(endpoint)
        if route is None:
            if endpoint in self._refused or not self.polled:
                raise Unavailable(f"endpoint {endpoint!r} has no plan that can be served", code="not-ready")
            raise NotFound(f"no endpoint {endpoint[:100]!r}", field="endpoint", code="endpoint-not-found")
        return route

    def pinned(self, version: str) -> tuple[Route, str]:
        """A route and arm that serve `version`; raises Conflict where it is no arm's of a current plan."""
        for route in self.by_endpoint.values():
            for name, arm in route.arms.items():
                if arm.version == version:
                    return route, name
        raise Conflict(
            f"version {version[:100]} is no arm's of a current plan, so it is not loaded", field="version", code="version-not-loaded"
        )
