"""Ids, names and versions: what is written is read back, and nothing else is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from core.ids import Address, VersionId, check_key, check_name, format_prediction_id, parse_prediction_id, parse_version
from core.values import Position

ADDRESSES = st.builds(Address, st.integers(1, 2**32 - 1), st.integers(0, 2**48 - 1), st.integers(0, 2**64 - 1))


@given(ADDRESSES)
def test_an_address_survives_its_id(address: Address) -> None:
    """A prediction's id says where its record stands and which nonce it carries."""
    assert parse_prediction_id(format_prediction_id(address)) == (address, None)


@given(ADDRESSES, st.integers(0, 999_999))
def test_a_row_survives_its_id(address: Address, row: int) -> None:
    """`.n` names row n of a prediction."""
    assert parse_prediction_id(f"{format_prediction_id(address)}.{row}") == (address, row)


@given(ADDRESSES, ADDRESSES)
def test_ids_differ_where_addresses_differ(left: Address, right: Address) -> None:
    """No two records share an id."""
    assert (format_prediction_id(left) == format_prediction_id(right)) == (left == right)


@given(st.text(max_size=60))
def test_other_texts_are_no_ids(text: str) -> None:
    """Whatever text comes is refused as Invalid; 'p' and hyphens alone make no id."""
    with pytest.raises(Invalid) as caught:
        parse_prediction_id(text)
    assert caught.value.field == "prediction_id"


GOOD = "p1-18-00000000000000ff"


@pytest.mark.parametrize(
    "text",
    ["", "p", GOOD[:-1], GOOD + "0", GOOD + ".", GOOD + ".01", GOOD + ".-1", GOOD + ".1000000", GOOD + "\n", " " + GOOD, GOOD.upper()],
)
def test_near_misses_are_refused(text: str) -> None:
    """An id is read whole or not at all: no space, newline, leading zero or capital is overlooked."""
    with pytest.raises(Invalid, match=r"^prediction_id: expected an id as a prediction answered it"):
        parse_prediction_id(text)


def test_an_address_knows_its_position() -> None:
    """Address and position name the same byte."""
    assert Address(3, 99, 7).position == Position(3, 99)


@pytest.mark.parametrize("name", ["a", "9", "credit", "a" * 100, "a.b-c_d", "Z9"])
def test_names(name: str) -> None:
    """Letters, digits, `_`, `-` and `.` make a name of up to 100 characters."""
    assert check_name(name, "arm") == name


@pytest.mark.parametrize("name", ["", "a" * 101, ".a", "-a", "_a", "a b", "a/b", "ä", "a\n", "a@1", "a:b", "\0"])
def test_what_is_no_name(name: str) -> None:
    """Nothing that would have to be escaped in a path, a label or a version is a name; the error names the field."""
    with pytest.raises(Invalid, match=r"^arm: expected a name") as caught:
        check_name(name, "arm")
    assert caught.value.field == "arm"


@pytest.mark.parametrize("key", ["u-17", "x" * 200, "ein Nutzer", "ключ", "/?&"])
def test_keys(key: str) -> None:
    """A client's own identifier is any 1 to 200 printable characters."""
    assert check_key(key, "unit") == key


@pytest.mark.parametrize("key", ["", "x" * 201, "a\nb", "\0p1", "\x7f", "\ud800"])
def test_what_is_no_key(key: str) -> None:
    """No control character passes: the NUL marks the store's own keys."""
    with pytest.raises(Invalid, match=r"^unit: expected 1 to 200 printable characters"):
        check_key(key, "unit")


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,20}", fullmatch=True), st.integers(1, 999_999_999))
def test_a_version_survives_its_text(model: str, number: int) -> None:
    """`credit@3` is read as it is written."""
    version = VersionId(model, number)
    assert parse_version(str(version)) == version


@pytest.mark.parametrize(
    "text", ["credit", "credit@", "credit@0", "credit@03", "credit@champion", "@3", "credit@-1", "credit@3\n", "a@b@3"]
)
def test_what_is_no_version(text: str) -> None:
    """A version is a name, an @ and a number from 1."""
    with pytest.raises(Invalid, match=r"^arms\.control: expected MODEL@NUMBER such as credit@3") as caught:
        parse_version(text, "arms.control")
    assert caught.value.field == "arms.control"
