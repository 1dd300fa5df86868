"""The registry over REST: versions, aliases, rules, search; conditions by ETag, errors by code and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from core.settings import Settings
from flows.serving import Routes
from server import auth
from server import home as homes
from server.app import create_app
from server.auth import Guard
from tests.flows.registry.registry_world import Registry, by

VERSION = "/v1/models/credit/versions/1"
ALIAS = "/v1/models/m/aliases/champion"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A home with credit@1."""
    made = Registry(tmp_path)
    made.add(description="A forest", tags=("fraud",), metrics={"auc": 0.91})
    return made


@pytest.fixture
def client(registry: Registry, tmp_path: Path) -> FlaskClient:
    """The control routes of that home."""
    return serve(tmp_path)


def serve(home: Path) -> FlaskClient:
    """The control routes, with the tokens that exist now."""
    found = Settings(home=str(home))
    opened = homes.open_existing(found)
    guard = Guard(opened.store, found, "127.0.0.1")
    guard.refresh()
    return create_app(opened, cast(Routes, None), guard).test_client()


def send(client: FlaskClient, method: str, path: str, body: object = None, **headers: str) -> TestResponse:
    """An answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = None if body is None else json.dumps(body)
    return client.open(path, method=method, data=data, headers=named, content_type="application/json")


def refused(reply: TestResponse) -> tuple[int, str, Any]:
    """(status, code, field) of an error."""
    found = cast(dict[str, Any], reply.json)
    return reply.status_code, found["code"], found.get("field")


def test_search_and_pages(client: FlaskClient, registry: Registry) -> None:
    """Newest first, by another key, page by page; what cannot be read is a 422 that names its field."""
    registry.add("other", who=by("bob", 9.0))
    found = client.get("/v1/versions", query_string={"search": "-model:m"}).json
    assert [each["version"] for each in found["versions"]] == ["other@1", "credit@1"]
    first = client.get("/v1/versions", query_string={"search": "-model:m", "sort": "model", "limit": 1}).json
    rest = {"search": "-model:m", "sort": "model", "after": first["next"]}
    assert [each["version"] for each in client.get("/v1/versions", query_string=rest).json["versions"]] == ["other@1"]
    for wrong, field in (({"search": "a:b"}, "search"), ({"sort": "tag"}, "sort"), ({"after": "x"}, "after"), ({"limit": "0"}, "limit")):
        assert refused(client.get("/v1/versions", query_string=wrong)) == (422, "invalid", field)


def test_models_and_versions_come_in_pages(client: FlaskClient) -> None:
    """`next` leads on; without more it is null."""
    first = client.get("/v1/models?limit=1").json
    assert ([each["model"] for each in first["models"]], first["next"]) == (["credit"], "credit")
    last = client.get("/v1/models?limit=1&after=credit").json
    assert last == {
        "models": [{"model": "m", "description": "", "owner": "", "revision": 1, "latest": "m@4", "count": 4, "aliases": {}}],
        "next": None,
    }
    page = client.get("/v1/models/m/versions?limit=2&after=1").json
    assert ([each["version"] for each in page["versions"]], page["next"], page["count"]) == (["m@2", "m@3"], 3, 4)
    assert client.get("/v1/models/m?limit=2&after=3").json["next"] is None
    assert refused(client.get("/v1/models/m?after=x")) == (422, "invalid", "after")
    assert refused(client.get("/v1/models/none")) == (404, "model-not-found", "model")


def test_a_patch_with_its_etag(client: FlaskClient) -> None:
    """The ETag of what was read lets one of two changes through; without it a patch leaves other fields as they are."""
    etag = client.get(VERSION).headers["ETag"]
    assert etag == '"1"'
    reply = send(client, "PATCH", VERSION, {"owner": "ann", "metrics": {"f1": 0.5}}, If_Match=etag)
    assert (reply.status_code, reply.headers["ETag"], reply.json["about"]["metrics"]) == (200, '"2"', {"auc": 0.91, "f1": 0.5})
    assert refused(send(client, "PATCH", VERSION, {"owner": "bob"}, If_Match=etag)) == (409, "revision-changed", "If-Match")
    assert send(client, "PATCH", VERSION, {"licence": "MIT"}).json["about"]["owner"] == "ann"
    assert refused(send(client, "PATCH", VERSION, {"tags": 3})) == (422, "invalid", "tags")
    assert refused(send(client, "PATCH", VERSION, [])) == (422, "invalid", "body")
    assert refused(send(client, "PATCH", VERSION, {}, If_Match="new")) == (422, "invalid", "If-Match")
    assert send(client, "PATCH", "/v1/models/m", {"description": "x"}, If_Match='"1"').json["revision"] == 2
    assert refused(send(client, "PATCH", "/v1/models/m", {"description": "y"}, If_Match='"1"')) == (409, "revision-changed", "If-Match")


def test_a_life(client: FlaskClient) -> None:
    """approve, withdraw, retire, restore and delete, each on its condition where one is given; the events stay."""
    assert send(client, "POST", f"{VERSION}/approve", {"reason": "well"}, If_Match='"1"').json["state"] == "approved"
    assert refused(send(client, "POST", f"{VERSION}/retire", {}, If_Match='"1"')) == (409, "revision-changed", "If-Match")
    assert send(client, "POST", f"{VERSION}/withdraw").json["state"] == "registered"
    assert send(client, "POST", f"{VERSION}/retire").json["state"] == "retired"
    assert refused(send(client, "PUT", "/v1/models/credit/aliases/a", {"version": 1})) == (409, "retired", "version")
    assert send(client, "POST", f"{VERSION}/restore").json["state"] == "registered"
    assert refused(send(client, "POST", f"{VERSION}/approve", {"why": "x"})) == (422, "invalid", "why")
    assert send(client, "DELETE", f"{VERSION}?reason=old").json == {"version": "credit@1", "deleted": True}
    assert refused(client.get(VERSION)) == (404, "version-not-found", "version")
    events = client.get(f"{VERSION}/events").json["events"]
    assert [each["event"] for each in events] == ["registered", "approved", "approval withdrawn", "retired", "restored", "deleted"]
    assert (events[1]["reason"], events[-1]["reason"]) == ("well", "old")
    assert refused(client.get("/v1/models/credit/versions/2/events")) == (404, "version-not-found", "version")


def test_what_is_in_use(client: FlaskClient) -> None:
    """409 `in-use`, with where."""
    send(client, "PUT", "/v1/models/credit/aliases/champion", {"version": 1})
    for reply in (send(client, "POST", f"{VERSION}/retire"), send(client, "DELETE", VERSION)):
        assert refused(reply)[:2] == (409, "in-use")
        assert reply.json["detail"] == "credit@1 is in use: alias champion"


def test_aliases(client: FlaskClient) -> None:
    """Moved on the condition of what they name, 0 for none; history for any moment; removed."""
    reply = send(client, "PUT", ALIAS, {"version": 1}, If_Match='"0"')
    assert (reply.status_code, reply.headers["ETag"], reply.json) == (200, '"1"', {"alias": "champion", "version": "m@1"})
    assert refused(send(client, "PUT", ALIAS, {"version": 2}, If_Match='"0"')) == (409, "alias-changed", "If-Match")
    assert send(client, "PUT", ALIAS, {"version": 2, "reason": "better"}, If_Match=client.get(ALIAS).headers["ETag"]).status_code == 200
    assert refused(send(client, "DELETE", ALIAS, If_Match='"1"')) == (409, "alias-changed", "If-Match")
    assert send(client, "DELETE", ALIAS, If_Match='"2"').json == {"alias": "champion", "version": None}
    page = client.get(f"{ALIAS}/history?limit=2").json
    assert [move["version"] for move in page["moves"]] == [None, "m@2"]
    assert [move["version"] for move in client.get(f"{ALIAS}/history?before={page['next']}").json["moves"]] == ["m@1"]
    assert client.get(f"{ALIAS}/history", query_string={"at": page["moves"][1]["at"]}).json["version"] == "m@2"
    assert refused(client.get(f"{ALIAS}/history?at=noon")) == (422, "invalid", "at")
    assert refused(client.get(ALIAS)) == (404, "alias-not-found", "alias")


def test_rules_are_for_administrators(client: FlaskClient, registry: Registry, tmp_path: Path) -> None:
    """Whoever may move an alias may not take its rule away; the refusal of a move says what is missing."""
    rule = f"{ALIAS}/rule"
    assert send(client, "PUT", rule, {"by_another": True}).json["needs_approval"] is True
    assert refused(send(client, "PUT", ALIAS, {"version": 1})) == (409, "rule-not-met", "alias")
    assert refused(send(client, "PUT", rule, {})) == (422, "invalid", "rule")
    tokens = {
        scope: {"Authorization": f"Bearer {auth.create_token(registry.store, scope, scope, by('root'))[1]}"}
        for scope in ("operate", "admin")
    }
    guarded = serve(tmp_path)
    for method, body in (("PUT", {"needs_test": True}), ("DELETE", None)):
        assert refused(send(guarded, method, rule, body, **tokens["operate"])) == (403, "scope", "Authorization")
    assert send(guarded, "GET", rule, **tokens["operate"]).json["by_another"] is True
    assert send(guarded, "DELETE", rule, **tokens["admin"]).json == {"model": "m", "alias": "champion", "rule": None}
    assert send(guarded, "PUT", ALIAS, {"version": 1}, **tokens["operate"]).status_code == 200
    assert send(guarded, "GET", ALIAS, **tokens["operate"]).json["by"] == "operate"


@pytest.mark.parametrize("name", ["é", "a b", "%00", "9" * 40, "-", "a" * 200])
def test_odd_names(client: FlaskClient, name: str) -> None:
    """No name of a model, version or alias is a 5xx."""
    paths = ("/v1/models/{}", "/v1/models/{}/versions/1", "/v1/models/m/versions/{}", "/v1/models/m/versions/{}/events")
    paths += ("/v1/models/m/aliases/{}", "/v1/models/m/aliases/{}/history", "/v1/models/m/aliases/{}/rule", "/v1/models?after={}")
    for path in paths:
        assert client.get(path.format(name)).status_code < 500
    for path in ("/v1/models/m/versions/{}/retire", "/v1/models/{}/versions/1/approve"):
        assert send(client, "POST", path.format(name)).status_code in (404, 422)
    for method, body in (("PUT", {"version": 1}), ("DELETE", None)):
        assert send(client, method, f"/v1/models/none/aliases/{name}", body).status_code in (404, 422)


SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8)
ANYTHING = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6
)
FIELDS = ("description", "owner", "tags", "metrics", "parameters", "parents", "version", "reason", "needs_test", "by_another")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(
        [("PATCH", VERSION), ("PATCH", "/v1/models/m"), ("PUT", ALIAS), ("PUT", f"{ALIAS}/rule"), ("POST", f"{VERSION}/approve")]
    ),
    st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=2) | ANYTHING,
)
def test_any_body(client: FlaskClient, route: tuple[str, str], body: object) -> None:
    """An answer or a refusal; and what was taken can be shown and searched."""
    assert send(client, *route, body).status_code < 500
    assert client.get(VERSION).status_code == client.get("/v1/versions").status_code == 200


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["search", "sort", "after", "limit", "at", "before"]), st.text(max_size=12))
def test_any_query(client: FlaskClient, name: str, text: str) -> None:
    """No parameter of a list, a search or a history is a 5xx."""
    send(client, "PUT", ALIAS, {"version": 1})
    for path in ("/v1/versions", "/v1/models", "/v1/models/m", f"{ALIAS}/history"):
        assert client.get(path, query_string={name: text}).status_code < 500
