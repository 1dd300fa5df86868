"""A model's own Python file: `churn.py:build` names a function in it that returns the model.

The file is kept with the version and loaded under a name made of its digest, so that what a pickle refers to by name (the classes
and functions of the file) is found in every process that revives the model, and two versions of one file do not mix.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Callable
from importlib.metadata import version as package_version
from pathlib import Path
from pickle import Unpickler
from threading import RLock
from types import ModuleType
from typing import Any, NamedTuple

from core.errors import Rejected
from models.failure import reason

MOST_BYTES = 1_000_000
"""Of a file of code."""

_PREFIX = "tiltyard_code_"
_loading = RLock()


class Made(NamedTuple):
    """What a factory returned: the model's pickle, and the bytes of the file that it is loaded with. `name` is shown."""

    name: str
    data: bytes
    source: bytes


def is_factory(path: Path) -> bool:
    """Whether `path` is `FILE.py:FUNCTION`."""
    file, colon, _ = path.name.rpartition(":")
    return bool(colon) and file.endswith(".py")


def make(path: Path) -> Made:
    """What the function returns that `path` names; raises Rejected where the file or the function will not do, or cannot be pickled.

    It runs the file: whoever names it trusts it.
    """
    file, _, function = path.name.rpartition(":")
    try:
        source = path.with_name(file).read_bytes()
        if len(source) > MOST_BYTES:
            raise Rejected(f"{file}: {len(source)} bytes; a file of code holds at most {MOST_BYTES}")
        code = install(source)
        return Made(path.name, dump(_call(sys.modules[code], function)), source)
    except OSError as error:
        raise Rejected(f"{path.with_name(file)}: {error.strerror or error}") from None
    except Rejected as error:
        raise Rejected(f"{path.name}: {error.message}") from error


def module_name(source: bytes) -> str:
    """Under which the file `source` is loaded, in every process: it is made of its digest."""
    return _PREFIX + hashlib.sha256(source).hexdigest()[:16]


def install(source: bytes) -> str:
    """Load the file `source`, once in a process, and say under which module name; raises Rejected where it cannot be loaded."""
    code = module_name(source)
    with _loading:
        if code not in sys.modules:
            _load(code, source)
    return code


def revive(data: bytes, code: str | None, source: bytes | None, *, river: str | None = None) -> Any:
    """The model in the pickle `data`, once its own file `source` is loaded as `code` (both None where it has none).

    `river` is the release that wrote the pickle: where it cannot be loaded, the reason names it if it is not the one that is here.
    Raises Rejected.
    """
    if source is not None and install(source) != code:
        raise Rejected(f"the file of code is not the one that the card names {code}")
    try:
        return Unpickler(_Pages(data)).load()  # noqa: S301 - of what was registered or learnt here, its digest or signature verified
    except BaseException as error:  # a pickle runs any code, which fails in any way
        raise Rejected(f"the model cannot be loaded: {reason(error)}{_elsewhere(river)}") from error


def dump(model: Any) -> bytes:
    """`model` as it is kept; raises Rejected with advice where it cannot be pickled."""
    try:
        return pickle.dumps(model, protocol=5)
    except BaseException as error:  # an object raises whatever it likes where it is taken apart
        raise Rejected(
            f"the {type(model).__name__} cannot be pickled: {reason(error)}. Use named functions and classes, defined at the top level"
            " of a file and not within a function, in place of lambdas; a file of your own is registered as FILE.py:FUNCTION"
        ) from error


def _load(code: str, source: bytes) -> None:
    module = ModuleType(code)
    # In its place before it runs: dataclasses and the like look up the module that they are defined in.
    sys.modules[code] = module
    try:
        exec(compile(source, code, "exec"), module.__dict__)  # noqa: S102 - the operator named the file
    except BaseException as error:
        del sys.modules[code]
        if isinstance(error, ImportError):
            raise Rejected(f"{reason(error)}; only this one file is kept with the model, what it imports must be installed") from error
        raise Rejected(f"the file cannot be loaded: {reason(error)}") from error


def _call(module: ModuleType, function: str) -> Any:
    build: Callable[[], Any] | None = getattr(module, function, None)
    if not callable(build):
        raise Rejected(f"the file has no function {function!r}")
    try:
        model = build()
    except BaseException as error:  # the operator's own code fails in any way
        raise Rejected(f"{function}() failed: {reason(error)}") from error
    if model is None:
        raise Rejected(f"{function}() returned nothing; expected a River model or a fitted scikit-learn estimator")
    return model


def _elsewhere(river: str | None) -> str:
    here = package_version("river")
    return "" if river in (None, here) else f" (it was made with River {river}; here is River {here})"


class _Pages:
    """`data` as a file whose methods are Python's own code.

    A pickle in memory is read in one go, while no other thread of the process runs. Between two reads from such a file, of a frame of
    about 64 kB each, the others get their turn: a web worker goes on answering while it loads a large model.
    """

    __slots__ = ("_at", "_data", "_view")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._view = memoryview(data)
        self._at = 0

    def read(self, size: int) -> bytes:
        """The next bytes, `size` where there are so many."""
        return bytes(self._next(size))

    def readinto(self, into: memoryview) -> int:
        """Fill `into` with the next bytes; returns how many there were."""
        found = self._next(len(into))
        into[: len(found)] = found
        return len(found)

    def readline(self) -> bytes:
        """The next bytes up to a line feed."""
        return self.read(self._data.find(b"\n", self._at) + 1 - self._at)

    def _next(self, size: int) -> memoryview:
        found = self._view[self._at : self._at + size]
        self._at += len(found)
        return found
