"""Remote: which registered version a shadow on another server is, where the server and the model are named in its place."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from core.errors import NotFound
from core.ids import VersionId
from flows import known
from models.remote.reference import PREFIX, parse
from routing.plan import Shadow
from store import registry


class _Source(msgspec.Struct):
    """The part of a card that says what was registered."""

    source: str


_SOURCE = msgspec.json.Decoder(_Source)


def shadow(connection: sa.Connection, reference: str, sample: float, field: str) -> Shadow:
    """The shadow that `credit@3`, `credit@champion` or `remote:staging/credit` asks for; raises Invalid or NotFound naming `field`."""
    remote = reference.startswith(PREFIX)
    version = newest(connection, reference.removeprefix(PREFIX), field) if remote else registry.resolve(connection, reference, field)
    found = known.decode_card(registry.version_row(connection, version).card).remote
    return Shadow(str(version), sample, msgspec.UNSET if found is None else found)


def newest(connection: sa.Connection, text: str, field: str) -> VersionId:
    """The version of whatever model that was registered last of `staging/credit`.

    Raises Invalid where `text` is no such name, NotFound with the command that registers one.
    """
    wanted = PREFIX + str(parse(text, field))
    for row in registry.newest_first(connection):
        if _SOURCE.decode(row.card).source == wanted:
            return row.version
    raise NotFound(
        f"{field}: no version is {wanted}; register one first: tiltyard model register NAME {wanted} --sample FILE",
        field=field,
        code="remote-not-registered",
    )
