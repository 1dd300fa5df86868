"""A group of commands that imports each when it is asked for, so that all start fast."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class Lazy(click.Group):
    """Beside its own commands those that `modules` name: each module's `command`, or what is named behind a colon."""

    def __init__(self, *arguments: Any, modules: Mapping[str, str] | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._modules = dict(modules or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order in which they were given."""
        return [*super().list_commands(ctx), *self._modules]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of that name."""
        if name not in self._modules:
            return super().get_command(ctx, name)
        module, _, attribute = self._modules[name].partition(":")
        found: click.Command = getattr(import_module(module), attribute or "command")
        return found
