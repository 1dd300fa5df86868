"""What is stored of a model on another server: where it is, which tensors it takes, and what its answer's tensors mean."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import msgspec

from models.remote.reference import Reference
from models.signature import Kind

Role: TypeAlias = Literal["label", "probabilities", "value"]
"""What a tensor of the answer means. Probabilities alone: the label is that of the greatest."""

NO_OUTPUTS: Mapping[Role, str] = MappingProxyType({})
"""Nothing is said of which output is what."""

ROLES: tuple[Role, ...] = ("label", "probabilities", "value")

KINDS: Mapping[str, Kind] = {
    "BOOL": "bool",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"), "int"),
    **dict.fromkeys(("FP16", "FP32", "FP64"), "float"),
    "BYTES": "str",
}
"""The V2 protocol's datatypes, as kinds of values."""


class Input(msgspec.Struct, frozen=True):
    """A tensor that the model takes. `two`: one feature as [n, 1] and not as [n]; a matrix of all features is always [n, k]."""

    name: str
    datatype: str
    two: bool = False


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The artefact of a remote version. It names the server and not its address.

    `matrix`: the only input takes all features, in the signature's order; else there is one input for each. `outputs`: role → tensor;
    where `ask`, a request names them. `tiltyard`: the server is a Tiltyard too, so that missing values can be null, and its answers name
    their classes.
    """

    server: str
    model: str
    version: str | None
    tiltyard: bool
    inputs: tuple[Input, ...]
    matrix: bool
    outputs: dict[Role, str]
    ask: bool

    @property
    def reference(self) -> Reference:
        """How it is named."""
        return Reference(self.server, self.model, self.version)
