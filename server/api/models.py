"""Models, versions and aliases."""

from __future__ import annotations

from typing import Annotated

import msgspec
from flask import Blueprint, Response, g, request
from msgspec import Meta

from core.errors import Invalid
from core.ids import VersionId, check_name
from flows import learner, register
from routing.changes import Who
from server.api import requests
from server.api.requests import answer, body, home
from server.home import clock
from store import registry

blueprint = Blueprint("models", __name__, url_prefix="/v1/models")
blueprint.before_request(requests.admit)

Number = Annotated[int, Meta(ge=1, le=10**9)]
"""Of a version."""


class AliasBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which version the alias is to name."""

    version: int


class RestoreBody(msgspec.Struct, forbid_unknown_fields=True):
    """From which state the learner is to go on: `churn@17`, or 17; and of which version, where it is not the newest that learns."""

    to: str | Number
    version: Number | None = None


class LearnerBody(msgspec.Struct, forbid_unknown_fields=True):
    """Whose learner, where it is not that of the newest version that learns."""

    version: Number | None = None


@blueprint.get("")
def list_models() -> Response:
    """Every model."""
    return answer({"models": register.list_models(home().store)})


@blueprint.get("/<model>")
@blueprint.get("/<model>/versions")
def show_model(model: str) -> Response:
    """A model and its versions."""
    return answer(register.show_model(home().store, model))


@blueprint.get("/<model>/versions/<version>")
def show_version(model: str, version: str) -> Response:
    """One version's card; a number or an alias."""
    return answer(register.show_version(home().store, f"{model}@{version}"))


@blueprint.get("/<model>/aliases/<alias>")
def show_alias(model: str, alias: str) -> Response:
    """The version that an alias names."""
    with home().store.read() as connection:
        version = registry.resolve(connection, f"{model}@{register.check_alias(alias)}", "alias")
    return answer({"alias": alias, "version": str(version)})


@blueprint.put("/<model>/aliases/<alias>")
def set_alias(model: str, alias: str) -> Response:
    """Move an alias; traffic stays where it is."""
    version = str(VersionId(model, body(AliasBody).version))
    moved = register.set_alias(home().store, version, alias, _who())
    return answer({"alias": alias, "version": str(moved)})


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
    return answer(learner.rollback(home().store, home().journal, _learner(model, given.version), given.to, _who()))


@blueprint.post("/<model>/learner/stop")
def stop_learner(model: str) -> Response:
    """Let a learner rest."""
    return answer(learner.stop(home().store, _learner(model, body(LearnerBody).version), _who()))


@blueprint.post("/<model>/learner/start")
def start_learner(model: str) -> Response:
    """Let a learner go on."""
    return answer(learner.start(home().store, home().journal, _learner(model, body(LearnerBody).version), _who()))


def _learner(model: str, version: int | str | None) -> str:
    check_name(model, "model")
    return model if version is None else f"{model}@{version}"


def _who() -> Who:
    return Who(g.actor, clock(), "by REST")
