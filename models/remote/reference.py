"""How a model on another server is named: `staging/credit`, or one version of it, `staging/credit@3`."""

from __future__ import annotations

from typing import NamedTuple

from core.errors import Invalid
from core.ids import check_name

PREFIX = "remote:"
"""Before a reference where a file could stand as well."""


class Reference(NamedTuple):
    """A model on a server that the configuration names. `version` is None where the server decides which one answers."""

    server: str
    model: str
    version: str | None = None

    def __str__(self) -> str:
        return f"{self.server}/{self.model}" + ("" if self.version is None else f"@{self.version}")

    @property
    def path(self) -> str:
        """Under which the server tells of the model; all of it are names, so that nothing needs quoting."""
        return f"/v2/models/{self.model}" + ("" if self.version is None else f"/versions/{self.version}")


def parse(text: str, field: str = "remote") -> Reference:
    """`staging/credit@3` → Reference; raises Invalid otherwise."""
    server, slash, rest = text.partition("/")
    model, at, version = rest.partition("@")
    if not slash:
        raise Invalid(f"{field}: expected SERVER/MODEL[@VERSION] such as staging/credit, got {text[:60]!r}", field=field)
    return Reference(check_name(server, field), check_name(model, field), check_name(version, field) if at else None)
