"""The remote runtime: a model on another server, asked over HTTP for each prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import msgspec

from core.errors import ModelFailed, Rejected
from core.values import Output, Row
from models.remote.description import Description
from models.remote.servers import Remotes
from models.remote.tensors import Tensor, answer, request
from models.remote.transport import Client, reason_of
from models.runtime import BATCH, Answers
from models.signature import Signature

_numbers = count(1)


class RemoteRuntime:
    """Asks the server at each prediction: within 2 s it has answered, or it has failed."""

    def __init__(self, artefact: bytes, signature: Signature, remotes: Remotes) -> None:
        """Raises Rejected where `artefact` is no description, or the configuration has no server of that name."""
        try:
            self._description = msgspec.json.decode(artefact, type=Description)
        except msgspec.MsgspecError as error:
            raise Rejected(f"no description of a remote model: {error}") from None
        self._client = Client(remotes.server(self._description.server))
        self._read = Reading(self._description, signature)
        self._width = len(signature.features)

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        """One output per row; raises ModelFailed, with the model's name and not the server's address."""
        try:
            return [output for start in range(0, len(rows), BATCH) for output in self._some(rows[start : start + BATCH])]
        except ModelFailed as error:
            raise ModelFailed(f"remote {self._description.reference}: {error.message}") from error

    def settle(self) -> None:
        """Close what this thread has kept open: after it has loaded a version, others will ask it."""
        self._client.close()

    def _some(self, rows: Sequence[Row]) -> list[Output]:
        if any(len(row) != self._width for row in rows):
            raise ModelFailed(f"expected rows of {self._width} features")
        return self._read.outputs(ask(self._client, self._description, rows), len(rows))


def ask(client: Client, description: Description, rows: Sequence[Row]) -> dict[str, Tensor]:
    """What the model answers to the rows, as tensors by name; raises ModelFailed."""
    number = str(next(_numbers))
    answered = client.ask("POST", f"{description.reference.path}/infer", request(description, rows, number))
    if answered.status != 200:
        raise ModelFailed(f"the server answered {reason_of(answered)}")
    return answer(answered.body, number)


class Reading:
    """Reads a description's tensors as outputs of a signature."""

    def __init__(self, description: Description, signature: Signature) -> None:
        self._outputs = description.outputs
        self._tiltyard = description.tiltyard
        self._classes = signature.classes
        self._answers = Answers(signature)

    def outputs(self, tensors: Mapping[str, Tensor], rows: int) -> list[Output]:
        """One output per row; raises ModelFailed where a tensor is missing or is not what it was registered as."""
        given = {role: _named(tensors, name) for role, name in self._outputs.items()}
        if "value" in given:
            return self._values(given["value"].column(rows), rows)
        shares = self._shares(given["probabilities"], rows) if "probabilities" in given else None
        labels = given["label"].column(rows) if "label" in given else list(map(self._most_probable, shares or ()))
        if self._classes is None:
            return self._of_any_class(labels, given.get("probabilities"), shares)
        return self._answers.labels(labels, shares, rows)

    def _values(self, given: list[Any], rows: int) -> list[Output]:
        if self._tiltyard and None in given:
            # Of a model that learns: it has nothing to say yet.
            return [Output(value=None) if value is None else self._answers.values([_number(value)], 1)[0] for value in given]
        return self._answers.values(list(map(_number, given)), rows)

    def _shares(self, tensor: Tensor, rows: int) -> list[list[float]]:
        """Probabilities in the order of the signature's classes, or as they are where it names none."""
        given = [list(map(_number, row)) for row in tensor.rows(rows)]
        if self._classes is None:
            return given
        named = tensor.classes if self._tiltyard else None
        if named is not None:
            known = [str(label) for label in self._classes]
            if not set(named) <= set(known) or any(len(row) != len(named) for row in given):
                raise ModelFailed(f"output {tensor.name!r} has not the model's classes: {str(named)[:60]}")
            return [[shares.get(name, 0.0) for name in known] for shares in (dict(zip(named, row, strict=True)) for row in given)]
        if len(self._classes) == 2 and given and len(given[0]) == 1:
            return [[1.0 - share, share] for [share] in given]
        return given

    def _most_probable(self, shares: list[float]) -> Any:
        classes = self._classes or ()
        if len(shares) != len(classes):
            raise ModelFailed(f"the model answered {len(shares)} probabilities for {len(classes)} classes")
        return classes[shares.index(max(shares))]

    def _of_any_class(self, labels: list[Any], tensor: Tensor | None, shares: list[list[float]] | None) -> list[Output]:
        if not all(isinstance(label, (str, int, float)) or (label is None and self._tiltyard) for label in labels):
            raise ModelFailed(f"the model answered labels that are none: {str(labels)[:60]}")
        classes = None if tensor is None else tensor.classes
        if classes is None or shares is None:
            return self._answers.labels(labels, None, len(labels))
        if not all(len(row) == len(classes) and min(row, default=0.0) >= 0.0 for row in shares):
            raise ModelFailed(f"the model answered no probabilities of {len(classes)} classes")
        return [Output(label=label, probabilities=dict(zip(classes, row, strict=True))) for label, row in zip(labels, shares, strict=True)]


def _named(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise ModelFailed(f"the answer has no output {name!r}; it has {', '.join(map(repr, tensors))[:100] or 'none'}")
    return tensors[name]


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise ModelFailed(f"the model answered {str(value)[:60]!r} where a number was expected")
    try:
        return float(value)
    except OverflowError:
        raise ModelFailed("the model answered a number that is not finite") from None
