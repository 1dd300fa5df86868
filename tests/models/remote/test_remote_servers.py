"""Which servers may be asked, as an operator names them; and how models on them are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import Invalid, Rejected
from models.remote.reference import Reference, parse
from models.remote.servers import Server, from_settings


def test_servers_are_read_from_the_settings() -> None:
    """Names, addresses with the ports of their schemes, paths, token files."""
    found = from_settings(
        "staging=http://10.0.0.7:8080, edge=https://models.example/base/,six=http://[::1]:9", "edge=/run/secrets/edge , six=./six"
    )
    assert found.server("staging") == Server("staging", "10.0.0.7", 8080, tls=False)
    assert found.server("edge") == Server("edge", "models.example", 443, True, "/base", Path("/run/secrets/edge"))
    assert found.server("six") == Server("six", "::1", 9, False, "", Path("six"))
    assert [found.server(name).address for name in ("staging", "edge", "six")] == [
        "http://10.0.0.7:8080",
        "https://models.example:443/base",
        "http://[::1]:9",
    ]


def test_a_server_that_is_not_named_is_refused() -> None:
    """With the names that there are."""
    with pytest.raises(Rejected, match="'prod': TILTYARD_REMOTES names a, b"):
        from_settings("a=http://x,b=http://y", "").server("prod")
    with pytest.raises(Rejected, match="names no server"):
        from_settings("", "").server("prod")


@pytest.mark.parametrize(
    ("servers", "files", "field", "reason"),
    [
        ("staging", "", "remotes", "TILTYARD_REMOTES: expected NAME=URL such as staging=http://10.0.0.7:8080, got 'staging'"),
        ("=http://x", "", "TILTYARD_REMOTES", "expected a name"),
        ("a/b=http://x", "", "TILTYARD_REMOTES", "expected a name"),
        ("a=http://x,a=http://y", "", "remotes", "TILTYARD_REMOTES: a is named twice"),
        ("a=http://x", "b=/t", "remote_token_files", "TILTYARD_REMOTE_TOKEN_FILES: b: TILTYARD_REMOTES names no such server"),
        ("a=http://x", "a", "remote_token_files", "TILTYARD_REMOTE_TOKEN_FILES: expected NAME=FILE"),
        *[
            (f"a={url}", "", "remotes", "TILTYARD_REMOTES: a: expected http:// or https://, a host, and maybe a port and a path")
            for url in (
                "10.0.0.7:8080",
                "ftp://x",
                "file:///etc/passwd",
                "http://",
                "http://x:port",
                "http://x:0",
                "http://x:99999",
                "http://me:hidden@x",
                "http://x/?q=1",
                "http://x/#f",
                "http://[::1",
                "http://ö",
                "http://x/a b",
            )
        ],
    ],
)
def test_a_wrong_setting_names_itself_and_the_server(servers: str, files: str, field: str, reason: str) -> None:
    """And never repeats an address, which might hold a password."""
    with pytest.raises(Invalid) as caught:
        from_settings(servers, files)
    assert reason in caught.value.message
    assert caught.value.field == field
    assert "hidden" not in caught.value.message


def test_a_reference_is_read_as_it_is_written() -> None:
    """A model, or a version of it; the version may be any name."""
    for text, found, path in (
        ("staging/credit", Reference("staging", "credit"), "/v2/models/credit"),
        ("staging/credit@v0.1.0", Reference("staging", "credit", "v0.1.0"), "/v2/models/credit/versions/v0.1.0"),
    ):
        assert parse(text) == found
        assert (str(found), found.path) == (text, path)


@pytest.mark.parametrize(
    "text", ["credit", "", "/", "staging/", "/credit", "a/b/c", "a/b@", "a/../b", "a/b?c", "a/b%2e", "a b/c", "a/b\r\n"]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    """Nothing in it can become another path or another server."""
    with pytest.raises(Invalid):
        parse(text, "shadows.next")
