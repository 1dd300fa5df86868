"""Loading tables and writing training sets on the command line: what is told, and what is refused in one clear line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from pyarrow import parquet

from core import events
from core.clock import to_rfc3339
from core.events import Predicted
from core.values import Output, Position
from journal import rotation, segments
from journal.writer import Writer
from server.cli import main
from tests.flows.flow_world import World
from tests.server.commands_world import Ended


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the endpoint `credit`, and a table in it."""
    World(tmp_path).endpoint(at=time.time())
    monkeypatch.setenv("TILTYARD_HOME", str(tmp_path))
    (tmp_path / "t.csv").write_text("user_id,age\n1,30\n2,\n")
    return tmp_path


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run a command in that home."""

    def ended(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["tiltyard", "feature", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        return Ended(cast(int, caught.value.code), *capsys.readouterr())

    return ended


def test_a_load_says_what_is_served_where(run: Callable[..., Ended], folder: Path) -> None:
    """To people in a line, to machines as the API shows a view."""
    load = ("load", "users", folder / "t.csv", "--key", "user_id")
    assert run(*load).out == "view users: generation 1, 2 entities, served at no endpoint yet: name one with --endpoint\n"
    options = ("--endpoint", "credit", "--max-age", "1d", "--on-stale", "error", "--default", "age=40", "--as-of", "2020-01-01T00:00:00Z")
    found = json.loads(run(*load, *options, "--json").out)
    assert (found["generation"], found["endpoints"], found["max_age_seconds"], found["on_stale"]) == (2, ["credit"], 86400.0, "error")
    assert (found["defaults"], found["as_of"], found["stale"]) == ({"age": 40}, "2020-01-01T00:00:00.000Z", True)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--default", "age"), 2, "--default age: expected NAME=VALUE"),
        (("--default", "age=1", "--default", "age=2"), 2, "each name once"),
        (("--max-age", "soon"), 2, "expected a time such as 90, 15m, 12h or 7d"),
        (("--as-of", "yesterday"), 2, "--as-of: expected an RFC 3339 time"),
        (("--on-stale", "ignore"), 2, "'ignore' is not one of"),
        (("--endpoint", "nobody"), 1, "no endpoint 'nobody'"),
        (("--default", "height=1"), 1, "defaults.height"),
    ],
)
def test_options_that_cannot_be_are_refused(
    run: Callable[..., Ended], folder: Path, options: tuple[str, ...], code: int, said: str
) -> None:
    """Wrong usage with 2, what the state or the file does not allow with 1; nothing is loaded."""
    ended = run("load", "users", folder / "t.csv", "--key", "user_id", *options)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err.strip().splitlines()[-1]
    assert not (folder / "views").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("credit", "-o", "set.csv"), 2, "expected a name that ends in .parquet"),
        (("credit",), 2, "Missing option '-o'"),
        (("credit", "-o", "set.parquet", "--from", "monday"), 2, "--from: expected an RFC 3339 time"),
        (("nobody", "-o", "set.parquet"), 1, "no endpoint 'nobody'"),
        (
            ("credit", "-o", "set.parquet", "--from", "2026-05-03T12:00:00Z", "--to", "2026-05-03T12:00:00Z"),
            2,
            "--to 2026-05-03T12:00:00Z: expected a time after --from 2026-05-03T12:00:00Z",
        ),
    ],
)
def test_a_training_set_that_cannot_be_is_refused(run: Callable[..., Ended], words: tuple[str, ...], code: int, said: str) -> None:
    """In one line at the end."""
    ended = run("training-set", *words)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err.strip().splitlines()[-1]


def test_a_generation_that_cannot_be_written_is_one_line(run: Callable[..., Ended], folder: Path) -> None:
    """As where something else stands in the views' place."""
    (folder / "views").write_text("no directory")
    ended = run("load", "users", folder / "t.csv", "--key", "user_id")
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert ended.err.startswith("tiltyard: view: ")


def test_a_training_set_of_an_expired_journal_warns(run: Callable[..., Ended], folder: Path) -> None:
    """Unless it asks for nothing older than what is there."""
    writer = Writer(folder / "journal")
    for at in (100.0, 200.0):
        event = Predicted(at, "credit", 1, "u", "control", 0.5, "m@1", 0, [[at]], [Output(value=1.0)], 0.0)
        writer.append(events.encode(event))
        if at == 100.0:
            rotation.rotate(folder / "journal", 1)
    writer.close()
    target = folder / "set.parquet"
    assert run("training-set", "credit", "-o", target) == (0, f"{target}: 2 rows, 0 with a label\n", "")
    segments.expire(folder / "journal", Position(2, 0), float("inf"))
    warning = f"warning: the journal reaches back to {to_rfc3339(200.0)}: what was predicted before has expired"
    assert run("training-set", "credit", "-o", target).out.splitlines() == [f"{target}: 1 rows, 0 with a label", warning]
    assert parquet.read_table(target).column("x").to_pylist() == [200.0]
    asked = json.loads(run("training-set", "credit", "-o", target, "--from", to_rfc3339(200.0), "--json").out)
    assert (asked["rows"], "warnings" in asked) == (1, False)
