"""The language of searches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from flows.registry.query import MAX_SEARCH, MAX_TERMS, parse, parse_order
from store.search import AllOf, Compares, Condition, Has, InState, IsOf, Named, Order, Registered, Wanted

MAY = 1777593600.0
"""2026-05-01T00:00:00Z."""

READ: dict[str, Wanted] = {
    "task:classification": Has("task", "classification"),
    "tag:Fraud": Has("tag", "fraud"),
    'tag:"two words"': Has("tag", "two words"),
    "owner=Ann": Has("owner", "ann"),
    "licence:MIT": Has("licence", "mit"),
    "task:Anomaly": Has("task", "anomaly"),
    "runtime:onnx": Has("runtime", "onnx"),
    "runtime=sklearn": Has("runtime", "sklearn"),
    'feature:"mean radius"': Has("feature", "mean radius"),
    "parent:credit@1": Has("parent", "credit@1"),
    "commit:0d2Ab48": Has("commit", "0d2ab48", begins=True),
    "model:Credit": IsOf("Credit"),
    "alias:champion": Named("champion"),
    "state:tested": InState("tested"),
    "state:Serving": InState("serving"),
    "auc>0.9": Compares("metric.auc", ">", 0.9),
    "metric.auc<=1e-3": Compares("metric.auc", "<=", 1e-3),
    "metric.tag>=2": Compares("metric.tag", ">=", 2.0),
    "loss<-3": Compares("metric.loss", "<", -3.0),
    "param.depth>3": Compares("param.depth", ">", 3.0),
    "param.kernel:RBF": Has("param.kernel", "rbf"),
    "param.depth=5": Compares("param.depth", "=", 5.0),
    "param.depth:inf": Has("param.depth", "inf"),
    "registered>2026-05-01": Registered(">", MAY),
    "at<=2026-05-01T02:00:00+02:00": Registered("<=", MAY),
    "Forest": Has("word", "forest", begins=True),
}


@pytest.mark.parametrize("text", READ)
def test_one_term(text: str) -> None:
    """Each kind of term is read, and negated by a minus."""
    assert parse(text) == [Condition(READ[text])]
    assert parse(f"  -{text} ") == [Condition(READ[text], negated=True)]


def test_terms_are_joined() -> None:
    """Each is a condition of its own; words that are to be found are one each, words that are not to be found stay together."""
    assert parse("") == parse(" \n") == []
    assert parse("a\ttag:b -auc<1") == [*parse("a"), *parse("tag:b"), *parse("-auc<1")]
    words = (Has("word", "card", begins=True), Has("word", "fraud", begins=True))
    assert parse("fraud-card") == parse('"fraud card"') == [Condition(word) for word in words]
    assert parse('-"Fraud_card"') == [Condition(AllOf(words), negated=True)]


@pytest.mark.parametrize(
    ("text", "place", "term", "why"),
    [
        ("a foo:1", 3, "foo:1", "no field is called 'foo': expected one of tag, owner"),
        ("auc:0.9", 1, "auc:0.9", "a figure is compared by ="),
        ("test.auc:1", 1, "test.auc:1", "auc>0.9, metric.auc>0.9, test.auc>0.9, param.max_depth=5"),
        ("a  auc>x", 4, "auc>x", "expected a number behind >"),
        ("auc>nan", 1, "auc>nan", "expected a number behind >"),
        ("auc>1e999", 1, "auc>1e999", "expected a number behind >"),
        ("tag>3", 1, "tag>3", "tag is a text: expected tag:value"),
        ("tag:", 1, "tag:", "expected a value behind it"),
        ('tag:" "', 1, 'tag:" "', "expected a value behind it"),
        ("a -", 3, "-", "expected a word, field:value or figure>number"),
        ('a "b', 3, '"b', "a quote is not closed"),
        ('a"b"', 1, "a", "a quote is not closed, or stands in the middle of a word"),
        (">0.9", 1, ">0.9", "expected a field or a figure before the sign"),
        ("a ++", 3, "++", "expected a word of letters or digits"),
        ("state:new", 1, "state:new", "expected one of registered, tested, approved, serving, retired"),
        ("-task:clasification", 1, "-task:clasification", "expected one of classification, regression, forecast, anomaly"),
        ("a runtime:skops", 3, "runtime:skops", "expected one of linear, onnx, treelite, river, remote, sklearn"),
        ("registered:2026-05-01", 1, "registered:2026-05-01", "expected > >= < or <= before a time"),
        ("at>yesterday", 1, "at>yesterday", "expected a date or an RFC 3339 time"),
    ],
)
def test_what_cannot_be_read(text: str, place: int, term: str, why: str) -> None:
    """The error names the term, where it begins, and what was expected."""
    with pytest.raises(Invalid) as caught:
        parse(text)
    assert caught.value.field == "search"
    assert caught.value.message.startswith(f"search: {term!r} at character {place}: ")
    assert why in caught.value.message


def test_limits() -> None:
    """Neither a long search nor one of many terms is tried."""
    assert len(parse("a " * MAX_TERMS)) == MAX_TERMS
    for text in ("a" * (MAX_SEARCH + 1), "a " * (MAX_TERMS + 1), "-".join(f"a{n}" for n in range(MAX_TERMS + 1)), "a\0", "tag:\udcff"):
        with pytest.raises(Invalid, match=r"^search: "):
            parse(text)


@given(st.text() | st.text(alphabet='ab:=<>-"@. 0\\u0000_', max_size=40))
def test_any_text(text: str) -> None:
    """A text is read or refused, whatever it is."""
    try:
        parse(text)
    except Invalid as error:
        assert error.field == "search"  # noqa: PT017 - whether it raises is not what is tested


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("registered", Order("registered", descending=False)),
        ("-at", Order("registered", descending=True)),
        ("model", Order("model", descending=False)),
        ("-auc", Order("metric.auc", descending=True)),
        ("param.depth", Order("param.depth", descending=False)),
        ("metric.model", Order("metric.model", descending=False)),
    ],
)
def test_orders(text: str, order: Order) -> None:
    """A key, and a minus for downwards."""
    assert parse_order(text) == order


@pytest.mark.parametrize("text", ["", "-", "--auc", "tag", "-owner", "a b", "auc desc"])
def test_what_is_no_order(text: str) -> None:
    """A text field has no order, and a name is a name."""
    with pytest.raises(Invalid, match=r"^sort: expected") as caught:
        parse_order(text)
    assert caught.value.field == "sort"
