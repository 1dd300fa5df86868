"""Random bytes and random JSON of a server are answers or failures, and never anything else."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from http.client import HTTPException
from math import isfinite
from time import monotonic
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.errors import ModelFailed, Rejected
from core.values import Output
from models.remote import roles
from models.remote.description import Description, Input
from models.remote.runtime import Reading
from models.remote.servers import Server
from models.remote.tensors import answer
from models.remote.transport import Answered, _Connection, reason_of
from models.signature import Feature, Signature

PIECES = st.sampled_from(
    [
        b"HTTP/1.1 ",
        b"HTTP/1.0 ",
        b"HTTP/9 ",
        b"200 OK",
        b"100 Continue",
        b"204",
        b"-1",
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b"Content-Length: ",
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b": ",
        b"5",
        b"ffffffffffffffffff",
        b"{}",
        b"\x00\xff",
        b" ",
    ]
)


@given(st.lists(st.one_of(PIECES, st.binary(max_size=8)), max_size=20).map(b"".join))
def test_whatever_bytes_come_they_are_an_answer_or_a_failure_to_answer(data: bytes) -> None:
    """Of the two kinds that a client turns into a failure of the model."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        with suppress(OSError, HTTPException):
            answered = _Connection(Server("s", "h", 1, tls=False), ours, None).exchange("POST", "/", b"{}", monotonic() + 5)
            assert isinstance(answered.body, bytes)
            assert isinstance(reason_of(answered), str)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=3), st.sampled_from(["a", "b"])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)
TENSORS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["label", "probabilities", "value"]),
        "shape": st.one_of(st.just([2]), st.just([2, 2]), st.lists(st.integers(-2, 4), max_size=3)),
        "datatype": st.sampled_from(["FP64", "INT64", "BYTES", "BOOL", "FP8"]),
        "data": st.one_of(st.lists(VALUES, max_size=5), st.just([0.5, 0.5, 0.25, 0.75]), st.just(["a", "b"]), st.just([1.5, 2])),
    },
    optional={"parameters": st.one_of(st.none(), st.fixed_dictionaries({"classes": VALUES}), st.just({"classes": ["b", "a"]}))},
)
ANSWERS = st.one_of(VALUES, st.fixed_dictionaries({"outputs": st.lists(TENSORS, max_size=3)}, optional={"id": VALUES}))
SIGNATURES = [
    Signature((Feature("x", "float"),), "regression"),
    Signature((Feature("x", "float"),), "classification"),
    Signature((Feature("x", "float"),), "classification", ("a", "b")),
]


def _can_be_sent(output: Output, signature: Signature, tiltyard: bool) -> bool:
    """A finite value, or a label that is one, and a known one where classes are; null of a Tiltyard alone."""
    if signature.task == "regression":
        return output.value is None if tiltyard and output.value is None else isinstance(output.value, float) and isfinite(output.value)
    if output.label is None:
        return tiltyard and signature.classes is None
    return isinstance(output.label, (str, int, float)) and output.label in (signature.classes or (output.label,))


@given(ANSWERS, st.booleans())
def test_whatever_json_comes_it_is_outputs_or_a_failure(given_: Any, tiltyard: bool) -> None:
    """Read as a model that was registered, and as one that is about to be."""
    body = json.dumps(given_).encode()
    assert isinstance(reason_of(Answered(500, body)), str)
    for signature in SIGNATURES:
        outputs: Any = {"value": "value"} if signature.task == "regression" else {"label": "label", "probabilities": "probabilities"}
        read = Reading(Description("s", "m", None, tiltyard, (Input("x", "FP64"),), True, outputs, False), signature)
        with suppress(ModelFailed):
            found = read.outputs(answer(body, "1"), 2)
            assert len(found) == 2
            assert all(_can_be_sent(each, signature, tiltyard) for each in found)
    for truth in ([], ["a", "b"], [0, 1], [1.5]):
        with suppress(ModelFailed, Rejected):
            tensors = answer(body, "1")
            found_roles = roles.find(roles.seen([(tensors, 2)]), {}, roles.Said(None, truth))
            read = Reading(
                Description("s", "m", None, tiltyard, (Input("x", "FP64"),), True, found_roles.outputs, False),
                Signature((Feature("x", "float"),), found_roles.task, found_roles.classes),
            )
            read.outputs(tensors, 2)
