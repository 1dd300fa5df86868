"""The peer: a bare Flask hello-world under this server's own gunicorn settings.

python -m benchmarks.hello   (its parameters are in the environment, as those of server.web are)
"""

from __future__ import annotations

from flask import Flask

from server.processes import die_with_parent, supervisor
from server.web import Web

application = Flask(__name__)


@application.get("/")
def hello() -> str:
    """What every framework's first page shows."""
    return "Hello, World!"


class Hello(Web):
    """Another application in the same worker processes."""

    def load_config(self) -> None:
        super().load_config()
        self.cfg.set("child_exit", lambda _server, _worker: None)  # it counts nothing, so nothing is to be compacted

    def load(self) -> Flask:
        return application


if __name__ == "__main__":
    die_with_parent(supervisor())
    Hello().run()
