"""Remote models on the command line, before a home is asked."""

from __future__ import annotations

import pytest
from click import UsageError

from core.errors import Invalid
from flows.deploy import ShadowSpec
from models.remote.roles import named
from server.api.endpoints import ShadowBody, _shadows
from server.cli import options


def test_shadows_are_versions_or_remotes() -> None:
    """With or without a share of the requests."""
    texts = ("a=credit@3", "b=credit@3:0.1", "c=remote:staging/credit", "d=remote:staging/credit@7:0.5")
    assert options.shadows(texts) == {
        "a": ShadowSpec("credit@3", 1.0),
        "b": ShadowSpec("credit@3", 0.1),
        "c": ShadowSpec("remote:staging/credit", 1.0),
        "d": ShadowSpec("remote:staging/credit@7", 0.5),
    }


@pytest.mark.parametrize(
    "text", ["a=remote:", "a=remote:staging", "a=remote:staging/credit:x", "=remote:staging/credit", "a=staging/credit"]
)
def test_a_shadow_that_is_neither_is_wrong_usage(text: str) -> None:
    """With both forms as examples."""
    with pytest.raises(UsageError, match=r"such as next=credit@3:0.1, or next=remote:staging/credit:0.1"):
        options.shadows((text,))


def test_an_arm_is_a_version() -> None:
    """What is split by has a version of its own, whatever it stands for."""
    with pytest.raises(UsageError, match="--arm"):
        options.arms(("treatment=remote:staging/credit:10",))


def test_a_posted_shadow_is_one_of_both() -> None:
    """Neither and both are refused by name."""
    found = _shadows({"a": ShadowBody(version="credit@3", sample=0.5), "b": ShadowBody(remote="staging/credit")})
    assert found == {"a": ShadowSpec("credit@3", 0.5), "b": ShadowSpec("remote:staging/credit", 1.0)}
    for body in (ShadowBody(), ShadowBody(version="credit@3", remote="staging/credit")):
        with pytest.raises(Invalid, match=r"^shadows.next: expected a version or a remote, one of them") as caught:
            _shadows({"next": body})
        assert caught.value.field == "shadows.next"


def test_outputs_are_named_by_their_roles() -> None:
    """Each at most once."""
    assert named(("label=a", "probabilities=b=c")) == {"label": "a", "probabilities": "b=c"}


@pytest.mark.parametrize("texts", [("label",), ("label=",), ("=x",), ("class=x",), ("label=a", "label=b")])
def test_a_role_that_is_none_is_refused(texts: tuple[str, ...]) -> None:
    """With the roles that there are."""
    with pytest.raises(Invalid, match="expected each of label=NAME, probabilities=NAME or value=NAME at most once"):
        named(texts)
