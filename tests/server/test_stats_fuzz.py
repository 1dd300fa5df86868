"""No input at all brings more out of `tiltyard stats` than finite figures, a refusal, or one clear line."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from experiments import calculator
from tests.server.stats_world import EXAMPLES, METHODS, assert_one_line, stats


def assert_contract(method: str, body: bytes) -> None:
    """Finite figures; or a reason; or one clear line."""
    ended = stats(method, body)
    if ended.code == 2:
        assert ended.out == ""
        assert_one_line(ended.err)
        return
    assert ended.err == ""
    found = json.loads(ended.out, parse_constant=pytest.fail)
    if ended.code == 1:
        assert list(found) == ["refused"]
        assert len(found["refused"]) > 10
        return
    assert ended.code == 0
    assert "refused" not in found
    for key in ("p_value", "p_values", "p_exact", "p_mid", "wilcoxon_p", "nominal_p", "adjusted"):
        for p in found.get(key, []) if isinstance(found.get(key, []), list) else [found[key]]:
            assert p is None or 0.0 <= p <= 1.0


numbers = st.sampled_from([0, 1, 2, -1, 0.5, 1e-300, 1e300, -1e300, 5e-324, 1.7e308, 1e154, 0.1, 1e16, 2**53, 10**30, 0.999999])
others = st.sampled_from(["null", "true", '"a"', '""', "[]", "{}", "[0, 1]", '{"a": 1}'])
odd_values = numbers | st.floats(allow_nan=False, allow_infinity=False) | others.map(json.loads)


@st.composite
def changed_examples(draw: st.DrawFn, method: str) -> bytes:
    """The method's example with a few values replaced, doubled or taken out, wherever they stand."""
    document = json.loads(json.dumps(EXAMPLES[method]))
    for _ in range(draw(st.integers(1, 3))):
        change(draw, document)
    return json.dumps(document).encode()


def change(draw: st.DrawFn, document: Any) -> None:
    """One place, found by walking down at random."""
    here = document
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        if not isinstance(here[key], dict | list) or not draw(st.sampled_from([True, True, True, False])):
            break
        here = here[key]
    what = draw(st.sampled_from(["number", "number", "number", "odd", "out", "double", "same"]))
    if what == "out":
        del here[key]
    elif what == "double" and isinstance(here, list):
        here.append(here[key])
    elif what == "same" and isinstance(here, list):
        here[:] = [here[key]] * len(here)
    else:
        here[key] = draw(odd_values if what == "odd" else numbers)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_an_example_with_odd_values_keeps_the_contract(method: str, data: st.DataObject) -> None:
    """Extreme, missing and wrong values at any place of an input that was right."""
    assert_contract(method, data.draw(changed_examples(method)))


def from_type(kind: inspect.Type, size: int) -> st.SearchStrategy[Any]:
    """Values of a type that a method reads; all lists have one length, so that they match."""
    match kind:
        case inspect.StructType():
            needed = {f.encode_name: from_type(f.type, size) for f in kind.fields if f.required}
            return st.fixed_dictionaries(needed, optional={f.encode_name: from_type(f.type, size) for f in kind.fields if not f.required})
        case inspect.ListType():
            return st.lists(from_type(kind.item_type, size), min_size=size, max_size=size)
        case inspect.TupleType():
            return st.tuples(*[from_type(each, size) for each in kind.item_types])
        case inspect.DictType():
            return st.fixed_dictionaries({"a": from_type(kind.value_type, size), "b": from_type(kind.value_type, size)})
        case inspect.UnionType():
            return st.one_of([from_type(each, size) for each in kind.types])
        case inspect.LiteralType():
            return st.sampled_from(kind.values)
        case inspect.IntType():
            return st.integers(0, 20) | st.sampled_from([0, 1, 1000, 2**53])
        case inspect.FloatType():
            return st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0.0, 1.0) | st.floats(allow_nan=False, allow_infinity=False)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case _:
            return st.sampled_from(["a", "b"])


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_input_of_the_right_types_keeps_the_contract(method: str, data: st.DataObject) -> None:
    """Of extreme values and few, equal and none."""
    kind = inspect.type_info(calculator.find(method).reads)
    drawn = data.draw(st.sampled_from([0, 1, 2, 2, 3, 5]).flatmap(lambda size: from_type(kind, size)))
    assert_contract(method, msgspec.json.encode(drawn))


@given(st.sampled_from(METHODS), st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_keep_the_contract(method: str, body: bytes) -> None:
    """What is no JSON is told so."""
    assert_contract(method, body)
