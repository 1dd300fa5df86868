"""`tiltyard replay`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from core.ids import check_name
from server.cli.options import home, json_option, show, table, who
from server.cli.usage import options_as_given, time_range
from server.processes import LEARNING


@click.command("replay")
@click.argument("model")
@click.option("--from", "start", metavar="TIME", help="Begin here, with the model as it was registered; RFC 3339.")
@click.option("--to", "stop", metavar="TIME", help="End here.  [default: where the newest snapshot stands]")
@click.option("--with", "other", metavar="MODEL@VERSION", help="Let this River version learn from the same rows instead.")
@click.option("--into", metavar="NAME", help="Register the result as the next version of NAME.")
@json_option
def command(model: str, start: str | None, stop: str | None, other: str | None, into: str | None, as_json: bool) -> None:
    """Rebuild what the learner of MODEL (such as churn@1) knows from the journal, and say whether the live one is equal bit for bit."""
    _start_as_learners_do()
    from flows.learning.replay import Question, Source, replay
    from models.learner.snapshot import read_key

    with options_as_given():
        question = Question(model, *time_range(start, stop), other, None if into is None else check_name(into, "--into"))
    here = home()
    with _ended_by_interrupt():
        found = replay(Source(here.store, here.blobs, here.journal, read_key(here.snapshot_key)), question, who())
    show(found, "\n".join(_told(found)), as_json=as_json)


def _start_as_learners_do() -> None:
    """In the same environment; Python and numeric libraries read it when they start, so this process starts anew where it has another."""
    if not LEARNING.items() <= os.environ.items():
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **LEARNING})  # noqa: S606 - this very command


@contextmanager
def _ended_by_interrupt() -> Iterator[None]:
    """Ctrl-C ends the process at once: raised inside a model, it would be taken for a failure of the model, and the replay would go on.

    Nothing is lost: what a replay stores, it stores in one transaction at its end.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _told(found: dict[str, Any]) -> list[str]:
    live = found["live"]
    who_learnt = found["with"] or found["version"]
    verdict = {
        True: "equal to the live learner, bit for bit",
        False: "NOT equal to the live learner",
        None: f"not compared: {found['reason']}",
    }
    rows = [{"metric": name, "replayed": value, "live": live["scores"].get(name)} for name, value in found["scores"].items()]
    return [
        f"{who_learnt}: {found['labels']} labels learnt in {found['seconds']:.1f} s, {found['quarantined']} quarantined",
        f"  {verdict[found['equal']]}",
        f"  fingerprint {found['fingerprint']}",
        *([f"  registered as {found['into']}"] if found["into"] else []),
        "",
        table(rows, ("metric", "replayed", "live")),
    ]
