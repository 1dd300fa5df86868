"""The error tree. No HTTP here: `server.errors` holds the only table from these to status codes.

TiltyardError
├── Malformed          the bytes cannot be read at all
├── TooLarge           a body, batch or nesting above its limit
├── Invalid            readable, but a field is not what was expected
├── NotFound           a name that does not exist
├── Conflict           the state has moved on, or does not allow this now
├── Unauthenticated    no token, or one that is unknown or revoked
├── Forbidden          a token without the scope
├── Rejected           an artefact that may not or cannot be loaded
├── ModelFailed        a model raised, or its output is not usable
│   ├── TimedOut       it was asked and did not answer in time
│   └── Crowded        it was not asked: too many wait for it already
├── Unavailable        cannot be done now, may be later
│   └── JournalError   the journal could not take or keep a record
└── Refused            a statistic that may not be computed from this
"""

from __future__ import annotations


class TiltyardError(Exception):
    """The root. `code` is stable and machine-readable, `field` names what was wrong with the input."""

    code = "error"

    def __init__(self, message: str, *, field: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        if code is not None:
            self.code = code


class Malformed(TiltyardError):
    """The bytes cannot be read at all: not JSON, not CSV, not UTF-8."""

    code = "malformed"


class TooLarge(TiltyardError):
    """A body, batch or nesting above its limit."""

    code = "too-large"


class Invalid(TiltyardError):
    """Readable, but a field is not what was expected."""

    code = "invalid"


class NotFound(TiltyardError):
    """A name that does not exist."""

    code = "not-found"


class Conflict(TiltyardError):
    """The state has moved on, or does not allow this now."""

    code = "conflict"


class Unauthenticated(TiltyardError):
    """No token where one is needed, or one that is unknown or revoked."""

    code = "unauthenticated"


class Forbidden(TiltyardError):
    """A known token without the scope, or a request from where none may come."""

    code = "forbidden"


class Rejected(TiltyardError):
    """A model artefact that may not or cannot be loaded."""

    code = "artefact-rejected"


class ModelFailed(TiltyardError):
    """A model raised, or answered something that is not usable (wrong count, not finite)."""

    code = "model-failed"


class TimedOut(ModelFailed):
    """A model that was asked and did not answer in time, or whose threads are all held by calls that do not return."""

    code = "model-timed-out"


class Crowded(ModelFailed):
    """A model that was not asked, since those who came before still wait for it: none of its own failures."""

    code = "model-crowded"


class Unavailable(TiltyardError):
    """Cannot be done now, may be later: worth a retry after `retry_after` seconds."""

    code = "unavailable"
    retry_after = 1


class JournalError(Unavailable):
    """The journal could not take or keep a record (full disk, failed fsync)."""

    code = "journal-unavailable"


class Refused(TiltyardError):
    """A statistic that may not be computed from this input, with the reason."""

    code = "refused"
