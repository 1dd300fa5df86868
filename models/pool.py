"""The versions that a process has loaded. Hot swap is the plan's business: the pool only loads, answers and forgets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock

from core.clock import Clock
from core.errors import NotFound, TiltyardError
from core.ids import VersionId
from models.failure import reason
from models.package import Loaded

KEEP_SECONDS = 60.0
"""How long a version stays after it was last wanted: requests in flight and a quick rollback find it."""


class Pool:
    """Loaded versions by id. `get` takes no lock; `ensure` and `retain` are called from native threads and may wait."""

    __slots__ = ("_clock", "_load", "_loaded", "_lock", "_unwanted")

    def __init__(self, load: Callable[[VersionId], Loaded], clock: Clock) -> None:
        self._load = load
        self._clock = clock
        self._loaded: dict[VersionId, Loaded] = {}
        self._unwanted: dict[VersionId, float] = {}
        self._lock = Lock()

    def get(self, version: VersionId) -> Loaded:
        """The loaded version; raises NotFound where it is not loaded."""
        try:
            return self._loaded[version]
        except KeyError:
            raise NotFound(f"version {version} is not loaded", field="version", code="version-not-loaded") from None

    def loaded(self) -> dict[VersionId, Loaded]:
        """All that is loaded now."""
        return dict(self._loaded)

    def ensure(self, versions: Iterable[VersionId]) -> dict[VersionId, str]:
        """Loads what is missing, each version once however many threads ask; returns those that failed, with the reason.

        What is loaded is left as it is. A version that failed is tried again by the next call.
        """
        failed: dict[VersionId, str] = {}
        with self._lock:
            for version in versions:
                self._unwanted.pop(version, None)
                if version in self._loaded:
                    continue
                try:
                    self._loaded[version] = self._load(version)
                except TiltyardError as error:
                    failed[version] = error.message
                except BaseException as error:  # whatever a bad model does, it must not take the others down
                    failed[version] = reason(error)
        return failed

    def retain(self, wanted: set[VersionId]) -> None:
        """Forgets the versions that no call has wanted for 60 seconds; never one in `wanted`."""
        now = self._clock()
        with self._lock:
            for version in wanted:
                self._unwanted.pop(version, None)
            for version in list(self._loaded.keys() - wanted):
                if now - self._unwanted.setdefault(version, now) >= KEEP_SECONDS:
                    del self._loaded[version], self._unwanted[version]
