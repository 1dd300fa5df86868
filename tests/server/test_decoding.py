"""Refused bodies: the error names the field, also where the decoder does not."""

from __future__ import annotations

import msgspec
import pytest

from core.errors import Invalid, Malformed, TiltyardError
from flows.outcome import OutcomePost
from server.api.endpoints import ArmsBody, TrafficBody
from server.decoding import decode
from server.hot import PredictBody

REFUSED = [
    (PredictBody, b'{"features":{"age":NaN}}', Malformed, "features.age", "expected a finite number, got NaN"),
    (PredictBody, b'{"features":{"a":1,"age":1e999}}', Invalid, "features.age", "expected a finite number, got 1e999"),
    (
        PredictBody,
        b'{"instances":[{"a":1},{"b":[1,-Infinity]}]}',
        Malformed,
        "instances[1].b[1]",
        "expected a finite number, got -Infinity",
    ),
    (PredictBody, b"NaN", Malformed, "body", "expected a finite number, got NaN"),
    (PredictBody, b'{"features":{"a":NaN', Malformed, "body", "expected JSON"),
    (PredictBody, b'{"unit":3}', Invalid, "unit", "expected `str | null`, got `int`"),
    (TrafficBody, b'{"weights":{"a":1,"b":"x"}}', Invalid, "weights.b", "expected `float`, got `str`"),
    (TrafficBody, b'{"weights":{"a":"x","b":1},"enrolment":"y"}', Invalid, "weights.a", "expected `float`, got `str`"),
    (TrafficBody, b'{"weights":{"a":1e400}}', Invalid, "weights.a", "expected a finite number, got 1e400"),
    (TrafficBody, b"{}", Invalid, "weights", "this field is required"),
    (ArmsBody, b'{"arms":{"control":{"version":"a@1","wieght":3}}}', Invalid, "arms.control.wieght", "unknown field"),
    (ArmsBody, b'{"arms":{"a":{"version":"a@1","weight":1},"b":{"version":"a@1"}}}', Invalid, "arms.b.weight", "this field is required"),
    (list[OutcomePost], b'[{"metric":"m"}]', Invalid, "[0].value", "this field is required"),
    (list[OutcomePost], b'[{"metric":"m","value":1,"valeu":2}]', Invalid, "[0].valeu", "unknown field"),
    (OutcomePost, b"[]", Invalid, "body", "expected `object`, got `array`"),
]


@pytest.mark.parametrize(("kind", "body", "error", "field", "said"), REFUSED)
def test_an_error_names_the_field_and_what_was_expected(kind: type, body: bytes, error: type[TiltyardError], field: str, said: str) -> None:
    """The field is the path in the body, the message begins with it."""
    with pytest.raises(error) as caught:
        decode(msgspec.json.Decoder(kind), body)
    assert caught.value.field == field
    assert caught.value.message.startswith(f"{field}: {said}")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"weights":{%s"b":"x"}}' % b"".join(b'"a%d":1,' % number for number in range(1000)), "weights[]"),
        (b'{"weights":{"b":"x"}, "reason":"%s"}' % (b"x" * 70_000), "weights[]"),
    ],
    ids=["many keys", "large"],
)
def test_large_bodies_are_refused_without_a_search(body: bytes, field: str) -> None:
    """Refusing must stay cheap: then the key is not named."""
    with pytest.raises(Invalid) as caught:
        decode(msgspec.json.Decoder(TrafficBody), body)
    assert caught.value.field == field


def test_a_deep_value_under_a_free_key_is_refused_like_any_other() -> None:
    """Looking for the key to blame goes no deeper than JSON can be read: the error is the client's all the same."""
    deep = b'{"unit": "a", "context": {"x": ' + b"[" * 3000 + b"]" * 3000 + b"}}"
    with pytest.raises(Invalid, match="context"):
        decode(msgspec.json.Decoder(PredictBody), deep)
