"""Models, versions and aliases."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, g

from core.ids import VersionId
from flows import register
from routing.changes import Who
from server.api import requests
from server.api.requests import answer, body, home
from server.home import clock
from store import registry

blueprint = Blueprint("models", __name__, url_prefix="/v1/models")
blueprint.before_request(requests.admit)


class AliasBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which version the alias is to name."""

    version: int


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
    moved = register.set_alias(home().store, version, alias, Who(g.actor, clock(), "by REST"))
    return answer({"alias": alias, "version": str(moved)})
