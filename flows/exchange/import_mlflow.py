"""Import: an MLflow model directory becomes a version."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from core.ids import VersionId
from flows import register
from flows.exchange import mlmodel
from routing.changes import Who
from store.blobs import Blobs
from store.engine import Store


class Imported(NamedTuple):
    """The version, and what is to be known of how it came about."""

    version: VersionId
    notes: tuple[str, ...]


def import_mlflow(
    store: Store,
    blobs: Blobs,
    model: str,
    directory: Path,
    who: Who,
    *,
    sample: Path | None = None,
    target: str | None = None,
    alias: str | None = None,
    trust_pickle: bool = False,
    trusted: Collection[str] = (),
) -> Imported:
    """The next version of `model`, of the flavour sklearn or onnx; see `register.register` for the rest and for errors.

    Without a sample the directory's input example is taken for one; without that its signature's columns. The types that `MLmodel`
    itself says are to be trusted are not.
    """
    found = mlmodel.read(directory)
    example = found.example if sample is None else None
    notes = (
        []
        if example is None
        else [f"its input example of {len(example.rows())} rows served as the sample; --sample gives more, which drift is measured against"]
    )
    with TemporaryDirectory() as folder:
        version = register.register(
            store,
            blobs,
            model,
            _whole(found, Path(folder)),
            who,
            sample=sample or example,
            target=target,
            alias=alias,
            trust_pickle=trust_pickle,
            trusted=trusted,
            about=found.about,
            features=found.features,
        )
    return Imported(version, (*notes, *found.notes))


def _whole(found: mlmodel.MlflowModel, folder: Path) -> Path:
    """The model's file; of an ONNX graph that MLflow has saved in several files one that holds all of them."""
    if found.flavour != "onnx":
        return found.file
    from models import graph  # here, because it brings onnx in

    data = graph.inline(found.file)
    if data is None:
        return found.file
    whole = folder / found.file.name
    whole.write_bytes(data)
    return whole
