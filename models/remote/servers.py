"""The servers that may be asked: each has a name in the configuration, and what is registered says only the name.

So whoever registers models or changes plans cannot make this server call an address of their choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from core.errors import Invalid, Rejected
from core.ids import check_name

SERVERS, TOKENS = "TILTYARD_REMOTES", "TILTYARD_REMOTE_TOKEN_FILES"
"""The settings, as an operator sets them."""

_PORTS = {"http": 80, "https": 443}


class Server(NamedTuple):
    """Where a server is. `prefix` stands before every path; `token_file` holds the bearer token that it wants, None: it wants none."""

    name: str
    host: str
    port: int
    tls: bool
    prefix: str = ""
    token_file: Path | None = None

    @property
    def address(self) -> str:
        """As a URL, for the log."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{self.prefix}"


class Remotes:
    """The servers by name."""

    def __init__(self, servers: Mapping[str, Server]) -> None:
        self._servers = dict(servers)

    def server(self, name: str) -> Server:
        """The server of that name; raises Rejected where the configuration has none."""
        found = self._servers.get(name)
        if found is None:
            known = ", ".join(self._servers) or "no server"
            raise Rejected(f"no remote server is called {name!r}: {SERVERS} names {known}")
        return found


NONE = Remotes({})
"""For whoever asks no other server."""


def from_settings(servers: str, token_files: str) -> Remotes:
    """What the settings name; raises Invalid naming the setting and the part of it that will not do."""
    files = {name: Path(file) for name, file in _pairs(token_files, TOKENS, "NAME=FILE such as staging=/run/secrets/staging").items()}
    found = {name: _server(name, url, files.pop(name, None)) for name, url in _pairs(servers, SERVERS, _FORM).items()}
    if files:
        raise Invalid(f"{TOKENS}: {next(iter(files))}: {SERVERS} names no such server", field="remote_token_files")
    return Remotes(found)


_FORM = "NAME=URL such as staging=http://10.0.0.7:8080"


def _pairs(text: str, setting: str, form: str) -> dict[str, str]:
    field = setting.removeprefix("TILTYARD_").lower()
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        if not value:
            raise Invalid(f"{setting}: expected {form}, got {part[:60]!r}", field=field)
        if name in found:
            raise Invalid(f"{setting}: {name} is named twice", field=field)
        found[check_name(name, setting)] = value
    return found


def _server(name: str, url: str, token_file: Path | None) -> Server:
    try:
        parts = urlsplit(url)
        port, fits = parts.port, _fits(parts)
    except ValueError:  # a port that is none, brackets that do not close
        port, fits = None, False
    if not fits or port == 0 or not parts.hostname:
        # Not repeated: it may hold a password.
        raise Invalid(
            f"{SERVERS}: {name}: expected http:// or https://, a host, and maybe a port and a path; a token goes into {TOKENS}",
            field="remotes",
        )
    return Server(name, parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "https", parts.path.rstrip("/"), token_file)


def _fits(parts: SplitResult) -> bool:
    """Whether it says where a server is, and no more than that."""
    plain = parts.netloc + parts.path
    return (
        parts.scheme in _PORTS
        and not (parts.username or parts.password or parts.query or parts.fragment)
        and plain.isascii()
        and plain.isprintable()
        and " " not in plain
    )
