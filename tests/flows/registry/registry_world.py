"""A home whose versions are described, and have blobs."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from core.ids import VersionId
from flows.registry import adding, searching, showing
from models.about import About
from models.package import Package
from models.signature import Task
from routing.changes import Who
from store import audit, batch_tests
from store.blobs import Blobs
from tests.flows.flow_world import World, card

DAY = 86400.0


def by(name: str, at: float = 0.0) -> Who:
    """An order of somebody."""
    return Who(name, at, "because")


class Registry(World):
    """Beside `m@1` to `m@4`, of which nothing is said, the versions that are added."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.blobs = Blobs(home / "blobs")

    def add(
        self,
        model: str = "credit",
        *,
        who: Who | None = None,
        task: Task = "classification",
        features: tuple[str, ...] = ("x",),
        content: bytes = b"artefact",
        **said: Any,
    ) -> VersionId:
        """A version of which that is said; its artefact is `content`."""
        made = replace(card(*features, task=task), blobs={"artefact": sha256(content).hexdigest()})
        who = who or by("ann")
        self.blobs.put(content)
        with self.store.write() as connection:
            return adding.add(connection, self.blobs, model, Package(made, {"artefact": content}), who.by, who.at, About(**said))

    def test(self, version: VersionId, passed: bool | None, at: float = 0.0) -> None:
        """A batch test of the version."""
        with self.store.write() as connection:
            batch_tests.add(connection, version, at, "tester", passed, b"{}")

    def show(self, version: VersionId) -> dict[str, Any]:
        """The version as the API shows it."""
        return showing.show_version(self.store, str(version))

    def state(self, version: VersionId) -> str:
        """Its state."""
        return str(self.show(version)["state"])

    def search(self, text: str, sort: str = "model") -> list[str]:
        """The versions that are found, but for those of which nothing is said."""
        found = searching.search_versions(self.store, text, sort, 1000, None)
        assert found["next"] is None
        return [each["version"] for each in found["versions"] if not each["version"].startswith("m@")]

    def actions(self) -> list[tuple[str, str]]:
        """(action, subject) of the audit log, oldest first."""
        with self.store.read() as connection:
            return [(row["action"], row["subject"]) for row in reversed(audit.newest(connection, 999))]
