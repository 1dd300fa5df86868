"""A little HTTP server in threads, that answers whatever it is told to, also what no server should."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

from models.remote.servers import Remotes, Server


class Request(NamedTuple):
    """What was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


Answer: TypeAlias = Callable[[Request, socket.socket], bytes | None]
"""Answers a request: the bytes to be sent, or None where the connection is to be closed."""


def http(body: bytes | object, status: str = "200 OK", *headers: str) -> bytes:
    """An answer of JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


class ForeignServer:
    """Serves on a port of its own; `answer` may be replaced at any time."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.opened = 0
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def server(self) -> Server:
        """As the configuration names it."""
        return Server("staging", "127.0.0.1", self.port, tls=False)

    @property
    def remotes(self) -> Remotes:
        """The only server there is."""
        return Remotes({"staging": self.server})

    def drop(self) -> None:
        """Close all connections, as a server may that has been idle."""
        with self._lock:
            for found in self._sockets:
                with suppress(OSError):  # the other side has closed it
                    found.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End, and wait for it."""
        # A close alone would not wake the thread that waits for a connection.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._socket.close()
        self.drop()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                found, _ = self._socket.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(found,)))
            self._threads[-1].start()

    def _serve(self, found: socket.socket) -> None:
        with self._lock:
            self._sockets.add(found)
            self.opened += 1
        try:
            with found.makefile("rb") as file:
                while (request := _read(file)) is not None:
                    self.requests.append(request)
                    data = self.answer(request, found)
                    if data is None:
                        return
                    found.sendall(data)
        except OSError:
            pass
        finally:
            with self._lock:
                self._sockets.discard(found)
            found.close()


def _read(file: Any) -> Request | None:
    first = file.readline().decode().split()
    if not first:
        return None
    headers = {}
    while line := file.readline().decode().strip():
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    body = file.read(int(headers.get("content-length", "0")))
    return Request(first[0], first[1], headers, json.loads(body) if body else None)


class Model:
    """A V2 model: what it tells of itself, and its answer to the rows that it is sent, as tensors by name."""

    def __init__(
        self,
        inputs: list[tuple[str, str, list[int]]],
        answer: Callable[[list[dict[str, Any]]], Mapping[str, tuple[str, list[int], list[Any]]]],
        *,
        platform: str = "onnxruntime",
        name: str = "credit",
    ) -> None:
        self.told: dict[str, Any] = {
            "name": name,
            "platform": platform,
            "inputs": [{"name": each, "datatype": datatype, "shape": shape} for each, datatype, shape in inputs],
            "outputs": [],
        }
        self._name = name
        self._answer = answer

    def __call__(self, request: Request, _: socket.socket) -> bytes:
        """Answers a request."""
        if request.path == f"/v2/models/{self._name}" and request.method == "GET":
            return http(self.told)
        if request.path == f"/v2/models/{self._name}/infer" and request.method == "POST":
            tensors = self._answer(request.body["inputs"])
            asked = [each["name"] for each in request.body.get("outputs", [])] or tensors
            outputs = [dict(zip(("name", "datatype", "shape", "data"), (name, *tensors[name]), strict=True)) for name in asked]
            return http({"model_name": self._name, "id": request.body["id"], "outputs": outputs})
        return http({"error": f"no {request.path}"}, "404 Not Found")
