"""`tiltyard experiment plot`."""

from __future__ import annotations

from pathlib import Path

import click

from core.errors import NotFound, TiltyardError
from server.cli.options import home
from server.cli.usage import options_as_given, wrong_usage

_FORMS = {".svg": "svg", ".png": "png"}


@click.command("plot")
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Where to: a .svg or a .png file.")
@click.option("--metric", "metrics", multiple=True, metavar="METRIC", help="Only this one; may be given several times.")
def command(name: str, output: Path, metrics: tuple[str, ...]) -> None:
    """Draw how the estimates of the experiment NAME and their always-valid bounds came about, look by look."""
    form = _FORMS.get(output.suffix.lower())
    if form is None:
        wrong_usage(f"-o {output}: expected a name that ends in .svg or .png")
    from flows.plot import plot

    with options_as_given():
        picture = plot(home().store, name, metrics, "png" if form == "png" else "svg")
    try:
        output.write_bytes(picture)
    except FileNotFoundError:
        raise NotFound(f"{output}: no such directory") from None
    except OSError as error:
        raise TiltyardError(f"{output}: cannot be written: {error.strerror}") from error
    click.echo(f"{output}")
