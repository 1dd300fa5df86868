"""Histogram gradient boosting of scikit-learn as an ensemble for treelite: unlike the graphs of `models.trees` it splits by category."""

from __future__ import annotations

from copy import copy
from typing import Any

import msgspec

from models.treelite_runtime import Column, Ensemble, Link

LINKS: dict[str, Link] = {"IdentityLink": "identity", "LogLink": "exponential"}


def histogram_form(estimator: Any) -> bytes:
    """The estimator as an `Ensemble`; raises NotImplementedError where it is no histogram gradient boosting."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from treelite.sklearn import import_model

    found = getattr(estimator, "best_estimator_", estimator)
    if type(found) not in (HistGradientBoostingClassifier, HistGradientBoostingRegressor):
        raise NotImplementedError(f"{type(found).__name__} is not among the models that treelite serves")
    # The importer knows no categories of text. Without its encoder the estimator is one of codes, which the runtime looks up.
    coded = copy(found)
    coded._preprocessor = None
    columns = None if found._preprocessor is None else _columns(found)
    return msgspec.msgpack.encode(Ensemble(import_model(coded).serialize_bytes(), _link(found), columns=columns))


def _columns(model: Any) -> tuple[Column, ...]:
    """The columns that the encoder makes: those of categories first, then the others."""
    encoder = model._preprocessor.named_transformers_["encoder"]
    places = [place for place, is_one in enumerate(model.is_categorical_) if is_one]
    known = [Column(place, _known(learnt.tolist())) for place, learnt in zip(places, encoder.categories_, strict=True)]
    return tuple(known) + tuple(Column(place) for place in range(model.n_features_in_) if place not in places)


def _known(learnt: list[Any]) -> tuple[Any, ...]:
    """Without the missing value, which stands last and has no code."""
    return tuple(value for value in learnt if value is not None and value == value)


def _link(model: Any) -> Link:
    if hasattr(model, "classes_"):
        return "softmax" if model.n_trees_per_iteration_ > 1 else "logistic"
    link = type(model._loss.link).__name__
    if link not in LINKS:
        raise NotImplementedError(f"the link {link}")
    return LINKS[link]
