"""What a model raises, as a failure of the model: it is code of others, which raises whatever it likes."""

from __future__ import annotations

from models.runtime import said

MOST = 300
"""Characters of a reason."""
_NEVER = (KeyboardInterrupt, GeneratorExit)


def reason(error: BaseException, *passing: type[BaseException]) -> str:
    """Why a model failed, from what was caught of it: `TypeError: what it says`.

    Of a model everything is caught, BaseException: a SystemExit, and the panic of an extension written in Rust, which is no Exception.
    What is none of its doing is raised again: an interrupt, and what is named in `passing`.
    """
    if isinstance(error, (*_NEVER, *passing)):
        raise error
    return f"{type(error).__name__}: {said(error)}"[:MOST]
