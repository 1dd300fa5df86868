"""Settings as data: each has a name, a default and a help text; `TILTYARD_<NAME>` in the environment sets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta

from core.errors import Invalid

PREFIX = "TILTYARD_"

_DAY = 86400.0


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator can tune. Sizes in bytes, times in seconds."""

    home: Annotated[str, Meta(description="Directory that holds the journal, the store and the models.")] = "./tiltyard-data"
    database_url: Annotated[str, Meta(description="SQLAlchemy URL of the store; empty: SQLite inside the home.")] = ""
    require_token: Annotated[bool, Meta(description="Demand a token for predictions and outcomes on loopback too.")] = False
    admin_token_file: Annotated[str, Meta(description="File with an admin token that is accepted from the first start on.")] = ""
    trusted_hosts: Annotated[str, Meta(description="Further Host names, comma-separated, that control routes accept.")] = ""
    max_body_bytes: Annotated[int, Meta(description="Largest request body, chunked or not.", ge=1)] = 4 * 2**20
    max_rows: Annotated[int, Meta(description="Most rows in one prediction, most outcomes in one post.", ge=1)] = 1000
    body_timeout: Annotated[float, Meta(description="Seconds a client may take to send its body.", gt=0, le=_DAY)] = 20.0
    segment_bytes: Annotated[int, Meta(description="Size at which a journal segment is closed.", ge=4096)] = 256 * 2**20
    retention_seconds: Annotated[float, Meta(description="How long journal segments are kept after all readers passed them.", ge=0)] = (
        30 * 86400.0
    )
    journal_cap_bytes: Annotated[int, Meta(description="Journal size above which shadows may be overtaken.", ge=4096)] = 20 * 2**30
    fsync_interval: Annotated[float, Meta(description="Seconds between background fsyncs of the journal.", gt=0, le=_DAY)] = 0.1
    plan_poll: Annotated[float, Meta(description="Seconds between a worker's looks for a new plan.", gt=0, le=_DAY)] = 0.1
    quarantine_seconds: Annotated[float, Meta(description="How long an outcome waits for its unit before it is quarantined.", ge=0)] = 60.0
    shadow_memory_bytes: Annotated[int, Meta(description="Memory limit of one shadow process.", ge=2**28)] = 2 * 2**30
    learner_memory_bytes: Annotated[int, Meta(description="Memory limit of one learner's process.", ge=2**28)] = 4 * 2**30
    remotes: Annotated[str, Meta(description="Servers of remote models: NAME=URL, comma-separated.")] = ""
    remote_token_files: Annotated[str, Meta(description="Files with the bearer tokens of remotes: NAME=FILE, comma-separated.")] = ""
    predict_timeout_seconds: Annotated[
        float, Meta(description="Seconds that a model may take for a request, beyond what its rows took when it was loaded.", gt=0, le=_DAY)
    ] = 2.0
    load_timeout_seconds: Annotated[float, Meta(description="Seconds that a worker may take to load a version.", gt=0, le=_DAY)] = 120.0
    breaker_calls: Annotated[int, Meta(description="How many of an arm's last calls its breaker looks at.", ge=2, le=1000)] = 20
    breaker_share: Annotated[float, Meta(description="Share of them that opens it where they failed or were slow.", gt=0, le=1)] = 0.5
    breaker_slow_seconds: Annotated[
        float, Meta(description="A call is slow that takes so much longer than its rows took when the model was loaded.", gt=0, le=_DAY)
    ] = 1.0
    breaker_open_seconds: Annotated[float, Meta(description="How long a breaker stays open at first.", gt=0, le=_DAY)] = 5.0
    watch_window_rows: Annotated[int, Meta(description="Rows of a window in which drift is looked for.", ge=200, le=100_000)] = 1000
    watch_window_seconds: Annotated[float, Meta(description="Age at which a window of at least 200 rows is judged.", gt=0)] = _DAY
    watch_false_alarm_rate: Annotated[float, Meta(description="Probability of a false alarm in a window of a version.", gt=0, lt=1)] = 0.001
    watch_least_psi: Annotated[float, Meta(description="Smallest PSI that raises an alarm, however sure it is.", ge=0)] = 0.1
    shadow_batch: Annotated[int, Meta(description="Most requests in a shadow's micro-batch.", ge=1)] = 64


def from_environment(environ: Mapping[str, str], **overrides: Any) -> Settings:
    """The settings of this process: defaults, then `TILTYARD_…`, then `overrides` that are not None.

    Raises Invalid naming the variable that cannot be read.
    """
    given: dict[str, Any] = {}
    hints = get_type_hints(Settings, include_extras=True)
    for name, kind in hints.items():
        text = environ.get(PREFIX + name.upper())
        if text is None:
            continue
        try:
            given[name] = msgspec.convert(text, kind, strict=False)
        except msgspec.ValidationError as error:
            raise Invalid(f"{PREFIX}{name.upper()}: {error}", field=name) from None
    given.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return msgspec.convert(given, Settings)
    except msgspec.ValidationError as error:
        raise Invalid(f"settings: {error}", field="settings") from None
