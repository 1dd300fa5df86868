"""Health, readiness and metrics, open to all; and the parts of the V2 protocol that tell rather than infer."""

from __future__ import annotations

from importlib.metadata import version as package_version
from typing import Any, cast

from flask import Blueprint, Response, current_app

from flows.serving import Routes
from models.card import Card
from server.api.requests import answer, home
from server.metrics.collect import StoreCollector
from server.metrics.scrape import CONTENT_TYPE, scrape

blueprint = Blueprint("health", __name__)

_DATATYPE = {"float": "FP64", "int": "INT64", "bool": "BOOL", "str": "BYTES"}


@blueprint.get("/healthz")
@blueprint.get("/v2/health/live")
def live() -> Response:
    """This process answers."""
    return answer({"live": True})


@blueprint.get("/readyz")
@blueprint.get("/v2/health/ready")
def ready() -> Response:
    """Every endpoint is served here."""
    ready = _routes().ready
    return answer({"ready": ready}, 200 if ready else 503)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Prometheus text."""
    here = home()
    return Response(scrape(here.metrics, [StoreCollector(here)]), content_type=CONTENT_TYPE)


@blueprint.get("/v2")
def server() -> Response:
    """The server's metadata."""
    return answer({"name": "tiltyard", "version": package_version("tiltyard"), "extensions": []})


@blueprint.post("/v2/repository/index")
def index() -> Response:
    """Every endpoint, and every version that is loaded here."""
    found: list[dict[str, Any]] = []
    for endpoint, route in _routes().by_endpoint.items():
        found.append({"name": endpoint, "state": "READY", "reason": ""})
        for version in sorted(route.plan.versions):
            model, _, number = version.rpartition("@")
            found.append({"name": model, "version": number, "state": "READY", "reason": ""})
    return answer(found)


@blueprint.get("/v2/models/<model>")
@blueprint.get("/v2/models/<model>/versions/<version>")
def model_metadata(model: str, version: str | None = None) -> Response:
    """Inputs and outputs of an endpoint, or of a loaded version."""
    names, versions, card = _find(model, version)
    return answer(
        {
            "name": model,
            "versions": versions,
            "platform": "tiltyard",
            "inputs": [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in names],
            "outputs": _outputs(card),
        }
    )


@blueprint.get("/v2/models/<model>/ready")
@blueprint.get("/v2/models/<model>/versions/<version>/ready")
def model_ready(model: str, version: str | None = None) -> Response:
    """Whether it can be asked."""
    _find(model, version)
    return answer({"name": model, "ready": True})


def _find(model: str, version: str | None) -> tuple[list[tuple[str, str]], list[str], Card]:
    routes = _routes()
    if version is None:
        route = routes.of(model)
        control = route.arms["control"]
        kinds = {feature.name: feature.kind for arm in route.arms.values() for feature in arm.loaded.card.signature.features}
        names = [(name, _DATATYPE[kinds.get(name, "str")]) for name in route.inputs.names]
        return names, sorted(each.rpartition("@")[2] for each in route.plan.versions), control.loaded.card
    route, arm = routes.pinned(f"{model}@{version}")
    card = route.arms[arm].loaded.card
    return [(feature.name, _DATATYPE[feature.kind]) for feature in card.signature.features], [version], card


def _outputs(card: Card) -> list[dict[str, Any]]:
    if card.task != "classification":
        return [{"name": "value", "datatype": "FP64", "shape": [-1]}]
    classes = card.signature.classes
    shape = [-1, -1 if classes is None and card.river else len(classes or ())]  # a River model may yet meet new labels
    label: dict[str, Any] = {"name": "label", "datatype": _label_type(card), "shape": [-1]}
    if classes is not None:
        label["parameters"] = {"classes": classes}
    return [label, {"name": "probabilities", "datatype": "FP64", "shape": shape}]


def _label_type(card: Card) -> str:
    """Of the first class; of the target column where classes are not known before."""
    if card.river is not None:
        return _DATATYPE[card.river.label or "str"]
    classes = card.signature.classes or ("",)
    return {bool: "BOOL", int: "INT64", float: "FP64"}.get(type(classes[0]), "BYTES")


def _routes() -> Routes:
    return cast(Routes, current_app.extensions["tiltyard-routes"])
