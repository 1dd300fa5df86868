"""A server that has two models of the features `mood` and `x`: `plain`, which never minds, and `moody`."""

from __future__ import annotations

import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression
from skops import io as skops_io

from flows import register
from routing.changes import Who
from server import home as homes
from tests.e2e.real_server import Server, Worlds


def moody_server(worlds: Worlds) -> Server:
    """Not started yet. Registers the models in this process, which is to have `moody_model` on its path."""
    from moody_model import Moody  # the module's name in the pickle is the one that the server will look for

    server = worlds.server(PYTHONPATH=str(Path(__file__).parent))
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"mood": 0.0, "x": generator.normal(size=40)})
    directory = server.home.parent
    frame.to_csv(directory / "moods.csv", index=False)
    skops_io.dump(LinearRegression().fit(frame, frame["x"]), directory / "plain.skops")
    joblib.dump(Moody().fit(frame), directory / "moody.joblib")
    settings = homes.from_env(home=str(server.home))
    home = homes.create(settings)
    for name, file in (("plain", "plain.skops"), ("moody", "moody.joblib")):
        who = Who("test", time.time(), "")
        register.register(home.store, home.blobs, name, directory / file, who, sample=directory / "moods.csv", trust_pickle=True)
    return server
