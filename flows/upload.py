"""Upload: a model file that came over the network is audited and built by a process of its own, then becomes a version.

In the home's directory `uploads`:

    slot-N.lock        held by whoever receives and builds an upload; there are two of them
    slot-N/            what is on its way: the file, `order.json`, and from the building process `built.json` and a file for each blob
    samples/DIGEST.csv samples, for a day

The process that built a package read a stranger's file. So what it says is not believed either: `keep` takes nothing of a form that
runs code when it is loaded.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from core import errors
from core.errors import Invalid, NotFound, Rejected, TiltyardError, Unavailable
from core.ids import VersionId
from flows import known, register
from models.about import About
from models.card import Card
from models.package import Package
from routing.changes import Who
from store.blobs import Blobs
from store.engine import Store

AT_ONCE = 2
"""Uploads of one home, whichever of its workers receives them. Each may take a core and the memory that the settings allow it."""
BUSY_SECONDS = 10
"""After which a refused one may try again."""
SAMPLE_SECONDS = 86400.0
MOST_SAMPLES = 16
"""How long a sample waits for its models, and how many of them do."""
FORMATS = {"skops": ".skops", "onnx": ".onnx"}
SAMPLES = {"csv": ".csv", "parquet": ".parquet"}
MOST_CARD = 16 * 2**20

_ORDER, _BUILT, _REFUSED = "order.json", "built.json", "refused.json"
_DIGEST = re.compile(r"[0-9a-fA-F]{64}\Z")
_SAFE = {"linear", "onnx", "skops", "treelite"}
_ROLES = {"artefact", "golden"}


class Slot(NamedTuple):
    """The right to receive an upload: an empty folder for it, held by an open, locked file."""

    folder: Path
    lock: int

    def leave(self) -> None:
        """Remove the folder with all that is in it, and let the next one in."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self.lock)


class Order(msgspec.Struct, frozen=True):
    """What the building process is to build: names of files in its folder; `trusted` are types that the operator allows."""

    file: str
    sample: str | None = None
    target: str | None = None
    trusted: tuple[str, ...] = ()


class Refusal(msgspec.Struct, frozen=True):
    """An error of ours on its way from the building process; `kind` is its class in `core.errors`."""

    kind: str
    message: str
    field: str | None
    code: str


class Wanted(NamedTuple):
    """What an upload is to become: the next version of `model`, from a file of that digest."""

    model: str
    digest: str
    alias: str | None
    about: About


def enter(uploads: Path) -> Slot:
    """A free slot, its folder empty; raises Unavailable where there is none."""
    uploads.mkdir(mode=0o700, exist_ok=True)
    for number in range(AT_ONCE):
        slot = _enter(uploads / f"slot-{number}")
        if slot is not None:
            slot.folder.mkdir(mode=0o700)
            return slot
    error = Unavailable(f"{AT_ONCE} uploads are being received or built, which is as many as there may be at once", code="uploads-busy")
    error.retry_after = BUSY_SECONDS
    raise error


def sweep(uploads: Path) -> None:
    """Remove what processes that were killed have left in their slots, and samples that have waited for a day."""
    if not uploads.is_dir():
        return
    for number in range(AT_ONCE):
        slot = _enter(uploads / f"slot-{number}")
        if slot is not None:
            slot.leave()
    for sample in (uploads / "samples").glob("*"):
        if time.time() - sample.stat().st_mtime > SAMPLE_SECONDS:
            sample.unlink(missing_ok=True)


def keep_sample(uploads: Path, file: Path, digest: str) -> None:
    """Let the received `file`, whose name says its form, wait for models; the oldest one gives way where there are too many."""
    path = uploads / "samples" / f"{digest}{file.suffix}"
    path.parent.mkdir(exist_ok=True)
    file.replace(path)
    for older in sorted(path.parent.iterdir(), key=lambda each: each.stat().st_mtime)[:-MOST_SAMPLES]:
        older.unlink(missing_ok=True)


