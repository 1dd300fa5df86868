"""Model files: what is read, what is refused, and that nothing hostile is executed on the way."""

from __future__ import annotations

import io
import json
import pickle
import sys
import zipfile

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skops import io as skops_io

from core.errors import Rejected
from models import artefact


class Custom(RegressorMixin, BaseEstimator):
    """An estimator that no allow-list knows."""

    def fit(self, X, y):
        self.coef_ = np.ones(3)
        return self

    def predict(self, X):
        return np.zeros(len(X))


class Exploding:
    """A pickle of this runs code when it is loaded."""

    def __reduce__(self):
        return print, ("BOOM",)


def ridge():
    return Ridge().fit(np.eye(3), [1.0, 2.0, 3.0])


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".joblib", ".PKL"])
def test_a_pickle_is_refused_unread(tmp_path, suffix, capsys):
    """Without trust not a byte of it is interpreted, and the sentence says what to do instead."""
    path = tmp_path / f"model{suffix}"
    path.write_bytes(pickle.dumps(Exploding()))
    with pytest.raises(Rejected, match=r"runs whatever code its author put into it.*skops\.io\.dump.*--trust-pickle"):
        artefact.read(path, trust_pickle=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("dump", [joblib.dump, lambda model, path: path.write_bytes(pickle.dumps(model))])
def test_a_trusted_pickle_is_read(tmp_path, dump):
    """From joblib and from pickle alike."""
    dump(ridge(), tmp_path / "model.pkl")
    source = artefact.read(tmp_path / "model.pkl", trust_pickle=True)
    assert source.format == "pickle"
    assert source.digest == artefact.digest(source.data)
    assert artefact.load_estimator(source.data, "pickle").coef_ == pytest.approx(ridge().coef_)


def test_a_skops_file_is_read(tmp_path):
    """With no trust needed."""
    skops_io.dump(ridge(), tmp_path / "model.skops")
    source = artefact.read(tmp_path / "model.skops", trust_pickle=False)
    assert artefact.load_estimator(source.data, source.format).coef_ == pytest.approx(ridge().coef_)


def test_files_that_cannot_be_read_are_named(tmp_path):
    """No such file, a directory, an empty file, an unknown kind."""
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "empty.onnx").touch()
    for name, message in [
        ("absent.skops", "No such file"),
        ("folder.onnx", "Is a directory"),
        ("empty.onnx", r"empty\.onnx: the file is empty"),
        ("model.h5", r"model\.h5: expected a file ending in \.skops, \.onnx, "),
        ("model", "expected a file ending in"),
    ]:
        with pytest.raises(Rejected, match=message):
            artefact.read(tmp_path / name, trust_pickle=False)


def test_a_file_above_the_limit_is_not_read(tmp_path, monkeypatch):
    """Its size is looked at first."""
    (tmp_path / "model.onnx").write_bytes(b"x" * 100)
    monkeypatch.setattr(artefact, "MOST_BYTES", 99)
    with pytest.raises(Rejected, match="100 bytes; at most 99"):
        artefact.read(tmp_path / "model.onnx", trust_pickle=False)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (lambda: Custom().fit(None, None), "Custom"),
        (lambda: make_pipeline(FunctionTransformer(eval), ridge()), "builtins.eval"),
        (lambda: make_pipeline(FunctionTransformer(io.open), ridge()), "io.open"),
    ],
)
def test_unknown_types_are_named(model, named):
    """An object of a class, or a function, that is not on the list stops the audit, which says its name."""
    with pytest.raises(Rejected, match=f"types that are not allowed: .*{named}"):
        artefact.load_estimator(skops_io.dumps(model()), "skops")


def hostile(**root):
    """A skops file whose schema is `root`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", json.dumps({"protocol": 2, "_skops_version": "0.16.0", **root}))
    return buffer.getvalue()


def test_nothing_is_imported_before_the_audit(tmp_path, monkeypatch):
    """A forged description that names a module of the attacker's does not get it imported."""
    (tmp_path / "attackers_module.py").write_text("from pathlib import Path\nPath(__file__).with_name('BOOM').touch()\nclass Evil: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    forged = hostile(__class__="Evil", __module__="attackers_module", __loader__="ObjectNode", __id__=1, content=None)
    with pytest.raises(Rejected, match=r"attackers_module\.Evil"):
        artefact.load_estimator(forged, "skops")
    assert not (tmp_path / "BOOM").exists()
    assert "attackers_module" not in sys.modules


@pytest.mark.parametrize(
    "data",
    [
        b"not a zip",
        skops_io.dumps(Ridge())[:-200],
        hostile(),
        hostile(__class__="Ridge", __module__="sklearn.linear_model._ridge", __loader__="NoSuchNode", __id__=1),
        hostile(__class__="system", __module__="posix", __loader__="OperatorFuncNode", __id__=1, attrs={}),
    ],
)
def test_a_damaged_or_forged_skops_file_is_rejected(data):
    """Whatever is wrong inside, the error is Rejected."""
    with pytest.raises(Rejected):
        artefact.load_estimator(data, "skops")


def test_an_archive_that_unpacks_to_too_much_is_rejected(monkeypatch):
    """A small file of many zeros is not unpacked."""
    monkeypatch.setattr(artefact, "MOST_BYTES", 10_000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * 20_000)
    assert len(buffer.getvalue()) < 10_000
    with pytest.raises(Rejected, match="unpacks to more than 10000 bytes"):
        artefact.load_estimator(buffer.getvalue(), "skops")


@pytest.mark.parametrize("data", [b"no pickle", pickle.dumps(ridge())[:-20], b"cno.such.module\nThing\n."])
def test_a_broken_pickle_is_rejected(data):
    """Truncated, garbage, or of a class that is not installed here."""
    with pytest.raises(Rejected, match="the pickle cannot be loaded"):
        artefact.load_estimator(data, "pickle")


def test_skops_takes_over_what_it_can_hold():
    """A pickled estimator is kept as skops where the audit would let it in again, else not."""
    data = artefact.dump_skops(ridge())
    assert data is not None
    assert artefact.load_estimator(data, "skops").coef_ == pytest.approx(ridge().coef_)
    assert artefact.dump_skops(Custom().fit(None, None)) is None


def test_the_list_of_allowed_types_names_real_types():
    """A type that scikit-learn has moved would silently be refused: each name can be imported."""
    import importlib

    for name in artefact.ALLOWED:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
