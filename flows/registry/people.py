"""Who is who, where a second person is asked for."""

from __future__ import annotations

from collections.abc import Iterable

_FROM_COMMAND_LINE = " (cli)"
_NOBODY = ("anonymous", "unknown")


def person(actor: str) -> str:
    """Whom an actor of the audit log stands for: `Ann (cli)` is the person whose token is called `ann`."""
    return actor.removesuffix(_FROM_COMMAND_LINE).casefold()


def is_another(actor: str, others: Iterable[str]) -> bool:
    """Whether the actor is a person, and none of the others. Who cannot be told is nobody: anybody could be behind it."""
    return person(actor) not in (*_NOBODY, *map(person, others))
