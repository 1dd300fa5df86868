"""What an endpoint accepts, and the words in which it refuses."""

from __future__ import annotations

import math
import timeit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Conflict, Invalid
from models.inputs import Inputs
from models.signature import Feature, Signature

AGE = Feature("age", "float")
COUNT = Feature("count", "int")
CITY = Feature("city", "str")
MEMBER = Feature("member", "bool")
INCOME = Feature("income", "float", nullable=True)
ROW = {"age": 41.5, "count": 3, "city": "Turku", "member": True, "income": 1200.0}


def signature(*features):
    return Signature(features, "regression")


def inputs(*features, shadow=()):
    return Inputs.union([signature(*features)], [signature(*shadow)] if shadow else [])


ALL = inputs(AGE, COUNT, CITY, MEMBER, INCOME)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, [41.5, 3, "Turku", True, 1200.0]),
        ({"age": 41}, [41.0, 3, "Turku", True, 1200.0]),
        ({"age": 2**60 + 1}, [float(2**60 + 1), 3, "Turku", True, 1200.0]),
        ({"age": 10**20}, [1e20, 3, "Turku", True, 1200.0]),
        ({"age": 1e308, "income": 1e308}, [1e308, 3, "Turku", True, 1e308]),
        ({"count": 3.0}, [41.5, 3, "Turku", True, 1200.0]),
        ({"count": -(2**63)}, [41.5, -(2**63), "Turku", True, 1200.0]),
        ({"city": "Åbo"}, [41.5, 3, "Åbo", True, 1200.0]),
        ({"city": ""}, [41.5, 3, "", True, 1200.0]),
        ({"income": None}, [41.5, 3, "Turku", True, None]),
    ],
)
def test_good_rows_are_read_in_order(change, expected):
    """A row becomes values of the features' own kinds, in the order of the names, from an object or a list alike."""
    row = ROW | change
    for read in (ALL.read(row, None), ALL.read(None, [row]), ALL.read(None, [list(row.values())])):
        assert read == [expected]
        assert [type(value) for value in read[0]] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("change", "field", "problem"),
    [
        ({"age": "abc"}, "age", "expected a number, got 'abc'"),
        ({"age": True}, "age", "expected a number, got true"),
        ({"age": None}, "age", "expected a number, got null"),
        ({"age": [1]}, "age", "expected a number, got a list"),
        ({"age": {}}, "age", "expected a number, got an object"),
        ({"age": math.nan}, "age", "expected a number, got nan, which is not finite"),
        ({"income": math.inf}, "income", "expected a number, got inf, which is not finite"),
        ({"age": 10**400}, "age", "expected a number, got an integer beyond 64 bits"),
        ({"count": 3.5}, "count", "expected an integer, got 3.5"),
        ({"count": 2**63}, "count", "expected an integer, got an integer beyond 64 bits"),
        ({"count": 9.3e18}, "count", "expected an integer, got 9.3e+18"),
        ({"count": False}, "count", "expected an integer, got false"),
        ({"city": 5}, "city", "expected a string, got 5"),
        ({"city": "\ud800"}, "city", "expected a string, got '\\ud800'"),
        ({"member": 1}, "member", "expected true or false, got 1"),
        ({"member": "yes"}, "member", "expected true or false, got 'yes'"),
        ({"agee": 1}, "agee", "unknown feature; did you mean 'age'?"),
        ({"zzz": 1}, "zzz", "unknown feature"),
    ],
)
def test_bad_rows_are_refused_by_name(change, field, problem):
    """The error names the feature, what was expected and what came, for one row and for one of many."""
    row = ROW | change
    with pytest.raises(Invalid) as one:
        ALL.read(row, None)
    assert (one.value.field, one.value.message) == (f"features.{field}", f"features.{field}: {problem}")
    with pytest.raises(Invalid) as many:
        ALL.read(None, [ROW, row])
    assert (many.value.field, many.value.message) == (f"instances[1].{field}", f"instances[1].{field}: {problem}")


def test_a_missing_feature_is_named():
    """An arm's feature must be there."""
    row = {name: value for name, value in ROW.items() if name != "count"}
    with pytest.raises(Invalid, match=r"features\.count: expected an integer, the feature is missing") as caught:
        ALL.read(row, None)
    assert caught.value.field == "features.count"


@pytest.mark.parametrize(
    ("features", "instances", "field", "problem"),
    [
        (None, None, "features", "expected an object with the features, or a list of rows in instances"),
        (ROW, [ROW], "instances", "expected either features or instances, got both"),
        (None, [], "instances", "expected a list of at least one row, got an empty list"),
        (None, {}, "instances", "expected a list of at least one row, got an object"),
        (None, [7], "instances[0]", "expected an object or a list of features, got 7"),
        (None, [ROW, [1.0, 2]], "instances[1]", "expected 5 values, got 2"),
        ("age=3", None, "features", "expected an object of features, got 'age=3'"),
        ([1.0], None, "features", "expected an object of features, got a list; rows as lists go into instances"),
    ],
)
def test_a_request_is_one_row_or_a_list_of_rows(features, instances, field, problem):
    """Anything else is refused, saying where."""
    with pytest.raises(Invalid) as caught:
        ALL.read(features, instances)
    assert (caught.value.field, caught.value.message) == (field, f"{field}: {problem}")


