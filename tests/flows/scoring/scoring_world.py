"""A home in which models are registered, and files of rows for them."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pandas as pd
import pyarrow as pa
from msgspec.structs import replace
from pyarrow import parquet
from skops import io as skops_io

from core.ids import VersionId
from core.values import Label, read_label
from flows import known
from flows.scoring.score import Order, score
from flows.scoring.subject import Place
from models.artefact import digest
from models.building import build
from models.linear import Linear
from models.package import Package
from models.signature import Feature, Signature
from store import registry
from store.blobs import Blobs
from tests.flows import flow_world
from tests.flows.flow_world import World
from tests.models.model_zoo import CASES, data, fitted


class Scoring:
    """The home; `score` is what the command calls."""

    def __init__(self, world: World, folder: Path) -> None:
        self.folder = folder
        self.world = world
        self.place = Place(world.store, Blobs(folder / "blobs"), folder / "snapshots.key")

    def add(self, model: str, package: Package) -> VersionId:
        """Register what was built."""
        for content in package.blobs.values():
            self.place.blobs.put(content)
        with self.world.store.write() as connection:
            return registry.add_version(connection, model, known.encode(package.card), "me", 0.0)

    def table(self, name: str, **columns: Any) -> Path:
        """A file of these columns."""
        path = self.folder / name
        if path.suffix == ".csv":
            pd.DataFrame(columns).to_csv(path, index=False)
        else:
            parquet.write_table(pa.table(columns), path)
        return path

    def score(self, version: str, path: Path, output: str = "out.parquet", **order: Any) -> dict[str, Any]:
        """Score the file."""
        return score(self.place, Order(version, path, self.folder / output, **order), lambda progress: None)

    def rows(self, output: str = "out.parquet") -> list[dict[str, Any]]:
        """What was written; what is missing is None."""
        path = self.folder / output
        if path.suffix == ".parquet":
            rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
            return rows
        with path.open(newline="") as file:
            return [{name: _plain(text) for name, text in row.items()} for row in csv.DictReader(file)]

    def left(self) -> list[str]:
        """Files and directories that scoring has left beside the output."""
        return sorted(path.name for path in self.folder.iterdir() if ".parts" in path.name)


def _plain(text: str) -> Any:
    """What a cell of the output says, to the last digit."""
    found = read_label(text)
    return (text or None) if found is None else found


def linear(features: Sequence[Feature], classes: tuple[Label, ...] | None = None) -> Package:
    """A model whose score is the sum of the features: the value, or the logit of the second class."""
    signature = Signature(tuple(features), "regression" if classes is None else "classification", classes)
    model = Linear([], [], [[1.0] * len(features)], [0.0], "identity" if classes is None else "logistic")
    artefact = msgspec.json.encode(model)
    card = replace(flow_world.card(), signature=signature, format="linear", blobs={"artefact": digest(artefact)})
    return Package(card, {"artefact": artefact})


def floats(*names: str) -> list[Feature]:
    """Features that are numbers."""
    return [Feature(name, "float") for name in names]


@cache
def zoo(case: str) -> Package:
    """A case of the zoo, as registration makes it."""
    given = data(CASES[case].data)
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given.features.assign(outcome=given.target).to_csv(Path(folder) / "sample.csv", index=False)
        skops_io.dump(fitted(case), Path(folder) / "model.skops")
        return build(Path(folder) / "model.skops", sample=Path(folder) / "sample.csv", target="outcome", trust_pickle=False)
