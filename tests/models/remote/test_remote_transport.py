"""Whatever a server does, a request ends within its time, as an answer or a failure; and few connections do."""

from __future__ import annotations

import logging
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.errors import ModelFailed
from models.remote import transport
from models.remote.servers import Server
from models.remote.transport import MOST_CONNECTIONS, Answered, Client, reason_of
from tests.models.remote.foreign_server import ForeignServer, Request, http

LIMIT = 0.3
SLACK = 2.0
"""Seconds that a busy machine may take beyond."""


@pytest.fixture
def client(foreign: ForeignServer) -> Iterator[Client]:
    """Of the foreign server, with little patience."""
    made = Client(foreign.server, LIMIT)
    yield made
    made.close()


def failure(client: Client) -> str:
    """Why a request fails; it does so in time."""
    begun = time.monotonic()
    with pytest.raises(ModelFailed) as caught:
        client.ask("POST", "/infer", b"{}")
    assert time.monotonic() - begun < LIMIT + SLACK
    return caught.value.message


def trickling(before: bytes, byte: bytes) -> Callable[[Request, socket.socket], None]:
    """Sends something, then a byte every 20 ms: no single wait is ever long."""

    def answer(_: Request, found: socket.socket) -> None:
        found.sendall(before)
        for _ in range(500):
            time.sleep(0.02)
            found.sendall(byte)

    return answer


HEAD = b"HTTP/1.1 200 OK\r\n"
SIZED = HEAD + b"Content-Length: 1000\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("before", "byte"),
    [(b"", b"H"), (HEAD, b"x"), (SIZED, b" "), (CHUNKED, b"1"), (CHUNKED + b"5\r\n", b" "), (HEAD + b"\r\n", b" ")],
    ids=["status", "headers", "body", "size of a chunk", "chunk", "body without a length"],
)
def test_a_server_that_trickles_has_no_more_time(foreign: ForeignServer, client: Client, before: bytes, byte: bytes) -> None:
    """The limit is for all of the answer, not for each wait: the request fails while bytes still come."""
    foreign.answer = trickling(before, byte)
    assert failure(client) == "the server 'staging' did not answer within 0.3 s"


def test_interim_answers_have_no_more_time(foreign: ForeignServer, client: Client) -> None:
    """A server may send `100 Continue` for ever."""
    foreign.answer = trickling(b"", b"HTTP/1.1 100 Continue\r\n\r\n")
    assert "within 0.3 s" in failure(client)


def test_a_server_that_says_nothing(foreign: ForeignServer, client: Client) -> None:
    """It takes the request, and that is all."""
    foreign.answer = lambda _request, _socket: time.sleep(2 * LIMIT)
    assert "within 0.3 s" in failure(client)


def test_a_server_that_does_not_read(client: Client, foreign: ForeignServer) -> None:
    """Also what is sent is sent within the limit: a body that fits into no buffer of a server that never reads it."""
    quiet = socket.create_server(("127.0.0.1", 0))
    deaf = Client(Server("staging", "127.0.0.1", quiet.getsockname()[1], tls=False), LIMIT)
    begun = time.monotonic()
    with pytest.raises(ModelFailed, match="within"):
        deaf.ask("POST", "/infer", b" " * 2**25)
    assert time.monotonic() - begun < LIMIT + SLACK
    quiet.close()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "without response"),
        (HEAD + b"Content-Length: 10\r\n\r\n{}", "ends 8 bytes early"),
        (CHUNKED + b"5\r\n{}", "IncompleteRead"),
        (CHUNKED + b"zz\r\n{}", "IncompleteRead"),
        (HEAD + b"Content-Length: 99999999999\r\n\r\n{}", "99999999999 bytes; at most"),
        (b"SSH-2.0-OpenSSH\r\n", "SSH"),
        (b"HTTP/1.1 OK 200\r\n\r\n", "HTTP/1.1 OK 200"),
        (HEAD + b"X: " + b"x" * 70_000 + b"\r\n\r\n", "header line"),
        (HEAD + b"X: y\r\n" * 200 + b"\r\n", "more than 100 headers"),
    ],
    ids=["nothing", "too short", "half a chunk", "no chunk", "too long", "no HTTP", "no status", "a long header", "many headers"],
)
def test_what_is_no_answer_fails_with_its_reason(foreign: ForeignServer, client: Client, answer: bytes, reason: str) -> None:
    """And the connection is not used again."""

    def send(_: Request, found: socket.socket) -> None:
        found.sendall(answer)

    foreign.answer = send
    assert reason in failure(client)
    foreign.answer = lambda _request, _socket: http({})
    assert client.ask("GET", "/").status == 200


