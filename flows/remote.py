"""Remote: which registered version a shadow on another server is, where the server and the model are named in its place."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from core.errors import NotFound
from core.ids import VersionId
from flows import known
from flows.registry.facts import text_of
from flows.registry.uses import is_retired, usable
from models.card import Card
from models.remote.reference import PREFIX, parse
from routing.plan import Shadow
from store import registry, version_facts


def shadow(connection: sa.Connection, reference: str, sample: float, field: str) -> Shadow:
    """The shadow that `credit@3`, `credit@champion` or `remote:staging/credit` asks for; raises Invalid or NotFound naming `field`."""
    remote = reference.startswith(PREFIX)
    version = newest(connection, reference.removeprefix(PREFIX), field) if remote else usable(connection, reference, field)
    found = _card(connection, version).remote
    return Shadow(str(version), sample, msgspec.UNSET if found is None else found)


def newest(connection: sa.Connection, text: str, field: str) -> VersionId:
    """The version that was registered last of `staging/credit` and is not retired, of whatever model; raises Invalid, and NotFound."""
    wanted = str(parse(text, field))
    for version in version_facts.having(connection, "remote", text_of(wanted)):
        # Facts are in small letters.
        if _card(connection, version).remote == wanted and not is_retired(connection, version):
            return version
    raise NotFound(
        f"{field}: no version is {PREFIX}{wanted}; register one first: tiltyard model register NAME {PREFIX}{wanted} --sample FILE",
        field=field,
        code="remote-not-registered",
    )


def _card(connection: sa.Connection, version: VersionId) -> Card:
    return known.decode_card(registry.version_row(connection, version).card)
