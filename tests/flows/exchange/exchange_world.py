"""A home in which models are registered, imported and written elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import joblib
import msgspec
import sqlalchemy as sa
import yaml
from skops import io as skops_io

from flows import known, register
from flows.exchange.export_mlflow import export_mlflow
from flows.exchange.import_mlflow import Imported, import_mlflow
from flows.exchange.pull import Pulled, pull
from flows.exchange.stored import Stored, fetch
from models import package
from routing.changes import Who
from store.blobs import Blobs
from store.tables import versions
from tests.flows.flow_world import World
from tests.models.model_zoo import CASES, data, fitted

WRITTEN = Path(__file__).parent / "mlflow"
"""Directories that MLflow 3.17.2 has saved: `frame` by mlflow.sklearn, `network` by mlflow.onnx with its large tensors in a file apart."""
WHO = Who("ann", 5.0, "test")


class Exchange:
    """Its folder is `folder`; what is written goes to `folder/out`."""

    def __init__(self, world: World, folder: Path) -> None:
        self.store, self.blobs = world.store, Blobs(folder / "blobs")
        self.folder, self.out = folder, folder / "out"

    def written(self, name: str, **flavour: Any) -> Path:
        """A copy of a directory of MLflow's; `flavour` changes what MLmodel says of its flavour, None takes the key away."""
        path = self.folder / name
        shutil.copytree(WRITTEN / name, path)
        told = yaml.safe_load((path / "MLmodel").read_text())
        (known,) = set(told["flavors"]) - {"python_function"}
        told["flavors"][known].update(flavour)
        (path / "MLmodel").write_text(yaml.safe_dump(told))
        return path

    def change(self, path: Path, **keys: Any) -> Path:
        """Other things that MLmodel says."""
        told = yaml.safe_load((path / "MLmodel").read_text())
        told.update(keys)
        (path / "MLmodel").write_text(yaml.safe_dump(told))
        return path

    def take(self, path: Path, **given: Any) -> Imported:
        return import_mlflow(self.store, self.blobs, "taken", path, WHO, **given)

    def register(self, name: str, form: str = ".skops", rows: int | None = 40, path: Path | None = None, **given: Any) -> str:
        """A case of the zoo, with its data as the sample; the version."""
        if path is None:
            path = self.folder / f"model{form}"
            {".skops": skops_io.dump, ".pkl": joblib.dump}[form](fitted(name), path)
        if rows is not None:
            found, sample = data(CASES[name].data), self.folder / "sample.csv"
            found.features.assign(outcome=found.target).iloc[:rows].to_csv(sample, index=False)
            given |= {"sample": sample, "target": "outcome"}
        return str(register.register(self.store, self.blobs, name, path, WHO, trust_pickle=form == ".pkl", **given))

    def moved(self, version: str) -> str:
        """The version, its model now on another server."""
        card = msgspec.structs.replace(self.stored(version).card, format="remote", source="remote:staging/credit")
        with self.store.write() as connection:
            connection.execute(sa.update(versions).where(versions.c.model == version.partition("@")[0]).values(card=known.encode(card)))
        return version

    def export(self, version: str) -> Path:
        export_mlflow(self.store, self.blobs, version, self.out, 0.0)
        return self.out

    def pull(self, version: str) -> Pulled:
        return pull(self.store, self.blobs, version, self.out)

    def stored(self, version: Any) -> Stored:
        return fetch(self.store, self.blobs, str(version))

    def loaded(self, version: Any) -> package.Loaded:
        return package.load(self.stored(version).card, self.blobs.get)

    def shown(self, version: Any) -> dict[str, Any]:
        return register.show_version(self.store, str(version))
