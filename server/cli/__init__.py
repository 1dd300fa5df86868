"""The command line. It works on the home directly, whether the server is up or not; file permissions are the authority."""

from __future__ import annotations

import sys

import click

from core.errors import TiltyardError
from server.cli.lazy import Lazy

_COMMANDS = ("serve", "demo", "model", "endpoint", "metric", "experiment", "outcome", "feature", "replay", "stats", "token")


@click.group(cls=Lazy, modules={name: f"server.cli.{name}" for name in _COMMANDS}, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tiltyard")
def cli() -> None:
    """An online model server in which a challenger model proves itself against the champion on live traffic.

    State lives under TILTYARD_HOME (default ./tiltyard-data).
    """


def main() -> None:
    """Run, and end with 0, with 2 on wrong usage, or with 1 and one clear line on standard error."""
    try:
        cli(prog_name="tiltyard")
    except TiltyardError as error:
        _fail(error.message)
    except Exception as error:
        # SQLAlchemy is imported where a store is opened, not here: `--help` is to be quick.
        if type(error).__name__ != "OperationalError":
            raise
        _fail(f"the store cannot be used: {getattr(error, 'orig', error)}")


def _fail(message: str) -> None:
    click.echo(f"tiltyard: {message}", err=True)
    sys.exit(1)
