"""A case of the zoo, saved to files and registered from them, as a user would."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from skops import io as skops_io

from models.building import build
from models.package import Package
from tests.models.model_zoo import CASES, fitted
from tests.models.zoo_data import data


class Saved(NamedTuple):
    """A case's estimator as skops, its data as CSV, and how it is to be registered."""

    path: Path
    sample: Path
    asked: dict[str, Any]


def save(name: str, folder: Path) -> Saved:
    """The files of a case in `folder`."""
    given, output = data(CASES[name].data), CASES[name].output
    path, sample = folder / f"{name}.skops", folder / f"{name}.csv"
    given.features.assign(outcome=given.target if output is None else given.target[:, output]).to_csv(sample, index=False)
    skops_io.dump(fitted(name), path)
    return Saved(path, sample, {"target": "outcome", "output": output})


def register(name: str, folder: Path) -> Package:
    """The package of a case."""
    saved = save(name, folder)
    return build(saved.path, sample=saved.sample, trust_pickle=False, **saved.asked)
