"""HTTP to one server: few connections, each request within its time whatever the server does, no redirects, no proxies.

A connection stays in the thread that opened it. In a web worker that is the hub's thread: there sockets are gevent's, a request that
waits for a server lets the others go on, and a socket of one hub cannot be used in another.
"""

from __future__ import annotations

import io
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from time import monotonic
from typing import Any, NamedTuple

import msgspec

from core.errors import ModelFailed
from models.remote.servers import Server
from models.runtime import said

LIMIT_SECONDS = 2.0
"""For all of a request: waiting for a connection, connecting, sending, and the last byte of the answer."""
MOST_CONNECTIONS = 16
MOST_BYTES = 16 * 2**20
"""Of an answer."""
IDLE_SECONDS = 30.0
"""A connection that has rested for so long is not used again: what stands between may have forgotten it without a word."""
PAUSE_SECONDS = 1.0
"""A server that could not be reached is not tried again for so long: what it is asked meanwhile fails at once."""

_log = logging.getLogger("tiltyard.remote")


class Answered(NamedTuple):
    """A status and a body."""

    status: int
    body: bytes


class Client:
    """Asks one server, for one version. May be used by several threads and greenlets at once."""

    def __init__(self, server: Server, limit: float = LIMIT_SECONDS) -> None:
        self._server = server
        self._limit = limit
        self._turns = threading.Semaphore(MOST_CONNECTIONS)
        self._idle: dict[int, list[_Connection]] = {}
        self._addresses: list[Any] = []
        self._trust = ssl.create_default_context() if server.tls else None
        self._shut_until = 0.0

    def ask(self, method: str, path: str, body: bytes = b"") -> Answered:
        """What the server answers, whatever its status; raises ModelFailed where it does not answer in time, or not by HTTP."""
        until = monotonic() + self._limit
        try:
            if not self._turns.acquire(timeout=self._limit):
                raise TimeoutError
            try:
                return self._exchange(method, path, body, until)
            finally:
                self._turns.release()
        except TimeoutError:
            raise ModelFailed(f"the server {self._server.name!r} did not answer within {self._limit:g} s") from None
        except (OSError, HTTPException) as error:
            raise ModelFailed(f"the server {self._server.name!r} did not answer: {_cause(error)}") from error

    def close(self) -> None:
        """Close the connections that this thread has kept open."""
        for connection in self._idle.pop(threading.get_native_id(), ()):
            connection.close()

    def _exchange(self, method: str, path: str, body: bytes, until: float) -> Answered:
        idle = self._idle.setdefault(threading.get_native_id(), [])
        kept = _rested(idle)
        if kept is not None:
            with self._using(kept, idle) as connection:
                try:
                    return connection.exchange(method, path, body, until)
                except TimeoutError:
                    raise
                except (OSError, HTTPException):
                    # The server has closed it meanwhile, as it may: that is no failure, unless it had begun to answer.
                    if connection.answering:
                        raise
        with self._using(self._connect(until), idle) as connection:
            return connection.exchange(method, path, body, until)

    @contextmanager
    def _using(self, connection: _Connection, idle: list[_Connection]) -> Iterator[_Connection]:
        """Kept where a whole answer was read and the server keeps it too; closed otherwise, also where whoever waited was ended."""
        try:
            yield connection
        finally:
            if connection.reusable:
                connection.since = monotonic()
                idle.append(connection)
            else:
                connection.close()

    def _connect(self, until: float) -> _Connection:
        if monotonic() < self._shut_until:
            raise ModelFailed(f"the server {self._server.name!r} could not be reached a moment ago")
        token, begun = self._token(), monotonic()
        try:
            return _Connection(self._server, self._open(until), token)
        except OSError as error:
            # Who has waited for a connection first had too little time to say anything of the server.
            if not isinstance(error, TimeoutError) or monotonic() - begun > self._limit / 2:
                self._shut_until, self._addresses = monotonic() + PAUSE_SECONDS, []
                _log.warning("%s cannot be reached at %s: %s", self._server.name, self._server.address, said(error) or "no answer")
            raise

    def _open(self, until: float) -> socket.socket:
        """A connection to the first of the server's addresses that takes one."""
        # Asked for again only where connecting has failed: names may take long to resolve.
        self._addresses = self._addresses or _resolve(self._server, until)
        failure: OSError = TimeoutError()
        for family, kind, protocol, _, address in self._addresses:
            found = socket.socket(family, kind, protocol)
            try:
                found.settimeout(_left(until))
                found.connect(address)
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return found if self._trust is None else self._trust.wrap_socket(found, server_hostname=self._server.host)
            except OSError as error:
                found.close()
                failure = error
        raise failure

    def _token(self) -> str | None:
        """Read for each connection: a refused one is closed, so a new token is found without a restart."""
        if self._server.token_file is None:
            return None
        try:
            token = self._server.token_file.read_text().strip()
        except (OSError, ValueError) as error:
            _log.error("the token of %s cannot be read: %s", self._server.name, error)
            raise ModelFailed(f"the token of the server {self._server.name!r} cannot be read") from None
        if not token.isascii() or not token.isprintable() or not token or " " in token:
            raise ModelFailed(f"the token file of the server {self._server.name!r} holds no token")
        return token


