"""Signatures of snapshots, and the key that makes them."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Rejected
from core.values import Position
from models.learner.snapshot import key, read_key, seal, sign, unseal, verify

KEY = bytes(range(32))
GIVEN = {"key": KEY, "version": "churn@1", "number": 17, "position": Position(2, 4096), "river": "0.26.1", "artefact": b"model"}
OTHERS = {
    "key": KEY[::-1],
    "version": "churn@2",
    "number": 18,
    "position": Position(2, 4097),
    "river": "0.26.2",
    "artefact": b"modeL",
}


def test_what_was_signed_is_verified():
    """Nothing is said of it."""
    assert verify(**GIVEN, signature=sign(**GIVEN)) is None


@pytest.mark.parametrize("part", OTHERS)
def test_each_part_is_signed(part):
    """Another key, version, number, place, River or model: not to be loaded."""
    with pytest.raises(Rejected, match=r"snapshot \d+ of churn@\d does not bear the signature"):
        verify(**{**GIVEN, part: OTHERS[part]}, signature=sign(**GIVEN))


@pytest.mark.parametrize("signature", ["", "é", "0" * 64, sign(**GIVEN).upper(), sign(**GIVEN)[:-1]])
def test_what_is_no_signature_is_rejected(signature):
    """Whatever it is."""
    with pytest.raises(Rejected):
        verify(**GIVEN, signature=signature)


def test_the_signature_is_an_hmac_of_length_prefixed_parts():
    """Written out: snapshots stay readable for all that know the key."""
    parts = [b"churn@1", b"17", b"2", b"4096", b"0.26.1", b"model"]
    message = b"tiltyard snapshot 1" + b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    assert sign(**GIVEN) == hmac.new(KEY, message, hashlib.sha256).hexdigest()


@given(st.lists(st.tuples(st.text(max_size=4), st.integers(0, 99), st.text(max_size=4), st.binary(max_size=4)), unique=True, max_size=8))
def test_different_parts_never_make_one_message(several):
    """No part can lend bytes to its neighbour."""
    made = {sign(KEY, version, number, Position(1, 0), river, artefact) for version, number, river, artefact in several}
    assert len(made) == len(several)


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    """32 bytes of chance in a file of mode 0600, and no draft left."""
    made = key(tmp_path / "snapshot.key")
    assert key(tmp_path / "snapshot.key") == made != key(tmp_path / "another.key")
    assert len(made) == 32
    assert stat.S_IMODE((tmp_path / "snapshot.key").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another.key", "snapshot.key"]


def test_processes_that_come_at_once_get_one_key(tmp_path):
    """Whichever is first, and none sees half of it."""
    code = (
        "import sys; from pathlib import Path; from models.learner.snapshot import key; sys.stdin.read(); "
        "print(*(key(Path(sys.argv[1]) / f'{n}.key').hex() for n in range(50)))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in started:
        process.stdin.close()
    said = [process.stdout.read() for process in started]
    assert [process.wait() for process in started] == [0] * 4
    for process in started:
        process.stdout.close()
    assert len(set(said)) == 1
    assert len(said[0].split()) == len(list(tmp_path.iterdir())) == 50


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_rejected(tmp_path, length):
    """It says what to do: another key would not verify what is stored."""
    (tmp_path / "k").write_bytes(bytes(length))
    (tmp_path / "k").chmod(0o600)
    with pytest.raises(Rejected, match=r"expected a key of 32 bytes.*put the home's own key back"):
        key(tmp_path / "k")


def test_whoever_only_verifies_makes_no_key(tmp_path):
    """A replay or a worker that comes first, perhaps as another user, leaves it to the learner."""
    with pytest.raises(Rejected, match=r"snapshot\.key: No such file"):
        read_key(tmp_path / "snapshot.key")
    assert list(tmp_path.iterdir()) == []
    made = key(tmp_path / "snapshot.key")
    assert read_key(tmp_path / "snapshot.key") == made


@pytest.mark.parametrize("asked", [key, read_key])
def test_a_key_that_cannot_be_read_is_rejected(tmp_path, asked):
    """With what the system said of it."""
    with pytest.raises(Rejected, match="Is a directory"):
        asked(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(Rejected, match="Not a directory"):
        asked(tmp_path / "file" / "k")


def test_what_was_sealed_is_unsealed():
    """And is the state itself, but for what stands before it."""
    assert unseal(KEY, "s", seal(KEY, "s", b"state")) == b"state"
    assert unseal(KEY, "s", seal(KEY, "s", b"")) == b""


@pytest.mark.parametrize(
    ("key", "signature", "sealed"),
    [
        (KEY[::-1], "s", seal(KEY, "s", b"state")),
        (KEY, "t", seal(KEY, "s", b"state")),
        (KEY, "s", seal(KEY, "s", b"state")[:-1] + b"E"),
        (KEY, "s", seal(KEY, "s", b"state")[1:]),
        (KEY, "s", b"state"),
        (KEY, "s", b""),
        (KEY, "", seal(KEY, "s", b"state")),
    ],
)
def test_a_state_that_was_changed_or_is_of_another_snapshot_is_rejected(key, signature, sealed):
    """Before anything of it is unpickled."""
    with pytest.raises(Rejected, match="beside its model"):
        unseal(key, signature, sealed)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_or_write_is_rejected(tmp_path, mode):
    """It names the mode."""
    (tmp_path / "k").write_bytes(KEY)
    (tmp_path / "k").chmod(mode)
    with pytest.raises(Rejected, match=f"found mode {mode:04o}; run chmod 600"):
        key(tmp_path / "k")


def test_a_umask_that_allows_all_opens_no_key(tmp_path):
    """The mode is set where the file is made."""
    before = os.umask(0)
    try:
        key(tmp_path / "k")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
