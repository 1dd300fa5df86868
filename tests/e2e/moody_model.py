"""A model of the tests' own that sleeps, raises or crashes when a row asks for it by its feature `mood`.

Nothing but a pickle can hold it; the server imports this file by PYTHONPATH.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

FINE, SLEEPS, RAISES, CRASHES, NOT_FINITE, KILLED = map(float, range(6))


class Moody(RegressorMixin, BaseEstimator):
    """Answers the sum of a row's features, when it is fine."""

    def fit(self, x: Any, _y: Any = None) -> Moody:
        self.n_features_in_ = np.asarray(x).shape[1]
        return self

    def predict(self, x: Any) -> np.ndarray[Any, Any]:
        given = np.asarray(x, dtype=float)
        for mood in given[:, 0]:
            if mood == SLEEPS:
                time.sleep(1.0)
            if mood == RAISES:
                raise ValueError("not today")
            if mood == CRASHES:
                os._exit(3)
            if mood == KILLED:
                os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does where memory is short
        return np.where(given[:, 0] == NOT_FINITE, np.nan, given.sum(axis=1))