class _Connection:
    """One connection, used by one request at a time."""

    def __init__(self, server: Server, found: socket.socket, token: str | None) -> None:
        self._socket = found
        self._prefix = server.prefix
        host = f"[{server.host}]" if ":" in server.host else server.host
        authorization = "" if token is None else f"Authorization: Bearer {token}\r\n"
        self._headers = f"Host: {host}:{server.port}\r\n{authorization}Accept: application/json\r\nContent-Type: application/json\r\n"
        self._bytes: _Bytes | None = None
        self.reusable = False
        self.since = 0.0
        """When it was last used."""

    @property
    def answering(self) -> bool:
        """Whether anything has come back of the last request."""
        return self._bytes is not None and self._bytes.begun

    def exchange(self, method: str, path: str, body: bytes, until: float) -> Answered:
        """Send a request and read all of the answer; raises OSError and HTTPException."""
        self.reusable, self._bytes = False, _Bytes(self._socket, until)
        head = f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        self._socket.settimeout(_left(until))
        self._socket.sendall(head.encode("ascii") + body)
        response = HTTPResponse(self._bytes, method=method)  # type: ignore[arg-type]  # of a socket it only takes `makefile`
        try:
            response.begin()
            answered = Answered(response.status, _body(response))
            self.reusable = not response.will_close and response.status == 200
        finally:
            response.close()
        return answered

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class _Bytes(io.RawIOBase):
    """What a socket receives until a point in time: a timeout for each read alone could be stretched byte by byte."""

    def __init__(self, source: socket.socket, until: float) -> None:
        self._source = source
        self._until = until
        self.begun = False

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What HTTPResponse wants of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        self._source.settimeout(_left(self._until))
        count = self._source.recv_into(into)
        self.begun = self.begun or count > 0
        return count


def _rested(idle: list[_Connection]) -> _Connection | None:
    """The connection that was used last; None where none is left that has not rested too long."""
    while idle:
        connection = idle.pop()
        if monotonic() - connection.since < IDLE_SECONDS:
            return connection
        connection.close()
    return None


def _body(response: HTTPResponse) -> bytes:
    if response.length is not None and response.length > MOST_BYTES:
        raise HTTPException(f"its answer has {response.length} bytes; at most {MOST_BYTES} are read")
    body = response.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise HTTPException(f"its answer has more than {MOST_BYTES} bytes")
    if response.length:
        raise HTTPException(f"its answer ends {response.length} bytes early")
    return body


def _cause(error: BaseException) -> str:
    """What went wrong, without the server's address, which only its operators are told."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS failed").replace("_", " ").lower()
    return said(error) or type(error).__name__


def _left(until: float) -> float:
    """The seconds that are left; raises TimeoutError where there are none."""
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _resolve(server: Server, until: float) -> list[Any]:
    """The addresses of a host. Resolving knows no time limit, so a thread that is given up after it does it."""
    found: list[Any] = []

    def look() -> None:
        try:
            found.append(socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=look, name=f"resolve {server.host}", daemon=True)
    thread.start()
    thread.join(_left(until))
    if not found:
        raise TimeoutError
    if isinstance(found[0], OSError):
        raise found[0]
    addresses: list[Any] = found[0]
    return addresses


def reason_of(answered: Answered) -> str:
    """What an answer says that is no success: its status, and the V2 protocol's `error` where it has one."""
    try:
        text = msgspec.json.decode(answered.body, type=_Error).error
    except (msgspec.MsgspecError, RecursionError):
        text = ""
    shown = " ".join(text.split())[:200]
    return f"{answered.status}" + (f": {shown}" if shown.isprintable() and shown else "")


class _Error(msgspec.Struct):
    """How the V2 protocol tells errors."""

    error: str
