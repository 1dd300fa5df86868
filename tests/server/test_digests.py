"""The header Repr-Digest, as RFC 9530 and RFC 9651 write it."""

from __future__ import annotations

import base64
import contextlib
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from server.digests import sha256_of

DIGEST = sha256(b"model").hexdigest()
OWN = ":" + base64.b64encode(bytes.fromhex(DIGEST)).decode() + ":"
OTHER = ":" + base64.b64encode(bytes(32)).decode() + ":"


@pytest.mark.parametrize(
    "header",
    [
        f"sha-256={OWN}",
        f"  sha-256={OWN}  ",
        f"sha-512=:AAAA:, sha-256={OWN}",
        f"sha-256={OWN},sha-512=:AAAA:;a=1;b",
        f"sha-256={OWN};q=0.5",
        f"sha-256={OTHER}, sha-256={OWN}",
        f'unknown="a, \\"b", flag, sha-256={OWN}',
    ],
)
def test_the_sha256_is_found(header):
    """Among other algorithms, with parameters; of two the last."""
    assert sha256_of(header) == DIGEST


@pytest.mark.parametrize(
    ("header", "message", "code"),
    [
        (None, "got none", "digest-missing"),
        ("", "it names nothing", "digest-missing"),
        ("sha-512=:AAAA:", "it names sha-512", "digest-missing"),
        ("sha-256", "'' is not 32 bytes", "digest-malformed"),
        ("sha-256=:AAAA:", "not 32 bytes", "digest-malformed"),
        ("sha-256=:A=AA:", "not 32 bytes", "digest-malformed"),
        (f"sha-256={OWN.strip(':')}", "got 'sha-256=", "digest-malformed"),
        (f"sha-256={DIGEST}", "not 32 bytes", "digest-malformed"),
        (f"SHA-256={OWN}", "got 'SHA-256", "digest-malformed"),
        (f"sha-256={OWN},", "got 'sha-256=", "digest-malformed"),
        (f"sha-256={OWN} x", "got 'sha-256=", "digest-malformed"),
    ],
)
def test_what_names_none_is_refused(header, message, code):
    """With the header's name, what was expected, and what came."""
    with pytest.raises(Invalid, match=rf"Repr-Digest: expected sha-256=:BASE64:.*{message}") as caught:
        sha256_of(header)
    assert (caught.value.field, caught.value.code) == ("Repr-Digest", code)


@given(st.text(alphabet='sha-256=:AB,; "\\qx*', max_size=60))
def test_whatever_comes_is_read_or_refused(header):
    """No other error, and quickly."""
    with contextlib.suppress(Invalid):
        assert len(sha256_of(header)) == 64
