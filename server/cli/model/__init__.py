"""`tiltyard model`: publish, find, name and retire models, and see them learn. A file for each kind of command."""

from __future__ import annotations

from server.cli.lazy import Lazy

_COMMANDS = {
    "register": "server.cli.model.register",
    "list": "server.cli.model.cards:list_models",
    "show": "server.cli.model.cards:show_model",
    "alias": "server.cli.model.aliases",
    "test": "server.cli.model.test",
    "tests": "server.cli.model.test:list_tests",
    "learner": "server.cli.learner:learner",
    "learn": "server.cli.learner:learn",
}

command = Lazy("model", modules=_COMMANDS, help="Register models, name their versions, and see them learn.")
