"""The digest of a model's state."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from functools import partial
from math import nextafter

import numpy as np
import pytest

from models.learner.fingerprint import fingerprint
from tests.models.learner.zoo import CASES, taught


@pytest.mark.parametrize("name", CASES)
def test_a_pickle_round_trip_changes_nothing(name):
    """Before the first row and after three hundred, for every kind of model; learning changes it."""
    case = CASES[name]
    learner = case.learner()
    empty = fingerprint(learner.model)
    assert fingerprint(pickle.loads(pickle.dumps(learner.model))) == empty
    full = fingerprint(taught(learner, case.rows(300)).model)
    assert fingerprint(pickle.loads(pickle.dumps(learner.model))) == full != empty
    assert len(full) == 64


def test_one_last_bit_of_one_weight_shows():
    """In a dict that is kept in Rust."""
    model = taught(CASES["logistic"].learner(), CASES["logistic"].rows(50)).model
    before, last = fingerprint(model), model["LogisticRegression"]
    last._weights["https"] = nextafter(last._weights["https"], 9.0)
    changed = fingerprint(model)
    last._weights["https"] = nextafter(last._weights["https"], -9.0)
    assert changed != before == fingerprint(model)


def test_another_process_with_another_hash_seed_agrees(tmp_path):
    """A set of texts is in another order there, and a function at another place."""
    found = {"sets": {"a", "b", ("c", 1), frozenset("xyz")}, "made": partial(pow, 2), "model": CASES["words"].fresh()}
    (tmp_path / "one.pkl").write_bytes(pickle.dumps(found))
    code = (
        "import pickle, sys; from models.learner.fingerprint import fingerprint; print(fingerprint(pickle.load(open(sys.argv[1], 'rb'))))"
    )
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "one.pkl"], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == fingerprint(found)


class Thing:
    """Holds whatever it is given."""

    def __init__(self, **given):
        self.__dict__.update(given)


def ring(size):
    """Things in a circle."""
    things = [Thing(number=n) for n in range(size)]
    for thing, following in zip(things, things[1:] + things[:1], strict=True):
        thing.following = following
    return things[0]


SAME = [
    (lambda: Thing(a=1, b=2.0), lambda: Thing(b=2.0, a=1)),
    (lambda: {"x", "y", "z"}, lambda: {"z", "y", "x"}),
    (lambda: ring(3), lambda: pickle.loads(pickle.dumps(ring(3)))),
    (lambda: [(one := [1.5]), one], lambda: [[1.5], [1.5]]),
    (lambda: random.Random(3), lambda: pickle.loads(pickle.dumps(random.Random(3)))),
    (lambda: np.random.default_rng(3), lambda: pickle.loads(pickle.dumps(np.random.default_rng(3)))),
    (lambda: np.arange(6.0).reshape(2, 3)[:, ::2], lambda: np.array([[0.0, 2.0], [3.0, 5.0]])),
    (lambda: Thing(method=random.Random(3).random), lambda: Thing(method=random.Random(3).random)),
    (lambda: float("nan"), lambda: float("nan")),
]


@pytest.mark.parametrize("number", range(len(SAME)))
def test_what_reads_the_same_has_one_digest(number):
    """However it came to be, and wherever it is in memory."""
    one, other = (make() for make in SAME[number])
    assert fingerprint(one) == fingerprint(other)


DIFFERENT = [
    *(0, 0.0, -0.0, False, None, "", b"", (), [], {}, set(), frozenset(), "0", b"0", 1, 1.0, True, -1, 2**70, ...),
    *([[1, 2], 3], [[1], 2, 3], [[1, 2, 3]], (1, 2, 3), {1: 2, 3: 4}, {3: 4, 1: 2}, {1, 2}, [1, 2]),
    *(OrderedDict(a=1), Counter("a"), defaultdict(int, a=1), {"a": 1}, defaultdict(float, a=1), Thing(a=1), Thing(a=1.0)),
    *(deque([1, 2, 3]), deque([1, 2, 3], maxlen=3), partial(pow, 2), partial(pow, 3), pow, int, float, Thing, dict.fromkeys),
    *(np.zeros(4), np.zeros((2, 2)), np.zeros(4, dtype=np.int64), np.float64(0.0), np.array([None, 1], dtype=object)),
    *(random.Random(1), random.Random(2), np.random.default_rng(1), np.random.default_rng(2), ring(2), ring(3), bytearray(b"0")),
    *(random.Random(1).random, random.Random(2).random, random.Random(2).gauss),
]


def test_what_differs_has_different_digests():
    """Type, order, nesting, sign of zero, shape and state all count."""
    digests = [fingerprint(one) for one in DIFFERENT]
    assert len(set(digests)) == len(digests)


def test_whatever_depth_pickle_bears_is_borne():
    """A long chain of things, as a deep tree is one; and the limit is as it was."""
    chain, before = Thing(), sys.getrecursionlimit()
    for _ in range(150):
        chain = Thing(inner=[chain])
    assert fingerprint(pickle.loads(pickle.dumps(chain))) == fingerprint(chain) != fingerprint(Thing(inner=[chain]))
    assert sys.getrecursionlimit() == before


def test_what_cannot_be_pickled_is_refused():
    """As pickle does."""
    with pytest.raises(TypeError, match="cannot pickle"):
        fingerprint(Thing(stream=(number for number in range(3))))
