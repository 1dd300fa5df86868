"""The batch tests of a version."""

from __future__ import annotations

from flask import Blueprint, Response

from core.errors import NotFound
from flows import batch_tests
from server.api import requests
from server.api.requests import answer, home

blueprint = Blueprint("tests", __name__, url_prefix="/v1/models/<model>/versions/<version>/tests")
blueprint.before_request(requests.admit)


@blueprint.get("")
def list_tests(model: str, version: str) -> Response:
    """Its tests in short, newest first; a number or an alias."""
    return answer(batch_tests.list_tests(home().store, f"{model}@{version}", requests.limit()))


@blueprint.get("/<test>")
def show_test(model: str, version: str, test: str) -> Response:
    """One test with all its figures; `latest` is the newest."""
    if test == "latest":
        return answer(batch_tests.show_test(home().store, f"{model}@{version}"))
    if not (test.isascii() and test.isdigit() and 0 < len(test) < 10):
        raise NotFound(f"version {model}@{version} has no test {test[:20]!r}", field="test", code="test-not-found")
    return answer(batch_tests.show_test(home().store, f"{model}@{version}", int(test)))
