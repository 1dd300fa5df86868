"""What a model raises is its failure, but for what is none of its doing."""

from __future__ import annotations

import pytest

from models.failure import MOST, reason


class Panic(BaseException):
    """What an extension written in Rust raises: no Exception."""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (SystemExit(3), "SystemExit: 3"),
        (Panic("oh"), "Panic: oh"),
        (MemoryError(), "MemoryError: "),
        (ValueError("x" * 1000), ("ValueError: " + "x" * 1000)[:MOST]),
    ],
)
def test_the_type_and_what_it_says(error, told):
    """In one line, of bounded length."""
    assert reason(error) == told


@pytest.mark.parametrize(("error", "passing"), [(KeyboardInterrupt(), ()), (GeneratorExit(), ()), (MemoryError(), (MemoryError,))])
def test_what_is_none_of_its_doing_is_raised_again(error, passing):
    """The same, not another."""
    with pytest.raises(type(error)) as raised:
        reason(error, *passing)
    assert raised.value is error
