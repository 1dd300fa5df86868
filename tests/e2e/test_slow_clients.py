"""Clients that never finish what they began hold up nobody, and are sent away."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

from tests.e2e.real_server import PATIENCE, Server, Worlds

LIMIT = 1.0
"""Seconds that a client may take for its body here."""


@pytest.fixture(scope="module")
def server(worlds: Worlds) -> Server:
    """An endpoint whose clients must be quick."""
    server = worlds.server(TILTYARD_BODY_TIMEOUT=str(LIMIT)).start()
    server.create("credit", {"control": ("dia@1", 1), "treatment": ("dia@2", 1)})
    return server


@pytest.mark.parametrize("part", ["headers", "body", "chunked body"])
def test_64_half_sent_requests_do_not_stop_service(server: Server, rows: list[dict[str, float]], part: str) -> None:
    """Others are answered at once, on new connections, predictions and control alike."""
    half = b"POST /v1/endpoints/credit/predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if part == "body":
        half += b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    elif part == "chunked body":
        half += b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"
    waiting = [socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) for _ in range(64)]
    try:
        for connection in waiting:
            connection.sendall(half)
        for _ in range(30):
            assert server.predict("credit", rows[0])["predictions"]
        assert server.get("/readyz") == {"ready": True}
        server.put("/v1/endpoints/credit/traffic", {"weights": {"control": 1, "treatment": 1}})
    finally:
        for connection in waiting:
            connection.close()


@pytest.mark.parametrize("path", ["/v1/endpoints/credit/predict", "/v1/outcomes", "/v2/models/credit/infer", "/v1/experiments"])
@pytest.mark.parametrize("drips", [False, True], ids=["silent", "drips"])
def test_a_body_that_takes_too_long_is_408_and_the_connection_closed(server: Server, path: str, *, drips: bool) -> None:
    """The limit is for the whole body: a byte now and then does not lengthen it."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(head.encode() + b"{")
        connection.settimeout(0.1)
        answer = b""
        while not answer:
            assert time.monotonic() - started < LIMIT + PATIENCE
            if drips:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has just been closed: its answer waits
                    connection.sendall(b" ")
            try:
                answer = connection.recv(65536)
            except TimeoutError:
                continue
        connection.settimeout(PATIENCE)
        try:
            while more := connection.recv(65536):
                answer += more
        except ConnectionResetError:
            pass  # it was closed with bytes of ours unread
    assert time.monotonic() - started >= LIMIT
    assert answer.startswith(b"HTTP/1.1 408"), answer
    assert b"body: not received within 1 seconds" in answer
