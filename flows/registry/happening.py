"""Something happens to a version: the event, the audit row and the marks that follow from it, in the caller's transaction."""

from __future__ import annotations

import sqlalchemy as sa

from core.ids import VersionId
from routing.changes import Who
from store import audit, lifecycle, version_facts
from store.lifecycle import APPROVED, RESTORED, RETIRED, WITHDRAWN, EventRow


def approve(connection: sa.Connection, version: VersionId, who: Who) -> None:
    """One more approval."""
    _happen(connection, version, APPROVED, "model.approve", who)
    version_facts.mark(connection, version, APPROVED, on=True)


def withdraw(connection: sa.Connection, version: VersionId, who: Who) -> None:
    """No approval counts any more."""
    _happen(connection, version, WITHDRAWN, "model.withdraw", who)
    version_facts.mark(connection, version, APPROVED, on=False)


def retire(connection: sa.Connection, version: VersionId, who: Who) -> None:
    """It is out of use, and its approvals end with it."""
    _happen(connection, version, RETIRED, "model.retire", who)
    version_facts.mark(connection, version, APPROVED, on=False)
    version_facts.mark(connection, version, RETIRED, on=True)


def restore(connection: sa.Connection, version: VersionId, who: Who) -> None:
    """It may be used again."""
    _happen(connection, version, RESTORED, "model.restore", who)
    version_facts.mark(connection, version, RETIRED, on=False)


def _happen(connection: sa.Connection, version: VersionId, event: str, action: str, who: Who) -> None:
    lifecycle.add(connection, version, EventRow(event, who.at, who.by, who.reason))
    audit.write(connection, who.at, who.by, action, str(version), reason=who.reason)
