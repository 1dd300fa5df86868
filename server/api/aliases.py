"""Aliases: which version each names, has named, and may name."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, request

from core.clock import from_rfc3339
from core.ids import VersionId
from flows.registry import pointing, rules
from server.api import requests
from server.api.requests import answer, body, home, who
from store.alias_rules import RuleRow

blueprint = Blueprint("aliases", __name__, url_prefix="/v1/models/<model>/aliases/<alias>")
blueprint.before_request(requests.admit)


class AliasBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which version the alias is to name."""

    version: int
    reason: str = "by REST"


class RuleBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a version must have before the alias may name it."""

    needs_test: bool = False
    needs_approval: bool = False
    by_another: bool = False
    reason: str = "by REST"


@blueprint.get("")
def show_alias(model: str, alias: str) -> Response:
    """The version that an alias names."""
    found = pointing.show_alias(home().store, model, alias)
    return answer(found, headers={"ETag": f'"{found["version"].partition("@")[2]}"'})


@blueprint.put("")
def set_alias(model: str, alias: str) -> Response:
    """Move an alias; traffic stays where it is."""
    given = body(AliasBody)
    moved = pointing.set_alias(home().store, str(VersionId(model, given.version)), alias, who(given.reason), _version())
    return answer({"alias": alias, "version": str(moved)}, headers={"ETag": f'"{moved.number}"'})


@blueprint.delete("")
def remove_alias(model: str, alias: str) -> Response:
    """Take an alias away."""
    pointing.remove_alias(home().store, model, alias, who(request.args.get("reason", "by REST")), _version())
    return answer({"alias": alias, "version": None})


@blueprint.get("/history")
def history(model: str, alias: str) -> Response:
    """Where an alias has pointed, newest first; with `at` what it named then."""
    at = request.args.get("at")
    if at is not None:
        return answer(pointing.named_at(home().store, model, alias, from_rfc3339(at, "at")))
    return answer(pointing.history(home().store, model, alias, requests.limit(), requests.number("before")))


@blueprint.get("/rule")
def show_rule(model: str, alias: str) -> Response:
    """What a version must have before the alias may name it."""
    return answer(rules.show_rule(home().store, model, alias))


@blueprint.put("/rule")
def set_rule(model: str, alias: str) -> Response:
    """Set the rule: for administrators, since whoever may move an alias could else take its rule away."""
    requests.admit("admin")
    given = body(RuleBody)
    rule = RuleRow(given.needs_test, given.needs_approval, given.by_another)
    return answer(rules.set_rule(home().store, model, alias, rule, who(given.reason)))


@blueprint.delete("/rule")
def drop_rule(model: str, alias: str) -> Response:
    """Let the alias name any version again."""
    requests.admit("admin")
    rules.drop_rule(home().store, model, alias, who(request.args.get("reason", "by REST")))
    return answer({"model": model, "alias": alias, "rule": None})


def _version() -> int | None:
    return requests.if_match("the number of the version that it names, 0 for none")
