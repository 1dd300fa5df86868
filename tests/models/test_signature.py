"""What a sample tells about a model's features."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest

from core.errors import Invalid
from models.signature import MOST_CATEGORIES, Feature, Signature, infer, numbered, unseen


def test_features_are_inferred_from_columns():
    """Kind, range, categories and whether values were missing."""
    columns = {
        "age": [41.5, None, 20.0],
        "count": [3, 1, 2],
        "half": [1, 2.5, 3],
        "city": ["Turku", "Åbo", "Turku"],
        "member": [True, None, False],
        "empty": [None, None, None],
    }
    assert infer(columns) == (
        Feature("age", "float", nullable=True, minimum=20.0, maximum=41.5),
        Feature("count", "int", minimum=1.0, maximum=3.0),
        Feature("half", "float", minimum=1.0, maximum=3.0),
        Feature("city", "str", categories=("Turku", "Åbo")),
        Feature("member", "bool", nullable=True),
        Feature("empty", "float", nullable=True),
    )


def test_free_text_has_no_categories():
    """A column with very many distinct values is not listed."""
    (feature,) = infer({"text": [f"text {index}" for index in range(MOST_CATEGORIES + 1)]})
    assert feature.categories is None


@pytest.mark.parametrize("values", [[1, "x"], [True, 2], [date(2026, 5, 3)], [b"x"]])
def test_other_types_are_refused_by_column(values):
    """A column that is no number, text or boolean, or a mixture, is named."""
    with pytest.raises(Invalid, match="column 'c' holds") as caught:
        infer({"c": values})
    assert caught.value.field == "c"


@pytest.mark.parametrize("classes", [(0, 1), ("a", "b"), (False, True), (0.0, 1.5), None])
def test_a_signature_survives_json(classes):
    """Classes keep their own types: 1, 1.0 and true stay apart."""
    signature = Signature(unseen(numbered(2)), "classification", classes, "y")
    back = msgspec.json.decode(msgspec.json.encode(signature), type=Signature)
    assert back == signature
    assert [type(label) for label in back.classes or ()] == [type(label) for label in classes or ()]


def test_a_blank_row_has_a_value_of_each_kind():
    """Where no sample is known, a model is tried on zeros, false and empty text."""
    features = (Feature("a", "float"), Feature("b", "int"), Feature("c", "str"), Feature("d", "bool"))
    assert Signature(features, "regression").blank() == (0.0, 0, "", False)
    assert Signature(features, "regression").names == ("a", "b", "c", "d")
