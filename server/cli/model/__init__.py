"""`tiltyard model`: publish, find, name and retire models, and see them learn. A file for each kind of command."""

from __future__ import annotations

from server.cli.lazy import Lazy

_COMMANDS = {
    "register": "server.cli.model.register",
    "list": "server.cli.model.cards:list_models",
    "show": "server.cli.model.cards:show_model",
    "search": "server.cli.model.search",
    "describe": "server.cli.model.about",
    "history": "server.cli.model.lifecycle:history",
    "approve": "server.cli.model.lifecycle:approve",
    "retire": "server.cli.model.lifecycle:retire",
    "restore": "server.cli.model.lifecycle:restore",
    "delete": "server.cli.model.lifecycle:delete",
    "alias": "server.cli.model.aliases:set_alias",
    "unalias": "server.cli.model.aliases:remove_alias",
    "alias-history": "server.cli.model.aliases:history",
    "rule": "server.cli.model.aliases:rule",
    "learner": "server.cli.learner:learner",
    "learn": "server.cli.learner:learn",
}

command = Lazy("model", modules=_COMMANDS, help="Register models, find them, name and retire their versions, and see them learn.")
