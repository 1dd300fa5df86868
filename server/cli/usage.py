"""How a command ends that was used wrongly."""

from __future__ import annotations

import sys
from typing import NoReturn

import click


def wrong_usage(message: str) -> NoReturn:
    """End with 2 and one line on standard error, whatever the message repeats of the input."""
    click.echo("tiltyard: " + "".join(each if each.isprintable() else " " for each in message), err=True)
    sys.exit(2)
