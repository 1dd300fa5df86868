"""The composition root: what a home holds, opened from the settings."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from core.settings import PREFIX, Settings, from_environment
from flows.deploy import Place
from journal import segments
from models.remote.servers import Remotes, from_settings
from store import engine
from store.blobs import Blobs
from store.engine import Store

clock = time.time


class Home(NamedTuple):
    """The parts of one home. Nothing in it is shared across a fork: the store opens a connection for each transaction."""

    settings: Settings
    path: Path
    store: Store
    blobs: Blobs
    journal: Path
    metrics: Path
    remotes: Remotes

    @property
    def snapshot_key(self) -> Path:
        """The file of the key that learners' snapshots are signed with."""
        return self.path / "snapshots.key"

    @property
    def views(self) -> Path:
        """The directory of the feature views' files."""
        return self.path / "views"

    @property
    def place(self) -> Place:
        """Where changes of plans are made."""
        return Place(self.store, lambda: segments.end(self.journal))


def create(settings: Settings) -> Home:
    """The home, created or migrated where needed."""
    return _home(settings, engine.create)


def open_existing(settings: Settings) -> Home:
    """A home that exists; raises NotFound naming the missing path."""
    return _home(settings, engine.open_existing)


def from_env(**overrides: object) -> Settings:
    """The settings of this process, with an absolute home."""
    settings = from_environment(os.environ, **overrides)
    return msgspec.structs.replace(settings, home=str(Path(settings.home).absolute()))


def to_env(settings: Settings) -> dict[str, str]:
    """The environment from which a child process reads the same settings."""
    values = msgspec.structs.asdict(settings)
    return {PREFIX + name.upper(): str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}


def _home(settings: Settings, opened: Callable[[Settings], Store]) -> Home:
    path = Path(settings.home)
    # First: settings that will not do make no home.
    remotes = from_settings(settings.remotes, settings.remote_token_files)
    return Home(settings, path, opened(settings), Blobs(path / "blobs"), path / "journal", path / "metrics", remotes)
