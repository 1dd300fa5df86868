"""What an estimator says of itself when it is registered: its hyper-parameters, and the packages that its parts come from."""

from __future__ import annotations

import io
import math
import pickle
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Any

from core.values import Label

MOST_PARAMETERS = 200
MAX_TEXT = 500
_CALLED = {"sklearn": "scikit-learn"}
"""Distributions that are called otherwise than what is imported from them; all others are looked for, which takes longer."""
_BESIDE = {"scikit-learn": ("scipy", "joblib")}
"""What a package computes with, though no part of a model says so."""


def parameters(estimator: Any) -> dict[str, Label]:
    """The hyper-parameters of a scikit-learn estimator that are numbers, texts or truth values, those of its parts as `part__name`.

    At most 200, by name; what is None, an object or not finite is left out, as are texts above 500 characters. {} where it names none.
    """
    try:
        found = dict(estimator.get_params(deep=True))
    except Exception:  # an estimator of somebody's own may do anything here, and it is no reason not to serve it
        return {}
    simple = {name: value for name, value in sorted(found.items()) if _is_simple(value)}
    return dict(list(simple.items())[:MOST_PARAMETERS])


def packages(model: Any) -> tuple[str, ...]:
    """The distributions that the model's parts come from, such as `xgboost`, by name; what Python has itself is none."""
    names = {_distribution(module) for module in _modules(model) - sys.stdlib_module_names}
    return tuple(sorted({each for name in names if name for each in (name, *_BESIDE.get(name, ()))}))


def versions_of(names: Iterable[str]) -> dict[str, str]:
    """The installed version of each distribution."""
    return {name: version(name) for name in sorted(set(names))}


def _is_simple(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return type(value) in (bool, int) or (type(value) is str and len(value) <= MAX_TEXT and value.isprintable())


class _Listener(pickle.Pickler):
    """Pickles into nothing, and hears which classes the parts have."""

    def __init__(self) -> None:
        super().__init__(_Nowhere())
        self.modules: set[str] = set()

    def reducer_override(self, part: Any) -> Any:
        """Called for each part that is no plain value."""
        self.modules.add(str(getattr(part if isinstance(part, type) else type(part), "__module__", "")))
        return NotImplemented


class _Nowhere(io.RawIOBase):
    def write(self, data: Any) -> int:
        return len(data)


def _modules(model: Any) -> set[str]:
    """The top-level modules of the model's parts; where it cannot be pickled, those heard until then."""
    listener = _Listener()
    try:
        listener.dump(model)
    except Exception:  # whatever a part does when it is pickled
        listener.modules.add(type(model).__module__)
    return {module.partition(".")[0] for module in listener.modules}


def _distribution(module: str) -> str | None:
    """The distribution that a module belongs to; None where none is installed, as with a model's own file."""
    name = _CALLED.get(module, module)
    try:
        version(name)
    except (PackageNotFoundError, ValueError):
        return next(iter(packages_distributions().get(module, ())), None)
    return name
