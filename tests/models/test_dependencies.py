"""Another release of a library than the one that made a version: a warning, unless the answers differ."""

from __future__ import annotations

import logging

import msgspec
import pytest

from core.errors import ModelFailed, Rejected
from models import artefact, dependencies
from models.golden import Golden
from models.package import load
from tests.models.model_zoo import CASES, fitted


@pytest.fixture
def native(workshop):
    """A version that scikit-learn serves."""
    package = workshop.build(fitted("calibrated"), sample="iris")
    assert package.card.format == "skops"
    return package


def made_with(package, **versions):
    """The package as if other releases had made it."""
    return msgspec.structs.replace(package.card, versions=package.card.versions | versions)


def loaded(package, card, **blobs):
    contents = package.blobs | blobs
    return load(card, {package.card.blobs[role]: content for role, content in contents.items()}.__getitem__)


def test_the_same_minor_release_is_no_news(native, caplog):
    """Nor is another patch, or another release of what only registration uses."""
    here = native.card.versions["scikit-learn"]
    patched = ".".join([*here.split(".")[:2], "99"])
    assert loaded(native, made_with(native, **{"scikit-learn": patched, "skl2onnx": "0.1.0", "onnxruntime": "0.1.0"})).warnings == ()
    assert caplog.text == ""


def test_another_minor_release_warns(native, caplog):
    """The version serves: its golden rows agree. The log says it once for each load, and whoever has it can say it too."""
    with caplog.at_level(logging.WARNING, "tiltyard.package"):
        one = loaded(native, made_with(native, **{"scikit-learn": "0.9.0"}))
    here = dependencies.installed("scikit-learn")
    assert one.warnings == (f"made with scikit-learn 0.9.0, here is {here}",)
    assert caplog.text.count(f"made with scikit-learn 0.9.0, here is {here}") == 1
    assert one.predict([native.card.signature.blank()])


def test_other_answers_are_refused_with_both_reasons(native):
    """The golden row that differs, and the release that may be why."""
    golden = msgspec.json.decode(native.blobs["golden"], type=Golden)
    changed = msgspec.json.encode(Golden(golden.rows, [*golden.outputs[1:], golden.outputs[0]][::-1]))
    card = made_with(native, **{"scikit-learn": "0.9.0"})
    told = {**card.blobs, "golden": artefact.digest(changed)}
    contents = {card.blobs["artefact"]: native.blobs["artefact"], told["golden"]: changed}
    with pytest.raises(ModelFailed, match=r"golden row \d+ differs .*\(made with scikit-learn 0\.9\.0, here is"):
        load(msgspec.structs.replace(card, blobs=told), contents.__getitem__)


def test_what_cannot_be_loaded_any_more_names_the_release(native):
    """As a damaged artefact does; without another release the reason stands alone."""
    with pytest.raises(Rejected, match=r"has changed since .* \(made with scikit-learn 0\.9\.0"):
        loaded(native, made_with(native, **{"scikit-learn": "0.9.0"}), artefact=b"x")
    with pytest.raises(Rejected, match=r"\)$") as caught:
        loaded(native, native.card, artefact=b"x")
    assert "made with" not in caught.value.message


def test_a_compiled_version_does_not_need_scikit_learn(workshop):
    """A linear one needs nothing, an ONNX one onnxruntime, trees need treelite."""
    trees = workshop.build(fitted("histogram-categories"), sample=CASES["histogram-categories"].data)
    assert dependencies.differing(made_with(trees, treelite="0.9", **{"scikit-learn": "0.9.0"})) == (
        f"made with treelite 0.9, here is {dependencies.installed('treelite')}",
    )
    linear = workshop.build(fitted("ridge"), sample="diabetes")
    onnx = workshop.build(fitted("forest-regressor"), sample="diabetes")
    old = {"scikit-learn": "0.9.0", "river": "0.1.0"}
    assert loaded(linear, made_with(linear, **old, onnxruntime="0.1")).warnings == ()
    assert loaded(onnx, made_with(onnx, **old)).warnings == ()
    assert loaded(onnx, made_with(onnx, onnxruntime="1.0.3")).warnings == (
        f"made with onnxruntime 1.0.3, here is {dependencies.installed('onnxruntime')}",
    )


def test_a_library_that_is_missing(native, monkeypatch):
    """Is said to be."""
    monkeypatch.setattr(dependencies, "installed", lambda name: None)
    assert dependencies.differing(native.card) == (f"made with scikit-learn {native.card.versions['scikit-learn']}, here is none",)
