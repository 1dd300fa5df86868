"""Models over REST, against a real server: what comes in is served; what is hostile is refused, runs nothing and leaves nothing."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from skops import io as skops_io

from models.artefact import load_estimator
from tests.e2e.real_server import PATIENCE, Reply, Server, Worlds, eventually
from tests.models import bombs

LIMIT = 2_000_000
"""Bytes of an upload here."""


@pytest.fixture(scope="module")
def server(worlds: Worlds) -> Server:
    """A server that takes small uploads from quick clients."""
    return worlds.server(TILTYARD_MAX_UPLOAD_BYTES=str(LIMIT), TILTYARD_BODY_TIMEOUT="2", TILTYARD_UPLOAD_MEMORY_BYTES=str(2**30)).start()


@pytest.fixture(scope="module")
def forest(diabetes: pd.DataFrame) -> bytes:
    """A model as its author saved it."""
    return skops_io.dumps(RandomForestRegressor(5, random_state=0).fit(diabetes.drop(columns="target"), diabetes["target"]))


def headers(data: bytes, **more: str) -> dict[str, str]:
    digest = base64.b64encode(sha256(data).digest()).decode()
    return {"Content-Type": "application/octet-stream", "Repr-Digest": f"sha-256=:{digest}:", **more}


def post(server: Server, query: str, data: bytes, given: Mapping[str, str] | None = None) -> Reply:
    return server.request("POST", f"/v1/models/up/versions?{query}", data, headers(data) if given is None else given)


def left(server: Server) -> tuple[list[str], int, list[str]]:
    """What an upload could leave: blobs, versions of the model, and files and processes on their way."""
    blobs = sorted(path.name for path in server.home.glob("blobs/*/*"))
    reply = server.request("GET", "/v1/models/up/versions")
    versions = len(reply.json["versions"]) if reply.status == 200 else 0
    on_the_way = [str(path) for path in server.home.glob("uploads/slot-?")]
    return blobs, versions, on_the_way + builders(server)


def builders(server: Server) -> list[str]:
    """The processes that build for this server. They have sessions of their own, but their folder is in its home."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            command = line.read_bytes().decode(errors="replace").replace("\0", " ")
            if "server.builder" in command and str(server.home) in command:
                found.append(command)
    return found


@pytest.fixture(autouse=True)
def _nothing_left(server: Server, request: pytest.FixtureRequest) -> Iterator[None]:
    """After a refusal everything is as it was."""
    before = left(server)
    yield
    if "served" not in request.node.name:
        assert left(server) == before
    assert left(server)[2] == []


def test_an_uploaded_model_is_served(server: Server, forest: bytes, diabetes: pd.DataFrame, rows: list[dict[str, float]]) -> None:
    """Sample first, then the model with its digest; it is compiled, and answers as the author's does."""
    sample = diabetes.to_csv(index=False).encode()
    kept = server.request("POST", "/v1/samples?format=csv", sample, headers(sample))
    assert (kept.status, kept.json["sample"], kept.json["bytes"]) == (201, sha256(sample).hexdigest(), len(sample))
    made = post(server, f"format=skops&sample={kept.json['sample']}&target=target&alias=champion&description=5+trees&tag=a&tag=b", forest)
    assert made.status == 201, made
    assert made.headers["Location"] == "/v1/models/up/versions/1"
    assert server.get(made.headers["Location"]) == made.json
    assert (made.json["format"], made.json["aliases"], made.json["about"]) == (
        "onnx",
        ["champion"],
        {"description": "5 trees", "tags": ["a", "b"]},
    )
    assert made.json["source_digest"] == sha256(forest).hexdigest()
    server.create("up", {"control": ("up@champion", 1)})
    expected = load_estimator(forest, "skops").predict(pd.DataFrame(rows[:1]))[0]
    assert server.predict("up", rows[0])["predictions"] == [{"value": pytest.approx(expected, rel=1e-4)}]
    entry = next(
        each for each in server.get("/v1/audit?limit=9")["audit"] if each["action"] == "model.register" and each["subject"] == "up@1"
    )
    assert entry["detail"]["digest"] == sha256(forest).hexdigest()


