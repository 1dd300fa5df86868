"""Models and versions: what they are, what is said of them, and what happens to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from flask import Blueprint, Response, request
from msgspec import Meta

from core.errors import Invalid
from core.ids import VersionId, check_name, parse_version
from flows import learner, lifecycle
from flows.registry import describing, showing
from routing.changes import Who
from server.api import requests
from server.api.requests import answer, body, home, who
from server.home import clock
from store.engine import Store

blueprint = Blueprint("models", __name__, url_prefix="/v1/models")
blueprint.before_request(requests.admit)

Number = Annotated[int, Meta(ge=1, le=10**9)]
"""Of a version."""


class RestoreBody(msgspec.Struct, forbid_unknown_fields=True):
    """From which state the learner is to go on: `churn@17`, or 17; and of which version, where it is not the newest that learns."""

    to: str | Number
    version: Number | None = None


class LearnerBody(msgspec.Struct, forbid_unknown_fields=True):
    """Whose learner, where it is not that of the newest version that learns."""

    version: Number | None = None


class ReasonBody(msgspec.Struct, forbid_unknown_fields=True):
    """Only why."""

    reason: str = "by REST"


@blueprint.get("")
def list_models() -> Response:
    """A page of models, by name."""
    return answer(showing.list_models(home().store, requests.limit(), request.args.get("after", "")))


@blueprint.get("/<model>")
@blueprint.get("/<model>/versions")
def show_model(model: str) -> Response:
    """A model and a page of its versions, oldest first."""
    found = showing.show_model(home().store, model, requests.limit(), requests.number("after") or 0)
    return answer(found, headers={"ETag": f'"{found["revision"]}"'})


@blueprint.patch("/<model>")
def describe_model(model: str) -> Response:
    """Change what is said of a model: its description, its owner."""
    describing.describe_model(home().store, model, body(dict[str, Any]), who("by REST"), _revision())
    return show_model(model)


@blueprint.get("/<model>/versions/<version>")
def show_version(model: str, version: str) -> Response:
    """One version's card, and what happened to it; a number or an alias."""
    return _version(f"{model}@{version}")


@blueprint.get("/<model>/versions/<version>/events")
def show_events(model: str, version: str) -> Response:
    """What happened to a version, also to one that was deleted."""
    number = parse_version(f"{model}@{version}")
    return answer({"version": str(number), "events": showing.events_of(home().store, number)})


@blueprint.patch("/<model>/versions/<version>")
def describe_version(model: str, version: str) -> Response:
    """Change what is said of a version, by a JSON merge patch."""
    changes = body(dict[str, Any])
    return _version(str(describing.describe_version(home().store, f"{model}@{version}", lambda _: changes, who("by REST"), _revision())))


@blueprint.post("/<model>/versions/<version>/approve")
def approve(model: str, version: str) -> Response:
    """Say that a version may serve."""
    return _happened(lifecycle.approve, model, version)


@blueprint.post("/<model>/versions/<version>/withdraw")
def withdraw(model: str, version: str) -> Response:
    """Take all approvals back."""
    return _happened(lifecycle.withdraw, model, version)


@blueprint.post("/<model>/versions/<version>/retire")
def retire(model: str, version: str) -> Response:
    """Put a version out of use."""
    return _happened(lifecycle.retire, model, version)


@blueprint.post("/<model>/versions/<version>/restore")
def restore(model: str, version: str) -> Response:
    """Take a retirement back."""
    return _happened(lifecycle.restore, model, version)


@blueprint.delete("/<model>/versions/<version>")
def delete(model: str, version: str) -> Response:
    """Delete a version that nobody needs any more."""
    reason, retention = request.args.get("reason", "by REST"), home().settings.retention_seconds
    deleted = lifecycle.delete(home().store, home().blobs, f"{model}@{version}", who(reason), retention, _revision())
    return answer({"version": str(deleted), "deleted": True})


@blueprint.get("/<model>/learner")
def show_learner(model: str) -> Response:
    """How far a learner is, and how well it does."""
    text = request.args.get("version")
    if text is not None and not (text.isascii() and text.isdigit() and 0 < len(text) < 10):
        raise Invalid(f"version: expected the number of a version, got {text[:20]!r}", field="version")
    return answer(learner.show(home().store, home().journal, _learner(model, text), clock))


@blueprint.post("/<model>/learner/rollback")
def roll_learner_back(model: str) -> Response:
    """Let a learner go on from an earlier state."""
    given = body(RestoreBody)
    return answer(learner.rollback(home().store, home().journal, _learner(model, given.version), given.to, who("by REST")))


@blueprint.post("/<model>/learner/stop")
def stop_learner(model: str) -> Response:
    """Let a learner rest."""
    return answer(learner.stop(home().store, _learner(model, body(LearnerBody).version), who("by REST")))


@blueprint.post("/<model>/learner/start")
def start_learner(model: str) -> Response:
    """Let a learner go on."""
    return answer(learner.start(home().store, home().journal, _learner(model, body(LearnerBody).version), who("by REST")))


def _learner(model: str, version: int | str | None) -> str:
    check_name(model, "model")
    return model if version is None else f"{model}@{version}"


def _version(reference: str) -> Response:
    found = showing.show_version(home().store, reference)
    return answer(found, headers={"ETag": f'"{found["revision"]}"'})


def _happened(flow: Callable[[Store, str, Who, int | None], VersionId], model: str, version: str) -> Response:
    return _version(str(flow(home().store, f"{model}@{version}", who(body(ReasonBody).reason), _revision())))


def _revision() -> int | None:
    return requests.if_match("the number of a revision")
