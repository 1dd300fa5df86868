"""The command line. It works on the home directly, whether the server is up or not; file permissions are the authority."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from core.errors import TiltyardError

_COMMANDS = {
    "serve": "serve",
    "demo": "demo",
    "model": "model",
    "endpoint": "endpoint",
    "experiment": "experiment",
    "outcome": "outcome",
    "stats": "stats",
    "token": "token",
}


class _Lazy(click.Group):
    """Imports a command's module when it is asked for, so that each starts fast."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        found: click.Command = import_module(f"server.cli.{_COMMANDS[name]}").command
        return found


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
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