@pytest.mark.parametrize(
    ("query", "change", "status", "code", "message"),
    [
        ("format=skops", {"Repr-Digest": "sha-256=:" + "A" * 43 + "=:"}, 422, "digest-mismatch", "the body's SHA-256 is"),
        ("format=skops", {"Repr-Digest": "md5=:AAAA:"}, 422, "digest-missing", "Repr-Digest: expected sha-256"),
        ("format=skops", {"Content-Type": "application/json"}, 422, "content-type", "expected application/octet-stream"),
        ("format=skops", {"Content-Encoding": "gzip"}, 422, "content-encoding", "expected none"),
        ("format=skops", {"Host": "evil.example"}, 403, "unknown-host", "not a name of this server"),
        ("format=pickle", {}, 422, "invalid", "format: expected skops or onnx, got 'pickle'"),
        ("", {}, 422, "invalid", "format: expected skops or onnx"),
        ("format=skops&trust_pickle=true", {}, 422, "invalid", "trust_pickle: no parameter of an upload"),
        ("format=skops&alias=7", {}, 422, "invalid", "alias: expected a name that is not a number"),
        ("format=skops&target=y", {}, 422, "invalid", "target: it names a column of a sample"),
        ("format=skops&sample=../../store.db", {}, 422, "invalid", "sample: expected the SHA-256"),
        ("format=skops&sample=" + "0" * 64, {}, 404, "sample-not-found", "none of digest"),
        ("format=skops&description=%ff", {}, 422, "invalid", "query: could not be read"),
        ("format=skops&tag=a&tag=", {}, 422, "invalid", "tags: expected a word"),
        ("format=skops&owner=a&owner=b", {}, 422, "invalid", "owner: given 2 times"),
    ],
)
def test_refused_at_the_door(
    server: Server, forest: bytes, query: str, change: dict[str, str], status: int, code: str, message: str
) -> None:
    """Before a process is started, with the field to blame; and the connection is good for the next request."""
    with server.client() as client:
        reply = client.request("POST", f"/v1/models/up/versions?{query}", forest, {**headers(forest), **change})
        assert (reply.status, reply.json["code"]) == (status, code), reply
        assert message in reply.json["detail"]
        assert client.request("GET", "/healthz").status == 200


def test_sizes(server: Server) -> None:
    """Nothing, too much by its own account, and too much in chunks."""
    assert post(server, "format=onnx", b"").json["detail"] == "body: it ended after 0 bytes of 0"
    for declared in (True, False):
        data = b"x" * (LIMIT + 1)
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
            how = f"Content-Length: {len(data)}" if declared else "Transfer-Encoding: chunked"
            lines = [
                "POST /v1/models/up/versions?format=onnx HTTP/1.1",
                "Host: 127.0.0.1",
                how,
                *(f"{k}: {v}" for k, v in headers(data).items()),
            ]
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            connection.sendall(data if declared else b"%x\r\n" % len(data) + data + b"\r\n0\r\n\r\n")
            answer = b""
            while b"TILTYARD_MAX_UPLOAD_BYTES" not in answer:
                more = connection.recv(65536)
                assert more, answer
                answer += more
            assert answer.startswith(b"HTTP/1.1 413"), answer


def test_a_client_that_does_not_go_on(server: Server) -> None:
    """408 after its time; one that goes away is let go. Neither keeps a slot."""
    head = "POST /v1/models/up/versions?format=onnx HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
    head += "".join(f"{k}: {v}\r\n" for k, v in headers(b"x").items()) + "\r\n{"
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(head.encode())
        assert b"408" in connection.recv(65536)
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(head.encode())
    eventually(lambda: left(server)[2] == [], "both slots are empty again")


def test_what_is_hostile_is_refused(server: Server, tmp_path: Path) -> None:
    """Renamed pickles, graphs that read files, types that nobody allowed: a reason each, and no canary."""
    canary = tmp_path / "canary"
    files = bombs.bombs(canary)
    chosen = {name: files[name] for name in ("a pickle", "data in a file above")}
    with ThreadPoolExecutor(2) as pool:
        replies = list(pool.map(lambda bomb: post(server, f"format={bomb.format}", bomb.data), chosen.values()))
    for bomb, reply in zip(chosen.values(), replies, strict=True):
        assert (reply.status, reply.json["code"]) == (422, "artefact-rejected"), reply
        assert bomb.reason.replace("\\", "") in reply.json["detail"]
    assert not canary.exists()


def test_two_at_once_and_none_outlives_its_worker(server: Server) -> None:
    """A third is told to come again. Killed workers take their processes with them, and what they left makes room for the next."""
    data = bombs.endless()

    def lost() -> object:
        try:
            return post(server, "format=onnx", data)
        except OSError:
            return None

    with ThreadPoolExecutor(2) as pool:
        on_the_way = [pool.submit(lost) for _ in range(2)]
        eventually(lambda: len(left(server)[2]) == 4, "two folders and two processes")
        third = post(server, "format=onnx", data)
        assert (third.status, third.json["code"], third.headers["Retry-After"]) == (503, "uploads-busy", "10")
        for worker in server.web()[1]:
            os.kill(worker, signal.SIGKILL)
        assert [one.result() for one in on_the_way] == [None, None]
    eventually(lambda: not builders(server), "the processes are gone")
    eventually(server._is_ready, "the server answers again")
    for _ in range(2):
        assert server.request("POST", "/v1/samples?format=csv", b"a\n1\n", headers(b"a\n1\n")).status == 201
    eventually(lambda: left(server)[2] == [], "the slots are empty", 70)
