"""`tiltyard model register`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from models.about import About, merge
from server.cli.learning import learning_options
from server.cli.model.about import about_options, patch
from server.cli.model.cards import told
from server.cli.options import home, json_option, show, who
from server.cli.usage import options_as_given


@click.command("register")
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--sample", type=click.Path(path_type=Path), help="CSV or Parquet rows that the model knows: signature, golden rows, parity.")
@click.option("--target", help="The sample's column of true values.")
@click.option("--alias", help="Point this alias at the new version, such as champion.")
@click.option("--trust-pickle", is_flag=True, help="Load a pickle or joblib file: it can run any code, so only one of your own.")
@click.option("--output", type=int, metavar="NUMBER", help="Of a model of several outputs serve this one, counted from 0.")
@click.option("--classes", metavar="A,B,…", help="The classes of an XGBoost or LightGBM file, in the order of its numbers.")
@click.option("--remote-output", "outputs", multiple=True, help="ROLE=NAME of a remote model's output: label, probabilities or value.")
@about_options
@learning_options
@json_option
def command(
    name: str, path: Path, outputs: tuple[str, ...], as_json: bool, said: dict[str, Any], classes: str | None, **given: Any
) -> None:
    """Register the model PATH as the next version of NAME.

    PATH is a file (.skops, .onnx, .json or .ubj of XGBoost, .txt of LightGBM, .pkl, .joblib), a function of a Python file of your own
    that returns the model (model.py:build), or a model on another server that TILTYARD_REMOTES names: remote:SERVER/MODEL[@VERSION].
    """
    from flows import register as flow
    from flows.registry import origins
    from models.remote.roles import named

    with options_as_given():
        about = merge(About(), patch({"commit": origins.commit_of(Path.cwd()), **said}, About()))
        given["remote_outputs"] = named(outputs)
    given["classes"] = None if classes is None else [part.strip() for part in classes.split(",")]
    here = home(make=True)
    given |= {"remotes": here.remotes, "journal_end": here.place.journal_end}
    version = flow.register(here.store, here.blobs, name, path, who(), about=about, **given)
    card = flow.show_version(here.store, str(version))
    show(card, "\n".join(told(card)), as_json=as_json)
