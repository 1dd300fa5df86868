"""Who may do what: binds, scopes, revocation, hosts, content types."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest

from tests.e2e.real_server import Reply, Server, Worlds, eventually

SCOPES = ("predict", "outcome", "operate", "admin")
WANTED = {"predict": "predict", "outcome": "outcome", "example": "outcome", "event": "outcome", "operate": "operate", "upload": "operate"}
"""By what is asked for, the least scope that may. Nothing learns here, no stream is read, uploads lack digests: who may is told so."""
TOLD = {"example": "not-learning", "event": "stream-not-found", "upload": "digest-missing"}
HASTE = 2.0
"""Seconds within which every worker knows that a token was revoked: it is read each second."""


@pytest.fixture(scope="module")
def guarded(worlds: Worlds, rows: list[dict[str, float]]) -> Server:
    """A server that wants tokens for everything, with one of each scope."""
    server = worlds.server(TILTYARD_REQUIRE_TOKEN="true")
    server.start()
    server.create("credit", {"control": ("dia@1", 1)})
    for scope in SCOPES:
        server.environ[f"SECRET_{scope}"] = server.cli("token", "create", scope, "--scope", scope)["secret"]
    server.stop()
    return server.start()  # every worker knows the tokens from its start


def statuses(server: Server, token: str, rows: list[dict[str, float]]) -> list[int]:
    """What eight control requests with a token are answered: enough to meet every worker."""
    return [ask(server, token, "operate", rows).status for _ in range(8)]


def ask(server: Server, token: str | None, what: str, rows: list[dict[str, float]]) -> Reply:
    """A request of one kind with one token: the name of a scope, another secret, or None."""
    secret = server.environ.get(f"SECRET_{token}", token)
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    if what == "predict":
        return server.request("POST", "/v1/endpoints/credit/predict", {"features": rows[0]}, headers)
    if what == "outcome":
        return server.request("POST", "/v1/outcomes", {"endpoint": "credit", "unit": "u", "metric": "m", "value": 1}, headers)
    if what == "example":
        return server.request("POST", "/v1/models/dia/learn", {"features": rows[0], "label": 1}, headers)
    if what == "event":
        return server.request("POST", "/v1/events/clicks", {"values": {"unit": "u"}}, headers)
    if what == "upload":
        return server.request("POST", "/v1/samples?format=csv", b"a\n1\n", {"Content-Type": "application/octet-stream", **headers})
    return server.request("GET", "/v1/endpoints", None, headers)


@pytest.mark.parametrize("what", WANTED)
@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_includes_those_before_it_and_no_other(guarded: Server, rows: list[dict[str, float]], scope: str, what: str) -> None:
    """403 that names the scope needed, or the answer."""
    reply = ask(guarded, scope, what, rows)
    if SCOPES.index(scope) >= SCOPES.index(WANTED[what]):
        assert reply.status in (200, 202) or reply.json["code"] == TOLD.get(what)
    else:
        assert (reply.status, reply.json["code"]) == (403, "scope")
        assert WANTED[what] in reply.json["detail"]


@pytest.mark.parametrize("what", WANTED)
@pytest.mark.parametrize("token", [None, "", "tilt_guess", "ü" * 20])
def test_without_a_known_token_nobody_comes_in(guarded: Server, rows: list[dict[str, float]], token: str | None, what: str) -> None:
    """401, and what is wanted."""
    reply = ask(guarded, token, what, rows)
    assert (reply.status, reply.json["field"]) == (401, "Authorization")
    assert "Bearer" in reply.headers["WWW-Authenticate"]


def test_health_and_metrics_are_open_and_say_no_secret(guarded: Server) -> None:
    """Probes need no token; what they answer holds none."""
    for path in ("/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"):
        reply = guarded.request("GET", path)
        assert reply.status == 200
        assert b"tilt_" not in reply.content
    with closing(sqlite3.connect(guarded.home / "store.db")) as held:  # while one is open, nobody's closing takes the log away
        held.execute("SELECT count(*) FROM tokens").fetchone()
        stored = b"".join(path.read_bytes() for path in guarded.home.glob("store.db*"))
    assert not any(guarded.environ[f"SECRET_{scope}"].encode() in stored for scope in SCOPES)


def test_a_revoked_token_is_worthless_within_a_second_or_so(guarded: Server, rows: list[dict[str, float]]) -> None:
    """It worked, then it is 401 at every worker. A machine that is too busy for that in time gets another try."""
    assert any(forgotten(guarded, f"short{number}", rows) < HASTE for number in range(5))


def forgotten(server: Server, name: str, rows: list[dict[str, float]]) -> float:
    """How many seconds after it was revoked a token is worthless."""
    secret = server.cli("token", "create", name, "--scope", "operate")["secret"]
    eventually(lambda: statuses(server, secret, rows) == [200] * 8, "it is known")
    server.cli("token", "revoke", name)
    start = time.monotonic()
    eventually(lambda: statuses(server, secret, rows) == [401] * 8, "it is forgotten")
    return time.monotonic() - start


def test_who_revokes_the_last_token_opens_nothing(fresh: Worlds) -> None:
    """Control stays closed until another is made, which needs no name."""
    server = fresh.server()
    server.cli("token", "create", "only", "--scope", "admin")
    server.cli("token", "revoke", "only")
    server.start()
    assert server.request("GET", "/v1/endpoints").status == 401
    made = server.cli("token", "create", "--scope", "operate")
    assert made["token"] == "operate-1"
    headers = {"Authorization": f"Bearer {made['secret']}"}
    eventually(lambda: server.request("GET", "/v1/endpoints", None, headers).status == 200, "it is known")
    server.stop()


def test_forcing_an_arm_takes_an_operator(guarded: Server, rows: list[dict[str, float]]) -> None:
    """`X-Tiltyard-Force-Arm` with a token for predictions is refused."""
    statuses = {}
    for scope in ("predict", "operate"):
        headers = {"Authorization": f"Bearer {guarded.environ[f'SECRET_{scope}']}", "X-Tiltyard-Force-Arm": "control"}
        statuses[scope] = guarded.request("POST", "/v1/endpoints/credit/predict", {"features": rows[0]}, headers).status
    assert statuses == {"predict": 403, "operate": 200}


def test_the_audit_names_the_token_that_acted(guarded: Server) -> None:
    """A change by REST is signed with the token's name, one by command line with the user's."""
    headers = {"Authorization": f"Bearer {guarded.environ['SECRET_operate']}"}
    assert guarded.request("PUT", "/v1/endpoints/credit/traffic", {"weights": {"control": 2}}, headers).status == 200
    newest, *others = guarded.request("GET", "/v1/audit", None, headers).json["audit"]
    assert (newest["action"], newest["actor"]) == ("endpoint.traffic", "operate")
    assert {"token.create"} <= {row["action"] for row in others}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", ""])
def test_a_foreign_host_is_refused_on_control_routes(server: Server, host: str) -> None:
    """A page that had its name pointed here gets nothing."""
    reply = server.request("GET", "/v1/endpoints", None, {"Host": host})
    assert 400 <= reply.status < 500
    if host:
        assert (reply.status, reply.json["code"]) == (403, "unknown-host")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_control_routes_want_json(server: Server, content_type: str) -> None:
    """A form of a foreign page cannot be sent here."""
    reply = server.request("POST", "/v1/endpoints", b"{}", {"Content-Type": content_type})
    assert reply.status in (415, 422)
    assert reply.json["field"] == "Content-Type"


def test_beyond_loopback_no_server_starts_without_a_token(fresh: Worlds) -> None:
    """Exit 1 and one line that names the host and the way out; nothing listens."""
    server = fresh.server()
    said = server.cli("serve", "--host", "0.0.0.0", "--port", "0", code=1)
    assert len(said.splitlines()) == 1
    assert "0.0.0.0" in said
    assert "token create" in said


def test_a_token_file_opens_the_door_from_the_first_start(fresh: Worlds, rows: list[dict[str, float]]) -> None:
    """`TILTYARD_ADMIN_TOKEN_FILE` names an admin token; beyond loopback predictions want one too."""
    secret = "a secret of the container's own"
    (fresh.directory / "token").write_text(secret + "\n")
    server = fresh.server(TILTYARD_ADMIN_TOKEN_FILE=str(fresh.directory / "token")).start("--host", "0.0.0.0")
    body = {"endpoint": "credit", "arms": {"control": {"version": "dia@1", "weight": 1}}}
    headers = {"Authorization": f"Bearer {secret}"}
    assert server.request("POST", "/v1/endpoints?wait=20s", body).status == 401
    assert server.request("POST", "/v1/endpoints?wait=20s", body, headers).status == 201
    statuses = [server.request("POST", "/v1/endpoints/credit/predict", {"features": rows[0]}, given).status for given in ({}, headers)]
    assert statuses == [401, 200]
    server.stop()
