"""A server whose models misbehave where a test asks for it, while they are served or when they are loaded.

The versions of `acts` are made by a function in a file, so their code travels with them: `tiltyard model register … --trust-pickle`.
"""

from __future__ import annotations

import time
from pathlib import Path

from flows import register
from routing.changes import Who
from server import home as homes
from tests.e2e.real_server import Server, Worlds

CODE = '''
import os, time
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

DIRECTORY = Path({directory!r})


class Acting(RegressorMixin, BaseEstimator):
    """Answers x; does before what the file that is called `act` tells it to."""

    def fit(self, x, y=None):
        self.n_features_in_ = 1
        return self

    def predict(self, x):
        file = DIRECTORY / "act"
        act = file.read_text() if file.exists() else ""
        if act == "raise":
            raise ValueError("not today")
        if act == "hang":
            while file.exists():
                time.sleep(0.05)
        return np.asarray(x, dtype=float)[:, 0]

    def __setstate__(self, state):
        self.__dict__.update(state)
        file = DIRECTORY / "load"
        act = file.read_text() if file.exists() else ""
        if act == "exit":
            os._exit(9)
        if act == "hang":
            while file.exists():
                time.sleep(0.05)


def build():
    return Acting().fit([[0.0]])
'''


class Acts:
    """The files by which a test tells the model `acts` what to do."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def when_asked(self, act: str | None) -> None:
        """From now on `raise` or `hang` where it is asked; None: answer."""
        self._tell("act", act)

    def when_loaded(self, act: str | None) -> None:
        """From now on `exit` or `hang` where it is loaded; None: be loaded."""
        self._tell("load", act)

    def _tell(self, name: str, act: str | None) -> None:
        if act is None:
            (self._directory / name).unlink(missing_ok=True)
        else:
            (self._directory / name).write_text(act)


def breaking_server(worlds: Worlds, **environ: str) -> tuple[Server, Acts]:
    """Not started yet. Has three versions of the model `acts`, which are alike."""
    server = worlds.server(**environ)
    directory = server.home.parent
    file = directory / "acting.py"
    file.write_text(CODE.format(directory=str(directory)))
    home = homes.create(homes.from_env(home=str(server.home)))
    for _ in range(3):
        register.register(home.store, home.blobs, "acts", Path(f"{file}:build"), Who("test", time.time(), ""), trust_pickle=True)
    return server, Acts(directory)
