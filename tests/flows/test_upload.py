"""Uploads on their way to a version, without a network: slots, samples, orders, and what is not believed of a building process."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from skops import io as skops_io

from core.errors import Invalid, NotFound, Rejected, Unavailable
from flows import known, register, upload
from flows.upload import Order, Slot, Wanted
from models import artefact
from models.about import About
from routing.changes import Who
from store.blobs import Blobs
from tests.flows.flow_world import World, card
from tests.models import bombs

WANTED = Wanted("dia", "d" * 64, "champion", About(description="mine", tags=("a",)))
WHO = Who("ann", 5.0, "by REST")


class Harbour:
    """A home's uploads, and a slot taken there."""

    def __init__(self, world: World, directory: Path) -> None:
        self.store = world.store
        self.blobs = Blobs(directory / "blobs")
        self.directory = directory / "uploads"
        self.slot = upload.enter(self.directory)

    def build(self, data: bytes, order: Order, sample: str | None = None) -> None:
        (self.slot.folder / order.file).write_bytes(data)
        upload.place_order(self.directory, self.slot, order, sample)
        upload.build(self.slot.folder)

    def keep(self, wanted: Wanted = WANTED):
        return upload.keep(self.store, self.blobs, self.slot.folder, wanted, WHO)

    def claim(self, content: bytes = b"x", **fields: object) -> None:
        """What a building process that an attacker has taken over might say."""
        upload.place_order(self.directory, self.slot, Order("upload.skops"), None)
        (self.slot.folder / "artefact").write_bytes(content)
        told = {"blobs": {"artefact": artefact.digest(b"x")}, "format": "skops", **fields}
        (self.slot.folder / "built.json").write_bytes(known.encode(msgspec.structs.replace(card(), **told)))


@pytest.fixture
def harbour(bare: World, tmp_path: Path):
    made = Harbour(bare, tmp_path)
    yield made
    made.slot.leave()


@pytest.fixture(scope="module")
def forest() -> bytes:
    return skops_io.dumps(RandomForestRegressor(3, random_state=0).fit(*load_diabetes(return_X_y=True)))


def test_an_upload_becomes_a_version(harbour, forest):
    """With the digest of what was sent, what its author says, its alias, and an audit row; its blobs moved into the store."""
    harbour.build(forest, Order("upload.skops"))
    version = harbour.keep()
    shown = register.show_version(harbour.store, str(version))
    assert (shown["source_digest"], shown["about"], shown["aliases"]) == ("d" * 64, {"description": "mine", "tags": ["a"]}, ["champion"])
    assert (shown["format"], shown["by"], shown["source"]) == ("skops", "ann", "upload.skops")
    assert harbour.blobs.get(shown["blobs"]["artefact"])
    assert not (harbour.slot.folder / "artefact").exists()


def test_a_sample_waits_for_its_models(harbour, forest):
    """It is found by its digest, as often as it is named; with it the model compiles and has golden rows."""
    file = harbour.slot.folder / "sample.csv"
    load_diabetes(as_frame=True).frame.head(40).to_csv(file, index=False)
    digest = artefact.digest(file.read_bytes())
    upload.keep_sample(harbour.directory, file, digest)
    harbour.build(forest, Order("upload.skops", target="target"), digest)
    shown = register.show_version(harbour.store, str(harbour.keep()))
    assert (shown["format"], set(shown["blobs"]), shown["compiled"]["rows"]) == ("onnx", {"artefact", "golden"}, 40)
    with pytest.raises(NotFound, match="sample: none of digest abc waits here"):
        upload.place_order(harbour.directory, harbour.slot, Order("upload.skops"), "abc")


def test_samples_do_not_wait_for_ever(harbour):
    """After a day they are swept, and not before."""
    for name, age in (("old", upload.SAMPLE_SECONDS + 60), ("new", 60)):
        file = harbour.slot.folder / "sample.csv"
        file.write_text("a\n1\n")
        os.utime(file, (time.time() - age,) * 2)
        upload.keep_sample(harbour.directory, file, name)
    upload.sweep(harbour.directory)
    assert [path.name for path in (harbour.directory / "samples").iterdir()] == ["new.csv"]


