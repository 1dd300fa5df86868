"""What control routes share: who asks, what was sent, how an answer looks."""

from __future__ import annotations

import math
import re
from typing import Any, TypeVar, cast

import msgspec
from flask import Response, current_app, g, request

from core.clock import from_rfc3339
from core.errors import Invalid
from flows.deploy import Order
from flows.facts import cuts
from flows.status import hindrance, wait_applied
from routing.changes import Who
from routing.plan import Plan, public
from server.auth import Guard
from server.decoding import decode
from server.errors import JSON
from server.home import Home, clock

T = TypeVar("T")

_WAIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)s?\Z")
_MOST_WAIT = 60.0
_NUMBER = re.compile(r"[0-9]{1,9}\Z")


def home() -> Home:
    """The home that this application serves."""
    return cast(Home, current_app.extensions["tiltyard"])


def admit(scope: str = "operate") -> None:
    """Let the request pass, or raise Unauthenticated or Forbidden; bodies must say that they are JSON."""
    guard = cast(Guard, current_app.extensions["tiltyard-guard"])
    guard.host(request.host)
    g.actor = guard.control(request.headers.get("Authorization"), scope)
    if request.method in ("POST", "PUT", "PATCH") and request.mimetype != JSON:
        raise Invalid(f"Content-Type: expected {JSON}, got {request.mimetype or 'none'}", field="Content-Type", code="content-type")


def body(kind: type[T]) -> T:
    """The request's body; an empty one counts as `{}`. Raises Malformed or Invalid naming the field."""
    return decode(msgspec.json.Decoder(kind), request.get_data() or b"{}")


def order(reason: str) -> Order:
    """Who orders this change, and how. Raises Invalid where the request's headers or parameters say it wrongly: before any change."""
    _wait()
    number = if_match("a plan number")
    return Order(who(reason), number, flag("dry_run"))


def who(reason: str) -> Who:
    """Who asks, now."""
    return Who(g.actor, clock(), reason)


def if_match(expected: str) -> int | None:
    """The number in the header If-Match; None where there is none, or any will do. Raises Invalid naming what was `expected`."""
    match = request.headers.get("If-Match")
    if match is None or match.strip() == "*":
        return None
    text = match.strip().removeprefix("W/").strip('"')
    if not _NUMBER.match(text):
        raise Invalid(f"If-Match: expected {expected}, got {match[:40]!r}", field="If-Match")
    return int(text)


def flag(name: str) -> bool:
    """A true or false query parameter."""
    text = request.args.get(name, "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise Invalid(f"{name}: expected true or false, got {text[:20]!r}", field=name)
    return text in ("true", "1")


def limit(default: int = 50) -> int:
    """The query parameter `limit`."""
    text = request.args.get("limit", str(default))
    if not _NUMBER.match(text) or not 1 <= int(text) <= 1000:
        raise Invalid(f"limit: expected a number from 1 to 1000, got {text[:20]!r}", field="limit")
    return int(text)


def number(name: str) -> int | None:
    """A query parameter that is a number, as a page before gave it; None where it is not given."""
    text = request.args.get(name)
    if text is not None and not _NUMBER.match(text):
        raise Invalid(f"{name}: expected a number, got {text[:20]!r}", field=name)
    return None if text is None else int(text)


def time_range() -> tuple[float, float]:
    """The query parameters `from` and `to` in seconds since the epoch; without end where one is not given."""
    texts = ((name, request.args.get(name)) for name in ("from", "to"))
    begin, stop = (None if text is None else from_rfc3339(text, name) for name, text in texts)
    return -math.inf if begin is None else begin, math.inf if stop is None else stop


def changed(plan: Plan, status: int = 200) -> Response:
    """The answer to a change of the plan."""
    return applied(public(plan), plan, status)


def applied(shown: dict[str, Any], plan: Plan | None, status: int = 200) -> Response:
    """The answer to a change that made `plan`, if any: what that costs experiments, and with `?wait=5s` whether all workers serve it."""
    warnings = [] if plan is None else cuts.warnings(home().store, plan)
    if warnings:
        shown = {**shown, "warnings": warnings}
    if flag("dry_run"):
        return answer({**shown, "dry_run": True})
    if plan is None:
        return answer(shown, status)
    wait = _wait()
    if wait is not None:
        done = wait_applied(home().store, plan, wait, clock)
        reason = None if done else hindrance(home().store, plan, clock)
        shown = {**shown, "applied": done, **({} if reason is None else {"not_applied": reason})}
    return answer(shown, status, {"ETag": f'"{plan.plan}"'})


def answer(found: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`found` as JSON."""
    return Response(msgspec.json.encode(found), status, headers, content_type=JSON)


def _wait() -> float | None:
    """The query parameter `wait` in seconds; None where it is not given."""
    text = request.args.get("wait")
    if text is None:
        return None
    found = _WAIT.match(text)
    if found is None or float(found[1]) > _MOST_WAIT:
        raise Invalid(f"wait: expected seconds up to {_MOST_WAIT:.0f} such as 5s, got {text[:20]!r}", field="wait")
    return float(found[1])
