"""The only table from errors to HTTP, and the two forms in which an error is answered."""

from __future__ import annotations

import msgspec
from sqlalchemy.exc import OperationalError

from core.errors import (
    Conflict,
    Forbidden,
    Invalid,
    Malformed,
    ModelFailed,
    NotFound,
    Refused,
    Rejected,
    TiltyardError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)


class SlowBody(TiltyardError):
    """The client did not send its body in time."""

    code = "body-timeout"


class WrongMethod(TiltyardError):
    """The route exists, but not for this method."""

    code = "method-not-allowed"


_STATUS: tuple[tuple[type[TiltyardError], int, str], ...] = (
    (Malformed, 400, "Bad Request"),
    (Unauthenticated, 401, "Unauthorized"),
    (Forbidden, 403, "Forbidden"),
    (NotFound, 404, "Not Found"),
    (WrongMethod, 405, "Method Not Allowed"),
    (SlowBody, 408, "Request Timeout"),
    (Conflict, 409, "Conflict"),
    (TooLarge, 413, "Content Too Large"),
    (Invalid, 422, "Unprocessable Content"),
    (Rejected, 422, "Unprocessable Content"),
    (Refused, 422, "Unprocessable Content"),
    (ModelFailed, 503, "Service Unavailable"),
    (Unavailable, 503, "Service Unavailable"),
)

PROBLEM = "application/problem+json"
JSON = "application/json"


def status_of(error: TiltyardError) -> tuple[int, str]:
    """The status code and its phrase."""
    return next(((code, phrase) for kind, code, phrase in _STATUS if isinstance(error, kind)), (500, "Internal Server Error"))


def store_unavailable(error: OperationalError) -> Unavailable:
    """What is answered where the store cannot be used: locked too long by another process, a full disk, a home that cannot be written."""
    return Unavailable(f"the store cannot be used now: {error.orig}", code="store-unavailable")


def problem(error: TiltyardError, status: tuple[int, str] | None = None) -> bytes:
    """RFC 9457 problem details, with the stable `code` and the `field` where one is to blame; its own status, or the one given."""
    code, phrase = status or status_of(error)
    body = {"type": "about:blank", "title": phrase, "status": code, "detail": error.message, "code": error.code}
    return msgspec.json.encode(body if error.field is None else {**body, "field": error.field})


def v2_error(error: TiltyardError) -> bytes:
    """The Open Inference Protocol's form."""
    return msgspec.json.encode({"error": error.message})


def headers_of(error: TiltyardError) -> list[tuple[str, str]]:
    """Retry-After where a retry may help, WWW-Authenticate where a token is needed."""
    if isinstance(error, Unavailable):
        return [("Retry-After", str(error.retry_after))]
    if isinstance(error, Unauthenticated):
        return [("WWW-Authenticate", 'Bearer realm="tiltyard"')]
    if isinstance(error, WrongMethod):
        return [("Allow", "POST")]
    if isinstance(error, (TooLarge, SlowBody)):
        # What is left of the body is not worth reading.
        return [("Connection", "close")]
    return []
