"""What an endpoint accepts: the union of its versions' signatures, and the reading of rows against it.

A well-formed row takes the fast path, which only looks whether all is as it should be; whatever it cannot vouch for goes
value by value through `_convert`, which converts or words the error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from math import isfinite
from operator import itemgetter
from typing import Any, TypeAlias

from core.errors import Conflict, Invalid
from core.values import Value
from models.signature import TYPES, Feature, Kind, Signature

Pick: TypeAlias = Callable[[Any], tuple[Any, ...]]

_EXPECTED: dict[Kind, str] = {"float": "a number", "int": "an integer", "str": "a string", "bool": "true or false"}
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
_FLOATS = {float}
_NUMBERS = {float, int}
_ABSENT = object()


class Inputs:
    """The features that an endpoint's requests carry, in a fixed order: those of its arms, then those of shadows alone."""

    __slots__ = ("_features", "_floats", "_integers", "_kinds", "_known", "_pick", "_plain", "_required", "_texts", "names")

    def __init__(self, required: Sequence[Feature], optional: Sequence[Feature] = ()) -> None:
        self._features = (*required, *optional)
        self._required = len(required)
        self.names: tuple[str, ...] = tuple(feature.name for feature in self._features)
        self._known = frozenset(self.names)
        self._pick = _picker(self.names)
        self._kinds = tuple(TYPES[feature.kind] for feature in self._features)
        self._plain = set(self._kinds) == _FLOATS
        self._floats, self._integers, self._texts = (_picker(self._places(kind)) for kind in (float, int, str))

    @classmethod
    def union(cls, required: Sequence[Signature], optional: Sequence[Signature] = ()) -> Inputs:
        """What arms (`required`) and shadows (`optional`) need together.

        An integer here and a float there make a float. Null is accepted where every arm that needs the feature takes it,
        so that a request is valid or not whatever the arm. A feature that only shadows need may be absent, and shadows
        have no say in how an arm's feature is read. Raises Conflict naming a feature that is a number to one version and
        text to another.
        """
        needed: dict[str, Feature] = {}
        for feature in (feature for signature in required for feature in signature.features):
            needed[feature.name] = _together(needed.get(feature.name), feature)
        extra: dict[str, Feature] = {}
        for feature in (feature for signature in optional for feature in signature.features):
            wider = _together(needed.get(feature.name) or extra.get(feature.name), feature)
            if feature.name not in needed:
                extra[feature.name] = Feature(feature.name, wider.kind, nullable=True)
        return cls(tuple(needed.values()), tuple(extra.values()))

    @classmethod
    def of_any(cls, signatures: Sequence[Signature]) -> Inputs:
        """What may suit one of several versions: a feature that not all of them take may be absent, null is accepted where one takes it.

        Features of the first come first. Raises Conflict like `union`.
        """
        found: dict[str, Feature] = {}
        for feature in (feature for signature in signatures for feature in signature.features):
            known = found.get(feature.name)
            wider = _together(known, feature)
            found[feature.name] = Feature(feature.name, wider.kind, feature.nullable or (known is not None and known.nullable))
        shared = {name for name in found if all(name in signature.names for signature in signatures)}
        optional = [Feature(name, feature.kind, nullable=True) for name, feature in found.items() if name not in shared]
        return cls([found[name] for name in found if name in shared], optional)

    @property
    def features(self) -> tuple[Feature, ...]:
        """What each value of a row is, in the order of `names`."""
        return self._features

    def columns(self, signature: Signature) -> tuple[int, ...] | None:
        """Where in a row each feature of `signature` stands; None when the row is the signature's own as it is."""
        names = signature.names
        return None if names == self.names else tuple(map(self.names.index, names))

    def read(self, features: Any, instances: Any) -> list[list[Value]]:
        """The rows of one request, each in the order of `names`: one from `features`, or one from each of `instances`.

        An optional feature that is absent becomes None. Raises Invalid whose `field` says where: `features.age`,
        `instances[3].age`.
        """
        if instances is None:
            if features is None:
                raise Invalid("features: expected an object with the features, or a list of rows in instances", field="features")
            return [self._fast(features) or self._slow(features, "features")]
        if features is not None:
            raise Invalid("instances: expected either features or instances, got both", field="instances")
        if type(instances) is not list or not instances:
            raise Invalid(f"instances: expected a list of at least one row, got {_shown(instances)}", field="instances")
        return [self._fast(given) or self._slow(given, f"instances[{index}]") for index, given in enumerate(instances)]

    def _fast(self, given: Any) -> list[Value] | None:
        """The row where all of it is exactly as expected, else None."""
        if type(given) is dict:
            if len(given) != len(self.names):
                return None
            try:
                row = self._pick(given)
            except KeyError:
                return None
        elif type(given) is list and len(given) == len(self.names):
            row = tuple(given)
        else:
            return None
        return self._fast_numbers(row) if self._plain else self._fast_mixed(row)

    def _fast_numbers(self, row: tuple[Any, ...]) -> list[Value] | None:
        types = set(map(type, row))
        if types == _FLOATS:
            return list(row) if isfinite(sum(row)) else None
        if not types <= _NUMBERS:
            return None
        try:
            floats: list[Value] = list(map(float, row))
        except OverflowError:
            return None
        return floats if isfinite(sum(floats)) else None  # type: ignore[arg-type]

    def _fast_mixed(self, row: tuple[Any, ...]) -> list[Value] | None:
        if tuple(map(type, row)) != self._kinds or not isfinite(sum(self._floats(row))):
            return None
        integers = self._integers(row)
        if integers and not (min(integers) >= _LOWEST and max(integers) <= _HIGHEST):
            return None
        return list(row) if "".join(self._texts(row)).isascii() else None

    def _slow(self, given: Any, where: str) -> list[Value]:
        """The row, value by value; raises Invalid at the first that will not do."""
        values = self._from_object(given, where) if type(given) is dict else self._from_list(given, where)
        return [
            None if value is _ABSENT and place >= self._required else _convert(value, feature, where)
            for place, (value, feature) in enumerate(zip(values, self._features, strict=True))
        ]

    def _from_object(self, given: dict[Any, Any], where: str) -> list[Any]:
        for name in given:
            if name not in self._known:
                near = get_close_matches(str(name)[:100], self.names, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise Invalid(f"{where}.{str(name)[:100]}: unknown feature{hint}", field=f"{where}.{str(name)[:100]}")
        return [given.get(name, _ABSENT) for name in self.names]

    def _from_list(self, given: Any, where: str) -> list[Any]:
        if type(given) is not list:
            expected = "an object" if where == "features" else "an object or a list"
            raise Invalid(f"{where}: expected {expected} of features, got {_shown(given)}", field=where)
        if where == "features":
            raise Invalid("features: expected an object of features, got a list; rows as lists go into instances", field=where)
        if len(given) not in (len(self.names), self._required):
            raise Invalid(f"{where}: expected {self._required} values, got {len(given)}", field=where)
        return given + [_ABSENT] * (len(self.names) - len(given))

    def _places(self, kind: type) -> tuple[int, ...]:
        return tuple(place for place, found in enumerate(self._kinds) if found is kind)


def _picker(keys: Sequence[Any]) -> Pick:
    """`itemgetter` that always answers a tuple, for one key and none as well."""
    if len(keys) > 1:
        return itemgetter(*keys)
    if keys:
        only = keys[0]
        return lambda row: (row[only],)
    return lambda row: ()


def _together(known: Feature | None, new: Feature) -> Feature:
    """One feature that takes what both take."""
    if known is None:
        return Feature(new.name, new.kind, new.nullable)
    kinds = {known.kind, new.kind}
    if len(kinds) > 1 and kinds != {"int", "float"}:
        raise Conflict(
            f"feature {new.name!r}: one version takes {_EXPECTED[known.kind]}, another {_EXPECTED[new.kind]};"
            " they cannot share an endpoint",
            field=new.name,
        )
    return Feature(new.name, "float" if len(kinds) > 1 else new.kind, known.nullable and new.nullable)


def _convert(value: Any, feature: Feature, where: str) -> Value:
    """`value` as the feature's kind; raises Invalid where it is none."""
    if value is None and feature.nullable:
        return None
    kind = type(value)
    if feature.kind == "float" and kind in _NUMBERS:
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
        if isfinite(number):
            return number
    elif feature.kind == "int" and (kind is int or (kind is float and value.is_integer())):
        if _LOWEST <= value <= _HIGHEST:
            return int(value)
    elif feature.kind == "str" and kind is str and _encodable(value):
        return str(value)
    elif feature.kind == "bool" and kind is bool:
        return bool(value)
    field = f"{where}.{feature.name}"
    problem = "the feature is missing" if value is _ABSENT else f"got {_shown(value)}"
    raise Invalid(f"{field}: expected {_EXPECTED[feature.kind]}, {problem}", field=field)


def _encodable(text: str) -> bool:
    """Half a surrogate pair is no character, and no model could be handed it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: Any) -> str:
    """`value` in an error message: in JSON's words, short, and safe for any value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, int):
        return str(value) if _LOWEST <= value <= _HIGHEST else "an integer beyond 64 bits"
    if isinstance(value, float) and not isfinite(value):
        return f"{value}, which is not finite"
    return ascii(value[:60]) if isinstance(value, str) and not _encodable(value) else repr(value)[:60]
