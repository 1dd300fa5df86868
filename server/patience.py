"""Ends the reading of request bodies that clients never finish.

One timer looks at all readings a few times within their limit. A timer for each request would cost it as much as its validation,
assignment and decoding together.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

import gevent

from server.errors import SlowBody

_LOOKS = 10
"""Within the limit; so a reading lasts at most a tenth longer."""


class Patience:
    """A context in which the current greenlet may wait for its client: after `seconds` SlowBody is raised in it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[Any, float] = {}

    def start(self) -> None:
        """Begin to look, in the hub of this thread."""
        every = self._seconds / _LOOKS
        self._timer = gevent.get_hub().loop.timer(every, every)
        self._timer.start(self._look)

    def __enter__(self) -> None:
        self._since[gevent.getcurrent()] = monotonic()

    def __exit__(self, *_: object) -> None:
        del self._since[gevent.getcurrent()]

    def _look(self) -> None:
        # In the hub: each greenlet here waits for its socket, and gets the error instead of bytes.
        late = monotonic() - self._seconds
        for greenlet in [greenlet for greenlet, since in self._since.items() if since <= late]:
            greenlet.throw(SlowBody(f"body: not received within {self._seconds:g} seconds", field="body"))