def test_an_answer_without_a_length_ends_somewhere(foreign: ForeignServer, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an endless one no more is read than the limit."""
    monkeypatch.setattr(transport, "MOST_BYTES", 1000)

    def send(_: Request, found: socket.socket) -> None:
        found.sendall(HEAD + b"\r\n" + b" " * 5000)

    foreign.answer = send
    assert "more than 1000 bytes" in failure(client)


def test_a_redirect_is_not_followed(foreign: ForeignServer, client: Client) -> None:
    """It is the answer: the server that it leads to is never asked."""
    elsewhere = ForeignServer(lambda _request, _socket: http({}))
    location = f"Location: http://127.0.0.1:{elsewhere.port}/infer"
    foreign.answer = lambda _request, _socket: http(b"", "307 Temporary Redirect", location)
    assert client.ask("POST", "/infer", b"{}") == Answered(307, b"")
    assert (len(foreign.requests), elsewhere.opened) == (1, 0)
    elsewhere.close()


def test_no_proxy_is_asked(foreign: ForeignServer, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment names."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert client.ask("GET", "/x").status == 200


def test_a_connection_is_kept_and_one_that_was_closed_is_replaced(foreign: ForeignServer, client: Client) -> None:
    """Requests one after the other need one; where the server has closed it meanwhile, the request is sent again on a new one."""
    for _ in range(5):
        assert client.ask("POST", "/infer", b"{}").status == 200
    assert foreign.opened == 1
    foreign.drop()
    assert client.ask("POST", "/infer", b"{}").status == 200
    assert (foreign.opened, len(foreign.requests)) == (2, 6)


def test_a_connection_that_has_rested_too_long_is_replaced(foreign: ForeignServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall may have forgotten it, and then nothing would ever come back on it."""
    now = [100.0]
    monkeypatch.setattr(transport, "monotonic", lambda: now[0])
    client = Client(foreign.server)
    for opened, later in ((1, transport.IDLE_SECONDS - 1), (1, transport.IDLE_SECONDS), (2, 0.0)):
        client.ask("GET", "/")
        assert foreign.opened == opened
        now[0] += later
    client.close()


def test_a_request_that_was_being_answered_is_not_sent_again(foreign: ForeignServer, client: Client) -> None:
    """On a kept connection too: the server has begun to answer, so it has seen the request."""
    client.ask("POST", "/infer", b"{}")

    def half(_: Request, found: socket.socket) -> None:
        found.sendall(HEAD + b"Content-Length: 10\r\n\r\n{}")

    foreign.answer = half
    assert "early" in failure(client)
    assert (foreign.opened, len(foreign.requests)) == (1, 2)


class Crowd:
    """Three times as many requests at once as there may be connections, to a server that answers nothing until it is set free."""

    def __init__(self, foreign: ForeignServer, limit: float) -> None:
        self.busy: list[Request] = []
        self.told: list[str] = []
        self._free = threading.Event()
        foreign.answer = self._answer
        self._client = Client(foreign.server, limit)
        self._threads = [threading.Thread(target=self._ask) for _ in range(3 * MOST_CONNECTIONS)]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._free.set()
        self.join()

    def join(self) -> None:
        """Wait until all have been told something."""
        for thread in self._threads:
            thread.join()

    def _answer(self, request: Request, _socket: socket.socket) -> bytes:
        self.busy.append(request)
        self._free.wait(30)
        return http({})

    def _ask(self) -> None:
        try:
            self.told.append(str(self._client.ask("POST", "/infer", b"{}").status))
        except ModelFailed as error:
            self.told.append(error.message)
        self._client.close()


def test_connections_are_bounded(foreign: ForeignServer) -> None:
    """However many ask at once, the server has at most 16 to answer; the others wait for their turn, and get it."""
    with Crowd(foreign, 30.0) as crowd:
        until = time.monotonic() + 10
        while len(crowd.busy) < MOST_CONNECTIONS and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.1)
        assert len(crowd.busy) == MOST_CONNECTIONS
    assert crowd.told == ["200"] * 3 * MOST_CONNECTIONS


def test_waiting_for_a_connection_counts(foreign: ForeignServer) -> None:
    """Whoever gets none within the limit fails as those do who are not answered."""
    begun = time.monotonic()
    with Crowd(foreign, 1.0) as crowd:
        crowd.join()
        assert time.monotonic() - begun < 1.0 + SLACK
    assert crowd.told == ["the server 'staging' did not answer within 1 s"] * 3 * MOST_CONNECTIONS


def test_a_connection_stays_in_its_thread(foreign: ForeignServer, client: Client) -> None:
    """Another thread opens its own, and closes only its own: a socket of one hub cannot be used in another."""
    client.ask("GET", "/")

    def other() -> None:
        client.ask("GET", "/")
        client.ask("GET", "/")
        client.close()

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    client.ask("GET", "/")
    assert (foreign.opened, len(foreign.requests)) == (2, 4)