@pytest.mark.parametrize(("minimum", "city"), [(100.0, "Turku"), (0.0, "nowhere")])
def test_what_the_sample_never_saw_is_no_error(minimum, city):
    """Out of range, or of an unseen category: that is drift, and the row is served."""
    seen = inputs(Feature("age", "float", minimum=minimum, maximum=minimum), Feature("city", "str", categories=("Turku",)))
    assert seen.read({"age": 50.0, "city": city}, None) == [[50.0, city]]


def test_arms_need_the_union_of_their_features():
    """An endpoint asks for what any arm needs; an integer here and a float there is a float."""
    both = Inputs.union([signature(AGE, COUNT), signature(Feature("count", "float"), CITY)])
    assert both.names == ("age", "count", "city")
    assert both.read({"age": 1.0, "count": 2.5, "city": "x"}, None) == [[1.0, 2.5, "x"]]


@pytest.mark.parametrize(("other", "named"), [(Feature("age", "str"), "a string"), (Feature("age", "bool"), "true or false")])
def test_versions_that_disagree_about_a_type_cannot_share_an_endpoint(other, named):
    """A number to one version and text to another is a conflict that names the feature, for arms and shadows."""
    for union in (lambda: Inputs.union([signature(AGE), signature(other)]), lambda: Inputs.union([signature(AGE)], [signature(other)])):
        with pytest.raises(Conflict, match=f"'age': one version takes a number, another {named}") as caught:
            union()
        assert caught.value.field == "age"


def test_null_is_accepted_only_where_every_arm_takes_it():
    """Whether a request is valid must not depend on the arm that it would get."""
    optional_age = Feature("age", "float", nullable=True)
    assert Inputs.union([signature(optional_age), signature(CITY)]).read({"age": None, "city": "x"}, None) == [[None, "x"]]
    with pytest.raises(Invalid, match=r"features\.age"):
        Inputs.union([signature(optional_age), signature(AGE)]).read({"age": None}, None)


def test_a_shadow_asks_for_nothing():
    """A feature that only shadows need may be absent, null, or given; lists may end before it; arms' features are read as before."""
    with_shadow = inputs(COUNT, shadow=(Feature("count", "float"), CITY))
    assert with_shadow.names == ("count", "city")
    assert with_shadow.read(None, [{"count": 1}, {"count": 1, "city": "x"}, {"count": 1, "city": None}, [1], [1, "x"]]) == [
        [1, None],
        [1, "x"],
        [1, None],
        [1, None],
        [1, "x"],
    ]
    with pytest.raises(Invalid, match=r"expected an integer, got 1\.5"):
        with_shadow.read({"count": 1.5}, None)
    with pytest.raises(Invalid, match=r"features\.city: expected a string, got 5"):
        with_shadow.read({"count": 1, "city": 5}, None)


def test_rows_are_projected_to_a_signature():
    """`columns` gives each feature's place in a row, and None where the row is the signature's own."""
    union = Inputs.union([signature(AGE, COUNT), signature(CITY, AGE)])
    assert union.columns(signature(AGE, COUNT, CITY)) is None
    assert union.columns(signature(CITY, AGE)) == (2, 0)


def test_one_feature_is_enough():
    """A model of a single feature is read like any other."""
    assert inputs(AGE).read({"age": 2}, None) == [[2.0]]
    assert inputs(CITY).read(None, [["x"], {"city": "y"}]) == [["x"], ["y"]]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([2**63, 10**400, "\ud800"]),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from([*ROW, "other"]) | st.text(max_size=3), inner, max_size=6),
    max_leaves=12,
)


@given(JSON, JSON)
@settings(max_examples=400, deadline=None)
def test_arbitrary_json_is_read_or_refused(features, instances):
    """Whatever comes, the answer is rows of the right length or Invalid, and never another error."""
    try:
        rows = ALL.read(features, instances)
    except Invalid:
        return
    assert all(len(row) == len(ALL.names) for row in rows)


@given(st.fixed_dictionaries({name: st.just(value) | JSON for name, value in ROW.items()}))
@settings(max_examples=400, deadline=None)
def test_the_fast_path_accepts_what_the_slow_path_accepts(row):
    """Both ways of reading agree, so that speed never changes an answer."""
    fast = ALL._fast(row)
    if fast is not None:
        slow = ALL._slow(row, "features")
        assert fast == slow
        assert list(map(type, fast)) == list(map(type, slow))


def test_reading_a_row_of_thirty_numbers_is_quick():
    """A well-formed row of 30 numbers takes the fast path: 1.5 µs where 5 are allowed, 25 here for a busy machine."""
    names = [f"feature {index}" for index in range(30)]
    thirty = inputs(*(Feature(name, "float") for name in names))
    row = dict.fromkeys(names, 1.5)
    assert thirty._fast(row) is not None
    assert min(timeit.repeat(lambda: thirty.read(row, None), number=100, repeat=100)) / 100 < 25e-6
