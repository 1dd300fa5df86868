"""The web process: gunicorn with gevent workers, on a socket that the supervisor has bound.

python -P -m server.web   (its parameters are in the environment)
"""

from __future__ import annotations

import os
from typing import Any

from gunicorn.app.base import BaseApplication

from server.metrics import compact
from server.processes import die_with_parent, supervisor

SOCKET, WORKERS, HOST = "TILTYARD_WEB_SOCKET", "TILTYARD_WEB_WORKERS", "TILTYARD_WEB_HOST"


class Web(BaseApplication):  # type: ignore[misc]
    """Gunicorn with our settings; the application is made in each worker, after the fork and gevent's patching."""

    def load_config(self) -> None:
        for name, value in _config().items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        from server.app import create_app
        from server.home import from_env, open_existing
        from server.hot import HotRoutes
        from server.worker import Worker

        home = open_existing(from_env())
        worker = Worker(home, f"w{os.getpid()}", os.environ[HOST])
        worker.start()
        return HotRoutes(worker, create_app(home, worker.routes, worker.guard).wsgi_app)


def _config() -> dict[str, Any]:
    return {
        "bind": f"fd://{os.environ[SOCKET]}",
        "workers": int(os.environ[WORKERS]),
        "worker_class": "gevent",
        "worker_connections": 1000,
        "keepalive": 75,
        "timeout": 60,
        # Requests take milliseconds; what is left then are idle connections that clients keep open.
        "graceful_timeout": 3,
        "loglevel": "warning",
        "control_socket_disable": True,
        "post_fork": _post_fork,
        "child_exit": _child_exit,
    }


def _post_fork(server: Any, _worker: Any) -> None:
    die_with_parent(server.pid)


def _child_exit(_server: Any, _worker: Any) -> None:
    from pathlib import Path

    from server.home import from_env

    compact.compact(Path(from_env().home) / "metrics")


if __name__ == "__main__":
    die_with_parent(supervisor())
    Web().run()
