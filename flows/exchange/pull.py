"""Pull: a version becomes a folder that can be used, read and checked without Tiltyard."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from flows import register
from flows.exchange import pulled, requirements
from flows.exchange.folder import fresh
from flows.exchange.stored import Stored, fetch
from models import artefact, factory
from store.blobs import Blobs
from store.engine import Store


class Form(NamedTuple):
    """How an artefact is called in the folder, the program that asks it, and what that needs beside the captured libraries.

    `more` is needed where the model takes data frames, or is one of trees.
    """

    file: str
    program: str
    more: tuple[str, ...] = ()


FORMS = {
    "linear": Form("model.json", "linear"),
    "onnx": Form("model.onnx", "onnx"),
    "skops": Form("model.skops", "native", ("pandas",)),
    "pickle": Form("model.pkl", "native", ("pandas",)),
    "treelite": Form("model.msgpack", "trees", ("msgspec",)),
    "river": Form("model.pkl", "river"),
}


class Pulled(NamedTuple):
    """What was written: the version, and the names of its files."""

    version: str
    files: tuple[str, ...]


def pull(store: Store, blobs: Blobs, reference: str, directory: Path) -> Pulled:
    """Write the version into `directory`, which is made as a whole or not at all.

    Raises NotFound, Rejected where a blob is damaged, Conflict where the directory holds anything.
    """
    found = fetch(store, blobs, reference)
    files = _files(found, register.show_version(store, str(found.version)))
    with fresh(directory) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
    return Pulled(str(found.version), tuple(sorted(files)))


def _files(found: Stored, shown: dict[str, Any]) -> dict[str, bytes]:
    form = FORMS[found.card.format]
    more = form.more if found.card.layout == "frame" or found.card.format == "treelite" else ()
    files = {
        form.file: found.artefact,
        "model.py": _program(form.program),
        "card.json": _pretty(shown),
        "requirements.txt": "".join(f"{line}\n" for line in requirements.lines(found.card, *more)).encode(),
    }
    if found.card.format == "skops":
        files["types.json"] = _pretty(artefact.untrusted(found.artefact))
    if found.golden is not None:
        files |= {"golden.json": _pretty(found.golden), "check.py": _program("check")}
    if found.code is not None:
        files[f"{factory.module_name(found.code)}.py"] = found.code
    return files


def _program(name: str) -> bytes:
    return resources.files(pulled).joinpath(f"{name}.py").read_bytes()


def _pretty(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)
