"""The sklearn runtime: what could not be compiled is served by scikit-learn itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from core.errors import ModelFailed
from core.values import Output, Row
from models.estimator import Layout, arranger, prepare
from models.runtime import Answers, said
from models.signature import Signature


class SklearnRuntime:
    """A fitted estimator, handed what it was fitted with, on one thread."""

    __slots__ = ("_answers", "_arrange", "_classifies", "_estimator", "_threads", "gives_probabilities")

    def __init__(self, estimator: Any, signature: Signature, layout: Layout) -> None:
        """Takes `estimator` over: it is prepared in place."""
        self._estimator = prepare(estimator, layout)
        self._answers = Answers(signature)
        self._arrange = arranger(signature, layout)
        self._classifies = signature.task == "classification"
        self.gives_probabilities = self._classifies and hasattr(estimator, "predict_proba")
        # OpenMP keeps its number of threads per thread of ours, so it is set around each call (13 µs).
        self._threads = ThreadpoolController()

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        """One output per row; raises ModelFailed."""
        try:
            with self._threads.limit(limits=1):
                given = self._arrange(rows)
                answered = np.asarray(self._estimator.predict(given)).ravel().tolist()
                probabilities = self._estimator.predict_proba(given).tolist() if self.gives_probabilities else None
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # whatever an estimator raises is its failure
            raise ModelFailed(f"the model failed: {said(error)}") from error
        if not self._classifies:
            return self._answers.values(list(map(float, answered)), len(rows))
        return self._answers.labels(answered, probabilities, len(rows))
