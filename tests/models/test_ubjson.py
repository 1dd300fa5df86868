"""UBJSON as XGBoost writes it is read; anything else is an error and nothing worse."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pytest

from models.ubjson import DEEPEST, decode

LABELS = (Path(__file__).parent / "boosters" / "labels.ubj").read_bytes()


def text(value):
    return b"L" + struct.pack(">q", len(value.encode())) + value.encode()


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"Z", None),
        (b"T", True),
        (b"F", False),
        (b"i\xff", -1),
        (b"U\xff", 255),
        (b"I\x01\x00", 256),
        (b"l\x00\x01\x00\x00", 65536),
        (b"L" + struct.pack(">q", -(2**40)), -(2**40)),
        (b"d" + struct.pack(">f", 0.5), 0.5),
        (b"D" + struct.pack(">d", 0.1), 0.1),
        (b"Ca", "a"),
        (b"S" + text("größe"), "größe"),
        (b"Si\x02ab", "ab"),
        (b"[i\x01T]", [1, True]),
        (b"[#i\x02i\x01F", [1, False]),
        (b"[]", []),
        (b"{" + text("a") + b"[i\x01]" + text("b") + b"{}}", {"a": [1], "b": {}}),
        (b"{#i\x01" + text("a") + b"Z", {"a": None}),
    ],
)
def test_values(data, value):
    """Each kind of value, with lengths in any integer type, containers with an end or a number."""
    assert decode(data) == value


def test_typed_arrays():
    """Numbers of one type stand together, as numpy's in that type."""
    array = decode(b"[$l#L" + struct.pack(">q", 3) + struct.pack(">iii", 1, -2, 3))
    assert isinstance(array, np.ndarray)
    assert array.tolist() == [1, -2, 3]


def test_a_model_is_read_whole():
    """What XGBoost wrote: its names, its objective, and its trees."""
    learner = decode(LABELS)["learner"]
    assert learner["objective"]["name"] == "binary:logistic"
    assert len(learner["gradient_booster"]["model"]["trees"]) == 3
    assert learner["gradient_booster"]["model"]["iteration_indptr"] == [0, 1, 2, 3]


NONE = [b"", b"x", b"i", b"S", b"SZ", b"Sd\x00\x00\x00\x00", b"Si\xffabc", b"SU\x05ab", b"Si\x01\xff", b"[", b"[i\x01", b"{i", b"{Si\x01a"]
ANNOUNCED = [b"[$l#L" + struct.pack(">q", 2**60), b"[$Z#L" + struct.pack(">q", 2**60), b"[$d#i\xff", b"[" * (DEEPEST + 2)]


@pytest.mark.parametrize("data", [*NONE, *ANNOUNCED])
def test_what_is_none_is_an_error(data):
    """ValueError that says where, whatever is announced and not there."""
    with pytest.raises(ValueError, match="no UBJSON at byte"):
        decode(data)


def test_damaged_files_are_an_error_or_a_value():
    """Bytes changed at random, or a file cut anywhere, never raise anything else."""
    chance = random.Random(0)
    for _ in range(300):
        damaged = bytearray(LABELS[: chance.choice([len(LABELS), chance.randrange(len(LABELS))])])
        for _ in range(3):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            decode(bytes(damaged))
        except ValueError as error:
            assert "no UBJSON at byte" in str(error)  # noqa: PT017 - that it is raised is not the promise
