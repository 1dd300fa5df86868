"""`tiltyard model pull`."""

from __future__ import annotations

from pathlib import Path

import click

from server.cli.options import home, json_option, show


@click.command("pull")
@click.argument("version")
@click.argument("directory", type=click.Path(path_type=Path))
@json_option
def command(version: str, directory: Path, as_json: bool) -> None:
    """Write VERSION, such as credit@3 or credit@champion, into a new DIRECTORY that is of use without Tiltyard."""
    from flows.exchange.pull import pull

    here = home()
    found = pull(here.store, here.blobs, version, directory)
    told = {"version": found.version, "directory": str(directory), "files": found.files}
    show(told, f"{found.version} is in {directory}: {', '.join(found.files)}", as_json=as_json)
