"""`tiltyard model export`."""

from __future__ import annotations

from pathlib import Path

import click

from server.cli.options import home, json_option, show
from server.home import clock


@click.command("export")
@click.argument("version")
@click.argument("directory", type=click.Path(path_type=Path))
@json_option
def command(version: str, directory: Path, as_json: bool) -> None:
    """Write VERSION, such as credit@3 or credit@champion, into a new MLflow model DIRECTORY."""
    from flows.exchange.export_mlflow import described, export_mlflow

    here = home()
    found = export_mlflow(here.store, here.blobs, version, directory, clock())
    flavour = described(found.card)
    told = {"version": str(found.version), "directory": str(directory), "flavour": flavour}
    show(told, f"{found.version} is in {directory}, of MLflow's flavour {flavour}", as_json=as_json)
