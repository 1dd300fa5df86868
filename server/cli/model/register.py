"""`tiltyard model register`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from server.cli.learning import learning_options
from server.cli.model.cards import told
from server.cli.options import home, json_option, show, who


@click.command("register")
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--sample", type=click.Path(path_type=Path), help="CSV or Parquet rows that the model knows: signature, golden rows, parity.")
@click.option("--target", help="The sample's column of true values.")
@click.option("--alias", help="Point this alias at the new version, such as champion.")
@click.option("--trust-pickle", is_flag=True, help="Load a pickle or joblib file: it can run any code, so only one of your own.")
@learning_options
@json_option
def command(name: str, path: Path, as_json: bool, **given: Any) -> None:
    """Register the model PATH as the next version of NAME.

    PATH is a file (.skops, .onnx, .pkl, .joblib), or a function of a Python file of your own that returns the model: model.py:build.
    """
    from flows import register as flow

    here = home(make=True)
    given |= {"journal_end": here.place.journal_end, "trusted": here.settings.trusted}
    version = flow.register(here.store, here.blobs, name, path, who(), **given)
    card = flow.show_version(here.store, str(version))
    show(card, "\n".join(told(card)), as_json=as_json)
