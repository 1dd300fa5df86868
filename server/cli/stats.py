"""`tiltyard stats`: the calculator. It needs no home."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from core.errors import Invalid, Malformed, NotFound, Refused, TooLarge
from experiments import calculator
from server.cli.usage import wrong_usage
from server.decoding import decode

_LIST = "\n".join(f"  {name:<17} {listed.line}" for name, listed in calculator.METHODS.items())


@click.command(
    "stats",
    help="Read one JSON object from standard input, print one: the figures of METHOD.\n\n"
    "Ends with 2 and one line on wrong input; with 1 and a reason under `refused` where the statistic may not be computed.\n\n"
    f"\b\nMethods:\n{_LIST}",
)
@click.argument("method", required=False, default="")
@click.argument("more", nargs=-1)
def command(method: str, more: tuple[str, ...]) -> None:
    """Compute one method."""
    try:
        if more:
            raise Invalid(f"method: expected one, its input on standard input, got {more[0]} too", field="method")
        found = calculator.find(method)
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(found.reads)
        _print(found.run(decode(decoder, sys.stdin.buffer.read())))
    except Refused as error:
        _print({"refused": error.message})
        sys.exit(1)
    except (Invalid, Malformed, NotFound, TooLarge) as error:
        wrong_usage(error.message)


def _print(found: dict[str, Any]) -> None:
    """As bytes, which do not depend on the terminal's encoding."""
    click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
