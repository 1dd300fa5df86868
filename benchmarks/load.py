"""A load generator: keep-alive connections of raw sockets, driven by one thread, as fast as they answer or at a given rate.

It costs about 20 µs a request, so that most of a small machine is left to the server. Requests are bytes made beforehand.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import cycle
from time import perf_counter
from typing import NamedTuple

CONNECTIONS = 16
PATIENCE = 30.0
"""Seconds without any answer after which the server counts as dead."""


class Load(NamedTuple):
    """What came of a run: answers with a 2xx status, others, the run's length and the sorted latencies, in seconds."""

    answered: int
    failed: int
    seconds: float
    latencies: list[float]

    @property
    def rate(self) -> float:
        """Requests answered well per second."""
        return self.answered / self.seconds

    def percentile(self, share: float) -> float:
        """The latency that a `share` of the requests stayed within, in seconds."""
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


def post(path: str, body: bytes) -> bytes:
    """A POST request with a JSON body."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def get(path: str) -> bytes:
    """A GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def run(port: int, requests: Sequence[bytes], seconds: float, rate: float | None = None) -> Load:
    """Send `requests` round and round for `seconds`: each connection again as soon as it was answered, or together `rate` a second.

    At a rate, a request that finds no connection free waits for one, and its latency counts from when it was due.
    Raises OSError where the server does not answer.
    """
    with ExitStack() as stack:
        free = deque(stack.enter_context(Connection(port)) for _ in range(CONNECTIONS))
        return drive(free, cycle(requests), seconds, rate)


def drive(free: deque[Connection], requests: Iterator[bytes], seconds: float, rate: float | None) -> Load:
    """`run` over connections that are there; `requests` never end."""
    busy: dict[socket.socket, Connection] = {}
    latencies: list[float] = []
    sent = failed = 0
    start = now = perf_counter()
    until = start + seconds
    while busy or now < until:
        now = perf_counter()
        due = now if rate is None else start + sent / rate
        while free and due <= now < until:
            connection = free.popleft()
            connection.send(next(requests), due)
            busy[connection.socket] = connection
            sent += 1
            due = now if rate is None else start + sent / rate
        waiting = busy and (not free or now >= until)
        ready, _, _ = select.select(busy, (), (), PATIENCE if waiting else max(0.0, min(due, until) - now))
        if waiting and not ready:
            raise TimeoutError(f"no answer within {PATIENCE:.0f} seconds")
        for each in ready:
            connection = busy[each]
            good = connection.receive()
            if good is not None:
                del busy[each]
                free.append(connection)
                latencies.append(perf_counter() - connection.due)
                failed += not good
    return Load(len(latencies) - failed, failed, perf_counter() - start, sorted(latencies))


class Connection:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self._answer = b""

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at `due`."""
        self.due = due
        self._answer = b""
        self.socket.sendall(request)

    def receive(self) -> bool | None:
        """Take what has come: whether the whole answer is a good one, None where there is more to come."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError("the server closed a keep-alive connection")
        answer = self._answer = self._answer + data
        end = answer.find(b"\r\n\r\n")
        if end < 0 or len(answer) < end + 4 + _length(answer, end):
            return None
        return answer.startswith(b"HTTP/1.1 2")


def _length(answer: bytes, end: int) -> int:
    at = answer.lower().find(b"content-length:", 0, end)
    return int(answer[at + 15 : answer.find(b"\r\n", at)])