def test_the_oldest_samples_give_way(harbour):
    """Sixteen wait at most."""
    for number in range(20):
        file = harbour.slot.folder / "sample.csv"
        file.write_text("a\n1\n")
        os.utime(file, (time.time() - 1000 + number,) * 2)
        upload.keep_sample(harbour.directory, file, f"{number:02}")
    assert sorted(path.stem for path in (harbour.directory / "samples").iterdir()) == [f"{number:02}" for number in range(4, 20)]


def test_a_sample_is_named_by_its_digest():
    """And by nothing that could be a path."""
    assert upload.check_digest("AB" * 32) == "ab" * 32
    for text in ("../x", "", "a" * 63, "g" * 64, "a" * 64 + "\n"):
        with pytest.raises(Invalid, match="sample: expected the SHA-256"):
            upload.check_digest(text)


def test_what_is_wrong_with_a_file_reaches_the_client(harbour, forest, tmp_path):
    """The same error, with its field and code, as if it had been built here; and nothing is stored."""
    for data, order, kind, message in (
        (b"x", Order("upload.onnx"), Rejected, r"upload\.onnx: not a valid ONNX file"),
        (bombs.pickled(tmp_path / "canary"), Order("upload.skops"), Rejected, "no ZIP archive"),
        (forest, Order("upload.skops", sample="sample.csv", target="nothing"), Invalid, "target: the sample has no column 'nothing'"),
    ):
        (harbour.slot.folder / "sample.csv").write_text("a,b\n1,2\n")
        harbour.build(data, order)
        with pytest.raises(kind, match=message) as caught:
            harbour.keep()
        (harbour.slot.folder / "refused.json").unlink()
    assert caught.value.field == "target"
    assert not list(tmp_path.glob("blobs/*/*"))
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("content", "told", "message"),
    [
        (b"x", {"format": "pickle"}, "a pickle artefact .* may not come over the network"),
        (b"x", {"format": "river"}, "a river artefact"),
        (b"x", {"format": "remote"}, "a remote artefact"),
        (b"x", {"blobs": {"artefact": artefact.digest(b"x"), "code": artefact.digest(b"x")}}, "'code'"),
        (b"x", {"trusted": ("builtins.eval",)}, "may not come"),
        (b"y", {}, "its artefact is not the one that the card names"),
    ],
)
def test_the_building_process_is_not_believed(harbour, content, told, message):
    """Whatever a taken-over one claims: no form that runs code when it is loaded, no type that the operator did not trust."""
    harbour.claim(content, **told)
    with pytest.raises(Rejected, match=message):
        harbour.keep()


def test_a_process_that_leaves_nothing_or_nonsense(harbour):
    """Is a refusal as well."""
    upload.place_order(harbour.directory, harbour.slot, Order("upload.skops"), None)
    with pytest.raises(Rejected, match="nothing was built"):
        harbour.keep()
    (harbour.slot.folder / "built.json").write_bytes(b"{}")
    with pytest.raises(Rejected, match="nothing was built"):
        harbour.keep()


def test_there_are_two_slots(harbour):
    """A third upload is told when to come again; a slot that is left lets the next one in, to an empty folder."""
    second = upload.enter(harbour.directory)
    with pytest.raises(Unavailable, match="2 uploads") as caught:
        upload.enter(harbour.directory)
    assert caught.value.retry_after == 10
    (second.folder / "left").touch()
    second.leave()
    third = upload.enter(harbour.directory)
    assert list(third.folder.iterdir()) == []
    third.leave()


def test_what_a_killed_process_left_is_swept(harbour):
    """Its lock is gone with it; the slot of one that lives stays."""
    killed: Slot = upload.enter(harbour.directory)
    (killed.folder / "big").touch()
    (harbour.slot.folder / "mine").touch()
    os.close(killed.lock)
    upload.sweep(harbour.directory)
    assert not killed.folder.exists()
    assert (harbour.slot.folder / "mine").exists()


def test_a_home_without_uploads_is_swept_too(tmp_path):
    """And nothing is made there."""
    upload.sweep(tmp_path / "uploads")
    assert list(tmp_path.iterdir()) == []


def test_formats():
    """Named ones only."""
    assert upload.check_format("onnx", upload.FORMATS) == ".onnx"
    for given in ("pickle", None, ""):
        with pytest.raises(Invalid, match="format: expected skops or onnx, got"):
            upload.check_format(given, upload.FORMATS)
