"""Access tokens: only their digests are kept."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from core.errors import NotFound
from store.tables import tokens


class TokenRow(NamedTuple):
    """A token's name, digest and scope."""

    token: str
    digest: str
    scope: str
    at: float
    revoked: bool


def add(connection: sa.Connection, row: TokenRow) -> None:
    """A new token."""
    connection.execute(sa.insert(tokens).values(row._asdict()))


def find(connection: sa.Connection, digest: str) -> TokenRow | None:
    """The token with that digest, unless revoked."""
    row = connection.execute(sa.select(tokens).where(tokens.c.digest == digest, tokens.c.revoked.is_(False))).one_or_none()
    return None if row is None else TokenRow(*row)


def list_all(connection: sa.Connection) -> list[TokenRow]:
    """All tokens, oldest first."""
    return [TokenRow(*row) for row in connection.execute(sa.select(tokens).order_by(tokens.c.at))]


def revoke(connection: sa.Connection, token: str) -> None:
    """Make a token worthless; raises NotFound."""
    if connection.execute(sa.update(tokens).where(tokens.c.token == token).values(revoked=True)).rowcount == 0:
        raise NotFound(f"no token {token!r}", field="token", code="token-not-found")
