"""The page on remote models says what is so."""

from __future__ import annotations

from pathlib import Path

from models.remote import servers, transport
from models.remote.description import ROLES
from server.cli.model import register

PAGE = " ".join((Path(__file__).parents[3] / "docs" / "remote.md").read_text(encoding="utf-8").split())


def test_the_figures_are_those_of_the_code() -> None:
    """The limits of a request."""
    assert f"The time limit is {transport.LIMIT_SECONDS:g} s" in PAGE
    assert f"At most {transport.MOST_CONNECTIONS} connections" in PAGE
    assert f"no more than {transport.MOST_BYTES // 2**20} MiB" in PAGE
    assert transport.PAUSE_SECONDS == 1.0
    assert "not tried again for a second" in PAGE


def test_settings_and_options_are_named() -> None:
    """As the operator writes them, and `--remote-output` with each role."""
    assert all(f"`{name}`" in PAGE for name in (servers.SERVERS, servers.TOKENS))
    assert "--remote-output" in {name for option in register.command.params for name in option.opts}
    assert all(f"{role}=NAME" in PAGE for role in ROLES)
