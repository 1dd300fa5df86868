"""Where tests make models, save them and register them, as a user would."""

from __future__ import annotations

import joblib
from skops import io as skops_io

from models.building import build
from models.package import load
from tests.models.model_zoo import data


class Workshop:
    """A folder in which models and samples are saved and registered."""

    def __init__(self, folder):
        self.folder = folder

    def save(self, model, suffix=".skops"):
        path = self.folder / f"model{suffix}"
        if suffix == ".onnx":
            path.write_bytes(model.SerializeToString())
        else:
            {".skops": skops_io.dump, ".pkl": joblib.dump}[suffix](model, path)
        return path

    def sample(self, name, rows=None):
        given = data(name)
        path = self.folder / f"{name}.csv"
        given.features.assign(outcome=given.target).iloc[:rows].to_csv(path, index=False)
        return path

    def build(self, model, suffix=".skops", sample=None, target="outcome", trust=False):
        path = self.save(model, suffix)
        known = None if sample is None else self.sample(sample) if isinstance(sample, str) else sample
        return build(path, sample=known, target=target if known else None, trust_pickle=trust)


def reload(package, **blobs):
    contents = package.blobs | blobs
    return load(package.card, {package.card.blobs[role]: content for role, content in contents.items()}.__getitem__)
