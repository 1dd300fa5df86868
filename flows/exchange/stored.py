"""A registered version with its blobs read, ready to be written elsewhere."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from core.errors import Rejected
from core.ids import VersionId
from flows import known
from models.card import Card
from models.golden import Golden
from store import registry
from store.blobs import Blobs
from store.engine import Store


class Stored(NamedTuple):
    """A version; `golden` are its golden rows, None where it has none, `code` its own Python file."""

    version: VersionId
    card: Card
    artefact: bytes
    golden: Golden | None
    code: bytes | None


def fetch(store: Store, blobs: Blobs, reference: str) -> Stored:
    """The version that `credit@3` or `credit@champion` names; raises Invalid, NotFound or Rejected.

    Rejected also where its model is on another server: there is nothing to write.
    """
    with store.read() as connection:
        version = registry.resolve(connection, reference, "version")
        card = known.decode_card(registry.version_row(connection, version).card)
    if card.remote is not None:
        raise Rejected(f"{version}: its model is on another server, {card.remote}, and not here")
    contents = {role: blobs.get(digest) for role, digest in card.blobs.items()}
    golden = msgspec.json.decode(contents["golden"], type=Golden) if "golden" in contents else None
    return Stored(version, card, contents["artefact"], golden, contents.get("code"))
