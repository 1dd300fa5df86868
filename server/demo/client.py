"""A client as small as a caller's own might be: JSON over one connection that is kept."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import msgspec

from core.errors import Unavailable

_TIMEOUT = 30.0
_encode = msgspec.json.encode
_decode = msgspec.json.Decoder().decode


class Client:
    """One connection to the server at `address` (http://host:port), for one thread."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._connection = HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def get(self, path: str) -> Any:
        """The answer to a GET; raises Unavailable where it is none, or an error."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: object) -> Any:
        """The answer to a POST; raises Unavailable where it is none, or an error."""
        return self._ask("POST", path, _encode(body))

    def put(self, path: str, body: object) -> Any:
        """The answer to a PUT; raises Unavailable where it is none, or an error."""
        return self._ask("PUT", path, _encode(body))

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        try:
            self._connection.request(method, path, body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, HTTPException) as error:
            raise Unavailable(f"{method} {path}: the server does not answer ({error or type(error).__name__})") from None
        if not 200 <= response.status < 300:
            raise Unavailable(f"{method} {path}: the server answered {response.status}: {answer[:500].decode(errors='replace')}")
        return _decode(answer)
