"""How a command ends that was used wrongly."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from core.clock import from_rfc3339
from core.errors import Invalid


def wrong_usage(message: str) -> NoReturn:
    """End with 2 and one line on standard error, whatever the message repeats of the input."""
    click.echo("tiltyard: " + "".join(each if each.isprintable() else " " for each in message), err=True)
    sys.exit(2)


@contextmanager
def options_as_given() -> Iterator[None]:
    """What is found invalid in here are the command's own words and options, not a file or the state: that is wrong usage."""
    try:
        yield
    except Invalid as error:
        wrong_usage(error.message)


def time_range(start: str | None, end: str | None) -> tuple[float | None, float | None]:
    """What `--from` and `--to` say, in seconds since the epoch; None where one is not given. An empty range is wrong usage."""
    with options_as_given():
        begin, stop = (text if text is None else from_rfc3339(text, option) for text, option in ((start, "--from"), (end, "--to")))
    if begin is not None and stop is not None and stop <= begin:
        wrong_usage(f"--to {end}: expected a time after --from {start}")
    return begin, stop
