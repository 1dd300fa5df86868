"""Settings from the environment, with errors that name the variable."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from core.errors import Invalid
from core.settings import PREFIX, Settings, from_environment


def test_defaults() -> None:
    """An empty environment gives the defaults."""
    assert from_environment({}) == Settings()


def test_the_environment_sets_each_kind() -> None:
    """Texts, integers, numbers and booleans are read from `TILTYARD_…`; other variables do not matter."""
    found = from_environment(
        {
            "TILTYARD_HOME": "/srv/t",
            "TILTYARD_MAX_ROWS": "7",
            "TILTYARD_PLAN_POLL": "0.25",
            "TILTYARD_REQUIRE_TOKEN": "true",
            "MAX_ROWS": "9",
        }
    )
    assert (found.home, found.max_rows, found.plan_poll, found.require_token) == ("/srv/t", 7, 0.25, True)


def test_a_home_that_looks_like_a_number_stays_a_text() -> None:
    """What a setting is depends on the setting alone."""
    assert from_environment({"TILTYARD_HOME": "17"}).home == "17"


def test_what_is_given_wins() -> None:
    """An option of the command line overrides the environment; one that was not given (None) does not."""
    assert from_environment({"TILTYARD_HOME": "/a"}, home="/b").home == "/b"
    assert from_environment({"TILTYARD_HOME": "/a"}, home=None).home == "/a"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MAX_ROWS", "many"),
        ("MAX_ROWS", "0"),
        ("MAX_ROWS", "1.5"),
        ("MAX_ROWS", ""),
        ("PLAN_POLL", "0"),
        ("PLAN_POLL", "-1"),
        ("REQUIRE_TOKEN", "maybe"),
        ("SEGMENT_BYTES", "10"),
        ("RETENTION_SECONDS", "-1"),
        ("SHADOW_MEMORY_BYTES", "1"),
    ],
)
def test_a_wrong_value_names_its_variable(name: str, text: str) -> None:
    """Who mistypes a setting reads which one it was."""
    with pytest.raises(Invalid, match=f"^{PREFIX}{name}: ") as caught:
        from_environment({PREFIX + name: text})
    assert caught.value.field == name.lower()


@pytest.mark.parametrize("text", ["nan", "inf", "1e400"])
def test_a_time_is_finite(text: str) -> None:
    """A setting that is no number of seconds is refused: a loop could not wait for it."""
    with pytest.raises(Invalid, match=r"^TILTYARD_PLAN_POLL: "):
        from_environment({"TILTYARD_PLAN_POLL": text})


def test_a_wrong_override_is_refused() -> None:
    """Options are checked as the environment is."""
    with pytest.raises(Invalid, match=r"^settings: .*max_rows"):
        from_environment({}, max_rows=0)


def test_each_setting_says_what_it_is() -> None:
    """Every setting has a help text."""
    for name, hint in get_type_hints(Settings, include_extras=True).items():
        assert hint.__metadata__[0].description.endswith("."), name
