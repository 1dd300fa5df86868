"""Which versions name which blobs: a blob may go once no version names it any more."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from core.ids import VersionId
from store import dialect
from store.tables import version_blobs


def add(connection: sa.Connection, version: VersionId, digests: Collection[str]) -> None:
    """The version names these blobs."""
    rows = [{"digest": digest, "model": version.model, "version": version.number} for digest in set(digests)]
    dialect.insert_new(connection, version_blobs, rows)


def unnamed(connection: sa.Connection, digests: Collection[str]) -> set[str]:
    """Those of `digests` that no version names."""
    found = connection.scalars(sa.select(version_blobs.c.digest).where(version_blobs.c.digest.in_(digests)))
    return set(digests) - set(found)