def test_a_server_that_is_not_there_is_not_tried_again_at_once(
    foreign: ForeignServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a second it costs nobody any time; then it is. Where it is only the log says."""
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    now = [100.0]
    monkeypatch.setattr(transport, "monotonic", lambda: now[0])
    client = Client(Server("staging", "127.0.0.1", port, tls=False))
    with caplog.at_level(logging.WARNING):
        assert failure(client) == "the server 'staging' did not answer: [Errno 111] Connection refused"
    assert f"http://127.0.0.1:{port}" in caplog.text
    assert failure(client) == "the server 'staging' could not be reached a moment ago"
    now[0] += transport.PAUSE_SECONDS
    assert "refused" in failure(client)


def test_a_name_that_does_not_resolve_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolving knows no limit of its own."""
    done = threading.Event()
    monkeypatch.setattr(transport.socket, "getaddrinfo", lambda *_, **__: done.wait(60) and [])
    assert "within 0.3 s" in failure(Client(Server("staging", "slow.invalid", 80, tls=False), LIMIT))
    done.set()


def test_a_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and does not name it."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(transport.socket, "getaddrinfo", unknown)
    told = failure(Client(Server("staging", "nowhere.invalid", 80, tls=False), 10.0))
    assert told == "the server 'staging' did not answer: [Errno -2] Name or service not known"


def test_the_next_address_of_a_host_is_tried(foreign: ForeignServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` may be ::1 first, and the server listen on 127.0.0.1 alone."""
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", foreign.port, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", foreign.port)),
    ]
    monkeypatch.setattr(transport.socket, "getaddrinfo", lambda *_, **__: found)
    client = Client(foreign.server)
    assert client.ask("GET", "/").status == 200
    client.close()


def test_the_token_is_sent_and_read_anew_once_refused(foreign: ForeignServer, tmp_path: Path) -> None:
    """An operator replaces the file, and the next request knows."""
    file = tmp_path / "token"
    file.write_text("old\n")
    client = Client(foreign.server._replace(token_file=file))

    def guarded(request: Request, _: socket.socket) -> bytes:
        return http({}) if request.headers["authorization"] == "Bearer new" else http({"error": "no"}, "401 Unauthorized")

    foreign.answer = guarded
    assert client.ask("GET", "/").status == 401
    file.write_text("new\n")
    assert client.ask("GET", "/").status == 200
    client.close()


@pytest.mark.parametrize("content", ["", "two words", "a\r\nX: y", "ö"])
def test_a_token_file_without_a_token(foreign: ForeignServer, tmp_path: Path, content: str) -> None:
    """Nothing is sent, least of all further headers; the file that is missing is named in the log alone."""
    file = tmp_path / "token"
    client = Client(foreign.server._replace(token_file=file), LIMIT)
    assert failure(client) == "the token of the server 'staging' cannot be read"
    file.write_text(content)
    assert failure(client) == "the token file of the server 'staging' holds no token"
    assert foreign.opened == 0


def test_the_path_of_the_address_stands_before_every_path(foreign: ForeignServer) -> None:
    """A server behind a proxy may not be at the root."""
    client = Client(foreign.server._replace(prefix="/models/base"))
    client.ask("GET", "/v2/models/x")
    assert foreign.requests[0].path == "/models/base/v2/models/x"
    assert foreign.requests[0].headers["host"] == f"127.0.0.1:{foreign.port}"
    client.close()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"error": "out of\\n memory"}', "500: out of memory"),
        (b'{"error": 3}', "500"),
        (b"<html>", "500"),
        (b"[" * 5000, "500"),
        (b'{"error": "\\u001b[2J"}', "500"),
    ],
)
def test_an_error_is_repeated_where_it_can_be_read(body: bytes, reason: str) -> None:
    """In one line that is fit to be printed."""
    assert reason_of(Answered(500, body)) == reason


def test_a_server_speaks_tls_with_a_certificate_that_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody has signed is refused, unless the operator trusts it."""
    import ssl

    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=staging",
    ]
    subprocess.run(
        [*command, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):
            found, _address = listening.accept()
            try:
                with context.wrap_socket(found, server_side=True) as secret:
                    secret.recv(10_000)
                    secret.sendall(http({"tls": True}))
            except OSError:
                found.close()

    thread = threading.Thread(target=serve)
    thread.start()
    server = Server("staging", "127.0.0.1", listening.getsockname()[1], tls=True)
    assert failure(Client(server)) == "the server 'staging' did not answer: certificate verify failed"
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    client = Client(server)
    assert client.ask("GET", "/").body == b'{"tls": true}'
    client.close()
    thread.join()
    listening.close()
