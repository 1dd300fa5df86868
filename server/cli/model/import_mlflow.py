"""`tiltyard model import`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from server.cli.model.cards import told
from server.cli.options import home, json_option, show_warned, who


@click.command("import")
@click.argument("name")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--sample", type=click.Path(path_type=Path), help="CSV or Parquet rows that the model knows.  [default: its input example]")
@click.option("--target", help="The sample's column of true values.")
@click.option("--alias", help="Point this alias at the new version, such as champion.")
@click.option("--trust-pickle", is_flag=True, help="Load a pickle: it can run any code, so only one of your own.")
@json_option
def command(name: str, directory: Path, as_json: bool, **given: Any) -> None:
    """Register the model in the MLflow model DIRECTORY as the next version of NAME.

    The directory is one that mlflow.sklearn or mlflow.onnx has saved, with its file MLmodel.
    """
    from flows import register
    from flows.exchange.import_mlflow import import_mlflow

    here = home(make=True)
    made = import_mlflow(here.store, here.blobs, name, directory, who(), trusted=here.settings.trusted, **given)
    card = register.show_version(here.store, str(made.version))
    warnings = [*card.pop("warnings", ()), *made.notes]
    show_warned(card, "\n".join(told(card)), warnings, as_json=as_json)
