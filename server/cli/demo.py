"""`tiltyard demo`."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from core.errors import Invalid
from server.demo.readings import LIVE


@click.command("demo")
@click.option(
    "--units", default=20_000, show_default=True, type=click.IntRange(2_000, LIVE), help="Units of live traffic; fewer take less time."
)
@click.option("--home", type=click.Path(path_type=Path), help="Keep the server's home in this new or empty directory.")
def command(units: int, home: Path | None) -> None:
    """Show a challenger prove itself on real data: split, shadow, outcomes, verdict, promotion.

    On a terminal the server stays up at the end until Ctrl-C; its home is removed unless --home says where to keep it.
    """
    from server.demo import story

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    with _directory(home) as directory:
        promoted = story.tell(directory, units, stay=sys.stdout.isatty())
    sys.exit(0 if promoted else 1)


@contextmanager
def _directory(kept: Path | None) -> Iterator[Path]:
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="tiltyard-demo-") as name:
            yield Path(name)
        return
    try:
        kept.mkdir(parents=True, exist_ok=True)
        if any(kept.iterdir()):
            raise Invalid(f"home: expected a new or empty directory, {kept} is not empty", field="home")
    except OSError as error:
        raise Invalid(f"home: {kept} cannot be used: {error.strerror}", field="home") from None
    yield kept.absolute()


def _end(number: int, _frame: FrameType | None) -> None:
    """Leave by an exception, so that the server is ended and the home removed on the way."""
    sys.exit(128 + number)
