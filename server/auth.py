"""Who may do what: scoped tokens, of which only digests are kept, and when one is needed."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Mapping
from hashlib import sha256
from itertools import count
from pathlib import Path

from core.errors import Conflict, Forbidden, Invalid, Unauthenticated
from core.ids import check_name
from core.settings import Settings
from routing.changes import Who
from store import audit, tokens
from store.engine import Store
from store.tokens import TokenRow

SCOPES = ("predict", "outcome", "operate", "admin")
"""Each includes the ones before."""

NOBODY = "anonymous"


def create_token(store: Store, name: str | None, scope: str, who: Who) -> tuple[str, str]:
    """A new token's name and secret, which is shown this once; without a name it is `operate-1`. Raises Invalid or Conflict."""
    if name is not None:
        check_name(name, "name")
    if scope not in SCOPES:
        raise Invalid(f"scope: expected one of {', '.join(SCOPES)}, got {scope!r}", field="scope")
    secret = "tilt_" + secrets.token_urlsafe(32)
    with store.write() as connection:
        taken = {row.token for row in tokens.list_all(connection)}
        name = name or next(free for number in count(1) if (free := f"{scope}-{number}") not in taken)
        if name in taken:
            raise Conflict(f"token {name!r} exists already (the name of a revoked one stays its own)", code="token-exists")
        tokens.add(connection, TokenRow(name, digest(secret), scope, who.at, False))
        audit.write(connection, who.at, who.by, "token.create", name, scope=scope)
    return name, secret


def revoke_token(store: Store, name: str, who: Who) -> None:
    """Make a token worthless; raises NotFound."""
    with store.write() as connection:
        tokens.revoke(connection, name)
        audit.write(connection, who.at, who.by, "token.revoke", name)


def digest(secret: str) -> str:
    """What is kept of a token. It is 256 random bits, so a plain hash is enough: there is nothing to guess."""
    return sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def is_loopback(host: str) -> bool:
    """Whether a bind address is reached from this machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_bind(store: Store, settings: Settings, host: str) -> None:
    """Raises Conflict where the server would be reachable from elsewhere without any token."""
    if is_loopback(host) or settings.admin_token_file or any(not row.revoked for row in _tokens(store)):
        return
    raise Conflict(
        f"host: {host} is reachable from other machines, and no token exists: "
        "create one (`tiltyard token create NAME --scope admin`) or set TILTYARD_ADMIN_TOKEN_FILE",
        field="host",
        code="token-needed",
    )


def _tokens(store: Store) -> list[TokenRow]:
    with store.read() as connection:
        return tokens.list_all(connection)


class Guard:
    """Checks requests of one worker against a copy of the tokens, as fresh as the last `refresh`."""

    def __init__(self, store: Store, settings: Settings, host: str) -> None:
        self._store = store
        self._settings = settings
        self._open_bind = not is_loopback(host)
        self._scopes: Mapping[str, tuple[str, int]] = {}
        # Nobody comes in before the tokens were read once.
        self._guarded = True
        extra = {name.strip().lower() for name in settings.trusted_hosts.split(",") if name.strip()}
        self._hosts = {"localhost", "127.0.0.1", "[::1]", host.lower(), *extra}
        self.traffic_needs_token = self._open_bind or settings.require_token

    def refresh(self) -> None:
        """Read the tokens again; raises Invalid where the token file cannot be read."""
        rows = _tokens(self._store)
        scopes = {row.digest: (row.token, SCOPES.index(row.scope)) for row in rows if not row.revoked}
        if self._settings.admin_token_file:
            scopes[digest(_read_secret(self._settings.admin_token_file))] = ("admin-token-file", SCOPES.index("admin"))
        self._scopes = scopes
        # Who revokes the last one wants nobody to come in, rather than everybody.
        self._guarded = bool(rows or scopes)

    def traffic(self, authorization: str | None, scope: str) -> None:
        """Let a prediction or outcome pass, or raise Unauthenticated or Forbidden."""
        if self.traffic_needs_token:
            self._check(authorization, scope)

    def control(self, authorization: str | None, scope: str = "operate") -> str:
        """Who asks for a control route; raises Unauthenticated or Forbidden. Open on loopback until the first token exists."""
        if not self._guarded and not self._open_bind:
            return NOBODY
        return self._check(authorization, scope)

    def host(self, given: str) -> None:
        """Refuse control requests to a Host that is not ours: a foreign page may have been made to point here. Raises Forbidden."""
        name = given.rsplit(":", 1)[0] if given.rpartition(":")[2].isdigit() else given
        if name.lower() not in self._hosts:
            raise Forbidden(
                f"Host: {name[:100]!r} is not a name of this server: add it to TILTYARD_TRUSTED_HOSTS", field="Host", code="unknown-host"
            )

    def _check(self, authorization: str | None, scope: str) -> str:
        kind, _, secret = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not secret:
            raise Unauthenticated(f"Authorization: expected a bearer token with scope {scope}", field="Authorization")
        found = self._scopes.get(digest(secret.strip()))
        if found is None:
            raise Unauthenticated("Authorization: this token is unknown or revoked", field="Authorization")
        name, level = found
        if level < SCOPES.index(scope):
            raise Forbidden(
                f"Authorization: token {name} has scope {SCOPES[level]}, this needs {scope}", field="Authorization", code="scope"
            )
        return name


def _read_secret(path: str) -> str:
    try:
        secret = Path(path).read_text().strip()
    except OSError as error:
        raise Invalid(f"TILTYARD_ADMIN_TOKEN_FILE: {path} cannot be read: {error.strerror}", field="admin_token_file") from None
    if len(secret) < 16:
        raise Invalid(f"TILTYARD_ADMIN_TOKEN_FILE: expected at least 16 characters in {path}", field="admin_token_file")
    return secret
