"""The language of searches: `task:classification auc>0.9 tag:fraud -state:retired`. Terms are joined by and.

A term is `field:value`, `figure<op>number` or a word; a minus in front of it negates it, quotes hold spaces.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import NoReturn, cast, get_args

from core.clock import from_rfc3339
from core.errors import Invalid
from core.ids import check_name
from flows.registry.facts import text_of, words
from flows.registry.states import STATES
from models.card import RUNTIMES
from models.signature import Task
from store.search import AllOf, Compares, Comparison, Condition, Has, InState, IsOf, Named, Order, Registered, Wanted

MAX_SEARCH = 1000
"""Characters."""
MAX_TERMS = 30

TEXTS = ("tag", "owner", "licence", "task", "runtime", "feature", "parent", "by", "data", "remote", "commit")
"""Facts that are compared with a text: a commit by its beginning, all others whole."""
FIELDS = (*TEXTS, "state", "alias", "model", "registered")
WORDS: Mapping[str, tuple[str, ...]] = {"state": STATES, "task": get_args(Task), "runtime": RUNTIMES}
"""Fields that have only these values."""
TIMES = ("registered", "at")
"""Names of the time of registration: as it is asked for, and as it is shown."""

_TERM = re.compile(r'(-?)(?:([A-Za-z][A-Za-z0-9_.\-]*)(>=|<=|[:=<>]))?("[^"]*"|[^\s"]+)?')
_UNKEPT = re.compile("[\0\ud800-\udfff]")
"""What no store holds: the zero byte, and what a command line makes of bytes that are no text."""
_SPACE = re.compile(r"\s*")


class _Term:
    """One term, and where it stands: what errors say."""

    def __init__(self, text: str, place: int) -> None:
        self.place = place + 1
        found = _TERM.match(text, place)
        self.end = place if found is None else found.end()
        self.text = text[place : self.end] or text[place:]
        groups = () if found is None else found.groups()
        minus, self.field, self.operator, value = (str(each or "") for each in groups or ("",) * 4)
        self.negated, self.quoted = bool(minus), value.startswith('"')
        self.value = value.strip('"')
        if self.end < len(text) and not text[self.end].isspace():
            self.refuse("a quote is not closed, or stands in the middle of a word")
        if not self.value.strip():
            self.refuse("expected a value behind it" if self.field else "expected a word, field:value or figure>number")

    def refuse(self, why: str) -> NoReturn:
        raise Invalid(f"search: {self.text[:60]!r} at character {self.place}: {why}", field="search")


def parse(text: str) -> list[Condition]:
    """The conditions that a search names; [] where it is empty. Raises Invalid naming the term, its place, and what was expected."""
    if len(text) > MAX_SEARCH or _UNKEPT.search(text):
        raise Invalid(f"search: expected at most {MAX_SEARCH} characters of Unicode, got {len(text)}", field="search")
    found, place = list[Condition](), _after_space(text, 0)
    while place < len(text):
        term = _Term(text, place)
        wanted = _wanted(term)
        # Words that are to be found are a condition each, of which one may be rare.
        each = wanted.parts if isinstance(wanted, AllOf) and not term.negated else (wanted,)
        found += [Condition(one, term.negated) for one in each]
        place = _after_space(text, term.end)
        if len(found) > MAX_TERMS:
            term.refuse(f"expected at most {MAX_TERMS} terms")
    return found


def parse_order(text: str) -> Order:
    """`auc`: upwards, `-auc`: downwards; `registered` (or `at`), `model`, or the name of a figure. Raises Invalid."""
    name, descending = text.removeprefix("-"), text.startswith("-")
    if name in TIMES:
        return Order("registered", descending)
    if name == "model":
        return Order("model", descending)
    if name in FIELDS:
        raise Invalid(f"sort: expected registered, model or a figure such as auc or param.max_depth, got {name!r}", field="sort")
    return Order(_figure(check_name(name, "sort")), descending)


def _wanted(term: _Term) -> Wanted:
    if not term.field:
        return _words(term)
    if term.field in TIMES:
        return _time(term)
    if term.field.startswith("param."):
        return _parameter(term)
    if term.field in FIELDS:
        return _text(term)
    if term.operator == ":":
        figures = "a figure is compared by = > >= < <=: auc>0.9, metric.auc>0.9, test.auc>0.9, param.max_depth=5"
        term.refuse(f"no field is called {term.field[:40]!r}: expected one of {', '.join(FIELDS)}; {figures}")
    return Compares(_figure(term.field), cast(Comparison, term.operator), _number(term))


def _words(term: _Term) -> Wanted:
    if not term.quoted and any(each in term.value for each in "<>="):
        term.refuse("expected a field or a figure before the sign")
    found = sorted(words(term.value))
    if not found:
        term.refuse("expected a word of letters or digits")
    each = tuple(Has("word", word, begins=True) for word in found)
    return each[0] if len(each) == 1 else AllOf(each)


def _text(term: _Term) -> Wanted:
    if term.operator not in (":", "="):
        term.refuse(f"{term.field} is a text: expected {term.field}:value")
    if term.field == "model":
        return IsOf(term.value)
    if term.field == "alias":
        return Named(term.value)
    text = text_of(term.value)
    if text not in WORDS.get(term.field, (text,)):
        term.refuse(f"expected one of {', '.join(WORDS[term.field])}")
    return InState(text) if term.field == "state" else Has(term.field, text, begins=term.field == "commit")


def _parameter(term: _Term) -> Wanted:
    if term.operator not in (":", "="):
        return Compares(term.field, cast(Comparison, term.operator), _number(term))
    try:
        number = float(term.value)
    except ValueError:
        number = math.nan
    return Compares(term.field, "=", number) if math.isfinite(number) else Has(term.field, text_of(term.value))


def _time(term: _Term) -> Wanted:
    if term.operator in (":", "="):
        term.refuse(f"expected > >= < or <= before a time, such as {term.field}>2026-05-01")
    try:
        day = datetime.combine(date.fromisoformat(term.value), time(), UTC)
        return Registered(cast(Comparison, term.operator), day.timestamp())
    except ValueError:
        pass
    try:
        return Registered(cast(Comparison, term.operator), from_rfc3339(term.value))
    except Invalid:
        term.refuse("expected a date or an RFC 3339 time, such as 2026-05-01 or 2026-05-01T12:00:00Z")


def _number(term: _Term) -> float:
    try:
        number = float(term.value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        term.refuse(f"expected a number behind {term.operator}")
    return number


def _figure(name: str) -> str:
    return name if name.startswith(("metric.", "param.", "test.")) else f"metric.{name}"


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return place if found is None else found.end()
