"""How far a long command is, told on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Protocol

import click


class _Progress(Protocol):
    @property
    def rows(self) -> int: ...

    @property
    def share(self) -> float: ...


class Meter:
    """Tells rows, rows per second and what remains: on a terminal in one line that is written over, elsewhere not at all.

    `always`: elsewhere too, each time in a line of its own. The first telling is where the rate begins: what was done before is not in it.
    """

    def __init__(self, *, always: bool, timer: Callable[[], float] = time.monotonic) -> None:
        self._over = sys.stderr.isatty()
        self._shown = always or self._over
        self._timer = timer
        self._every = 0.5 if self._over else 10.0
        self._first: tuple[float, int, float] | None = None
        self._due = timer()
        self._open = False

    def tell(self, progress: _Progress) -> None:
        """So far it is now."""
        now = self._timer()
        if not self._shown or now < self._due:
            return
        self._due = now + self._every
        if self._first is None:
            self._first = now, progress.rows, progress.share
        line = _line(progress, *self._rates(now, progress))
        click.echo(f"\r{line:<78}" if self._over else line, err=True, nl=not self._over)
        self._open = self._over

    def end(self) -> None:
        """What follows begins in a line of its own."""
        if self._open:
            click.echo(err=True)

    def _rates(self, now: float, progress: _Progress) -> tuple[float, float]:
        """Rows per second, and seconds that remain; 0 where nothing is known yet."""
        at, rows, share = self._first or (now, 0, 0.0)
        passed, read = now - at, progress.share - share
        return ((progress.rows - rows) / passed if passed else 0.0), (passed * (1.0 - progress.share) / read if read else 0.0)


def _line(progress: _Progress, rate: float, left: float) -> str:
    line = f"{progress.share:4.0%}  {progress.rows:,} rows"
    return line if not rate else f"{line}, {rate:,.0f} rows/s, {_time(left)} left"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