def place_order(uploads: Path, slot: Slot, order: Order, sample: str | None) -> None:
    """Write the order into the slot, and beside it the sample of that digest; raises NotFound."""
    if sample is not None:
        path = next((path for suffix in SAMPLES.values() if (path := uploads / "samples" / f"{sample}{suffix}").exists()), None)
        if path is None:
            raise NotFound(
                f"sample: none of digest {sample[:64]} waits here; they are kept for a day", field="sample", code="sample-not-found"
            )
        order = msgspec.structs.replace(order, sample=f"sample{path.suffix}")
        # A second name and no copy: it stays here though the other be swept meanwhile.
        os.link(path, slot.folder / f"sample{path.suffix}")
    (slot.folder / _ORDER).write_bytes(msgspec.json.encode(order))


def build(folder: Path) -> None:
    """Carry out the order in `folder`, and leave a package or a refusal there. What runs this is the building process."""
    order = msgspec.json.decode((folder / _ORDER).read_bytes(), type=Order)
    try:
        card, blobs = _build(folder, order)
    except TiltyardError as error:
        refusal = Refusal(type(error).__name__, error.message, error.field, error.code)
        (folder / _REFUSED).write_bytes(msgspec.json.encode(refusal))
        return
    for role, content in blobs.items():
        (folder / role).write_bytes(content)
    (folder / _BUILT).write_bytes(known.encode(card))


def keep(store: Store, blobs: Blobs, folder: Path, wanted: Wanted, who: Who) -> VersionId:
    """The next version of the model, of what was built in `folder`; raises what the building process refused it with.

    Raises Rejected where that process has left nothing, or what may not come over the network.
    """
    card = msgspec.structs.replace(_built(folder), source_digest=wanted.digest)
    order = msgspec.json.decode((folder / _ORDER).read_bytes(), type=Order)
    if card.format not in _SAFE or card.river is not None or not set(card.blobs) <= _ROLES or not set(card.trusted) <= set(order.trusted):
        raise Rejected(f"{order.file}: a {card.format} artefact of {sorted(card.blobs)} may not come over the network")
    for role, digest in card.blobs.items():
        if blobs.take(folder / role) != digest:
            raise Rejected(f"{order.file}: its {role} is not the one that the card names")
    return register.add(store, blobs, wanted.model, Package(card, {}), who, alias=wanted.alias, about=wanted.about)


def check_digest(text: str) -> str:
    """`text` where it is a SHA-256 in hexadecimal; raises Invalid."""
    if not _DIGEST.match(text):
        raise Invalid(f"sample: expected the SHA-256 of an uploaded sample in hexadecimal, got {text[:80]!r}", field="sample")
    return text.lower()


def check_format(given: str | None, known: dict[str, str]) -> str:
    """The suffix of files of the form `given`; raises Invalid."""
    if given not in known:
        raise Invalid(f"format: expected {' or '.join(known)}, got {str(given)[:40]!r}", field="format")
    return known[given]


def _enter(folder: Path) -> Slot | None:
    lock = os.open(folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    shutil.rmtree(folder, ignore_errors=True)
    return Slot(folder, lock)


def _build(folder: Path, order: Order) -> tuple[Card, dict[str, bytes]]:
    from flows.watching.losses import with_losses
    from models.building import build as build_package  # here, because workers load what they never build

    sample = None if order.sample is None else folder / order.sample
    try:
        package = with_losses(build_package(folder / order.file, sample=sample, target=order.target, trusted=order.trusted))
    except MemoryError:
        raise Rejected(f"{order.file}: it takes more memory than an upload may (TILTYARD_UPLOAD_MEMORY_BYTES)") from None
    return package.card, package.blobs


def _built(folder: Path) -> Card:
    refused, built = folder / _REFUSED, folder / _BUILT
    try:
        if refused.exists():
            refusal = msgspec.json.decode(refused.read_bytes()[:MOST_CARD], type=Refusal)
            kind = getattr(errors, refusal.kind)
            raise kind(refusal.message, field=refusal.field, code=refusal.code)
        if built.stat().st_size > MOST_CARD:
            raise Rejected(f"the card is longer than {MOST_CARD} bytes; a sample of so many columns or categories cannot be kept")
        return known.decode_card(built.read_bytes())
    except (OSError, msgspec.MsgspecError) as error:
        raise Rejected(f"nothing was built of it: {error}") from None
