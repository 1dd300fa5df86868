"""The story that the demo tells, in the order in which it happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from core.clock import to_rfc3339
from core.errors import Unavailable
from core.settings import Settings
from experiments.table import table as report_table
from server.cli.options import table, who
from server.demo import contestants, readings
from server.demo.client import Client
from server.demo.contestants import MODEL, Trained
from server.demo.readings import CHECK, TRAIN, WORTH, Reading
from server.demo.serving import Served, served
from server.demo.traffic import CONNECTIONS, replay
from server.home import clock, create

ENDPOINT = EXPERIMENT = "shuttle"
METRIC = "value"
WINDOW_SECONDS, LOOK_SECONDS = 2.0, 1.0
RAMP = ((0.2, 0.2), (0.3, 0.5), (0.5, 1.0))
"""(share of the traffic that is replayed, at which enrolment)."""
PATIENCE_SECONDS = 60.0

_SPLIT = f"/v1/endpoints/{ENDPOINT}"
_REPORT = f"/v1/experiments/{EXPERIMENT}/report"


class Cast(NamedTuple):
    """The models as they were registered, and the difference that is worth finding."""

    trained: list[Trained]
    versions: list[str]
    mde: float


def tell(home: Path, units: int, *, stay: bool) -> bool:
    """Play it in `home` with so many units; with `stay` the server is left up until Ctrl-C. Returns whether it came to a promotion."""
    began = time.monotonic()
    everything = readings.load()
    people = _introduce(home, everything)
    live = everything[TRAIN + CHECK :][:units]
    with served(home) as server:
        server.wait_ready()
        with Client(server.address) as client:
            _open(client, server, people)
            _ramp(client, server, live)
            promoted = _conclude(client)
        click.echo(f"That took {time.monotonic() - began:.0f} seconds.")
        if stay:
            _stay(server, live[0])
    return promoted


def _introduce(home: Path, everything: Sequence[Reading]) -> Cast:
    _heading(1, "Two models, and a third that waits")
    anomalies = sum(reading.anomaly for reading in everything) / len(everything)
    _say(
        f"The data: {len(everything):,} sensor readings of the Space Shuttle, in their order, {anomalies:.1%} of them anomalies "
        f"(UCI Statlog; it comes with River). The first {TRAIN:,} train the models, the next {CHECK:,} compare them "
        "before they go live, and the later ones are live traffic that no model has seen."
    )
    _say("A reading that is called an anomaly is stopped. What a decision earns is our assumption:")
    _lines(_worth())
    training, check = everything[:TRAIN], everything[TRAIN : TRAIN + CHECK]
    here, sample = create(Settings(home=str(home))), home / "sample.csv"
    contestants.write_sample(sample, training)
    trained = [contestants.train(each, training, check) for each in contestants.contestants(TRAIN)]
    versions = [str(contestants.enter(here, each, sample, who("by the demo"))) for each in trained]
    rows = [
        {
            "version": version,
            "alias": each.contestant.alias,
            "model": each.contestant.title,
            "trained on": f"{each.contestant.rows:,}",
            "earns": f"{each.earns:+.3f}",
        }
        for each, version in zip(trained, versions, strict=True)
    ]
    _say(f"Trained with scikit-learn and registered; what each earns per reading on the {CHECK:,} readings put by for that:")
    _lines(table(rows, ("version", "alias", "model", "trained on", "earns")))
    return Cast(trained, versions, _worth_finding(trained[1].earns - trained[0].earns))


def _open(client: Client, server: Served, people: Cast) -> None:
    _heading(2, "One endpoint, both models behind it")
    arms = {
        "control": {"version": f"{MODEL}@champion", "weight": 50},
        "treatment": {"version": f"{MODEL}@challenger", "weight": 50},
    }
    shadows = {"next": {"version": people.versions[2]}}
    plan = client.post(
        "/v1/endpoints?wait=10s",
        {"endpoint": ENDPOINT, "arms": arms, "shadows": shadows, "enrolment": RAMP[0][1], "reason": "the demo begins"},
    )
    _check_applied(plan)
    _say(
        f"The server is up on {server.address}. The endpoint `{ENDPOINT}` gives half of its enrolled units to control "
        f"({plan['arms']['control']['version']}) and half to treatment ({plan['arms']['treatment']['version']}); {people.versions[2]} "
        f"sees every request in shadow, and no user sees its answers. To begin with {RAMP[0][1]:.0%} of the units are enrolled; "
        "the others are served by control and not analysed."
    )
    design = {
        "metrics": [{"name": METRIC, "role": "success"}],
        "mde": people.mde,
        "window_seconds": WINDOW_SECONDS,
        "look_every_seconds": LOOK_SECONDS,
    }
    client.post("/v1/experiments", {"experiment": EXPERIMENT, "endpoint": ENDPOINT, "design": design, "reason": "the experiment begins"})
    # What a worker answers before it knows of the experiment is not part of it.
    _until(lambda: client.get(f"{_SPLIT}/status")["applied"], "not all workers know of the experiment")
    _say(
        f"The experiment `{EXPERIMENT}` asks whether treatment increases the mean of `{METRIC}`. A difference of {people.mde:g} matters, "
        "half of what the comparison before promised. A unit's outcomes count for "
        f"{WINDOW_SECONDS:g} seconds after its entry and evidence is taken every {LOOK_SECONDS:g} s: so short because this is a demo, "
        "a day and five minutes are the defaults."
    )


def _ramp(client: Client, server: Served, live: Sequence[Reading]) -> None:
    _heading(3, f"Traffic: {len(live):,} units over {CONNECTIONS} connections")
    _say(
        "Each reading is a unit and asks once; what its decision was worth is posted back. After each step enrolment rises: "
        "more units take part, nobody changes arm, and the evidence of before goes on counting."
    )
    begin, verdict, served = 0, "", RAMP[0][1]
    for number, (share, enrolment) in enumerate(RAMP):
        # About one random deal in a thousand fails a check: then no treatment may get more traffic.
        if number and verdict != "invalid":
            _set_enrolment(client, enrolment)
            served = enrolment
        end = len(live) if number == len(RAMP) - 1 else begin + round(share * len(live))
        verdict = _step(client, server, live[begin:end], served)
        begin = end


def _set_enrolment(client: Client, enrolment: float) -> None:
    weights = {"control": 50, "treatment": 50}
    reason = f"the demo ramps to {enrolment:.0%}"
    _check_applied(client.put(f"{_SPLIT}/traffic?wait=5s", {"weights": weights, "enrolment": enrolment, "reason": reason}))


def _step(client: Client, server: Served, part: Sequence[Reading], enrolment: float) -> str:
    """Replay a part of the traffic; the verdict after it."""
    with click.progressbar(length=len(part), label=f"  enrolment {enrolment:>4.0%}", show_pos=True) as bar:
        seconds = replay(server.address, ENDPOINT, METRIC, part, bar.update)
    found = _settled(client)
    plan = client.get(f"{_SPLIT}/plan")
    units = ", ".join(f"{arm} {counts['matured']:,}" for arm, counts in found["arms"].items())
    _lines(
        f"{len(part):,} units in {seconds:.1f} s ({len(part) / seconds:,.0f} per second); plan {plan['plan']}, phase {plan['phase']}; "
        f"matured so far: {units}",
        f"verdict: {found['verdict']}. {found['reason']}",
    )
    return str(found["verdict"])


def _settled(client: Client) -> Any:
    """The report once all units have matured and a look has been made since."""
    passed = to_rfc3339(clock() + WINDOW_SECONDS + LOOK_SECONDS)

    def settled() -> Any:
        found = client.get(_REPORT)
        return found if found["at"] > passed and not found["excluded"]["immature"] else None

    return _until(settled, "not all units have matured")


def _until(wanted: Callable[[], Any], otherwise: str) -> Any:
    """The first answer of `wanted` that is one; raises Unavailable where patience ends."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not (found := wanted()):
        if time.monotonic() > until:
            raise Unavailable(f"{otherwise} after {PATIENCE_SECONDS:.0f} seconds")
        time.sleep(0.1)
    return found


def _conclude(client: Client) -> bool:
    _heading(4, "What each arm earned")
    found = client.get(_REPORT)
    _lines(report_table(found))
    _heading(5, "What the shadow would have said")
    _lines(_shadow(client))
    _heading(6, "The decision")
    if found["verdict"] != "promote":
        _say(f"The verdict is {found['verdict']}, not promote, so nothing is promoted: {found['reason']}")
        return False
    plan = client.post(f"{_SPLIT}/promote?wait=5s", {"arm": "treatment", "reason": f"verdict promote of experiment {EXPERIMENT}"})
    _check_applied(plan)
    _say(
        f"The verdict is promote, so it is done: plan {plan['plan']} gives control, and with it all traffic, to "
        f"{plan['arms']['control']['version']}; the experiment has ended, and all workers serve the new plan:"
    )
    status = client.get(f"{_SPLIT}/status")
    _lines(table(status["workers"], ("id", "plan", "seen")))
    _say("How it came about, the newest first:")
    _lines(_history(client.get(f"{_SPLIT}/history")["plans"]))
    return True


def _shadow(client: Client) -> str:
    """Its figures, once it has answered all that was mirrored to it."""

    def caught_up() -> Any:
        found = client.get(f"{_SPLIT}/status")["shadows"]["next"]
        return None if found["waiting"] else found

    found = _until(caught_up, "the shadow has not caught up")
    own, users = found["latency_seconds"]["mean"], found["primary_latency_seconds"]["mean"]
    return (
        f"{found['version']} answered {found['done']:,} of {found['mirrored']:,} mirrored requests, {found['errors']} with an error, "
        f"{found['dropped']} dropped.\nIt said the same as users saw in {found['agreement']:.2%} of them; "
        f"a request took it {own * 1e6:.0f} µs on average\n"
        f"(in micro-batches), the models that users saw {users * 1e6:.0f} µs (one by one)."
    )


def _stay(server: Served, reading: Reading) -> None:
    body = msgspec.json.encode({"unit": "you", "features": reading.features}).decode()
    click.echo(f"\nThe server stays up until Ctrl-C. Try\n\n  {server.address}{_REPORT}\n  {server.address}{_SPLIT}/status")
    click.echo(f"  {server.address}/metrics\n  curl {server.address}{_SPLIT}/predict -H 'Content-Type: application/json' -d '{body}'\n")
    try:
        server.wait_end()
    except KeyboardInterrupt:
        click.echo("\nStopped.")
    else:
        raise Unavailable("the server has ended by itself")


def _check_applied(plan: Any) -> None:
    if not plan["applied"]:
        raise Unavailable(f"not all workers serve plan {plan['plan']} of {plan['endpoint']}")


def _worth_finding(promised: float) -> float:
    """Half of what was promised, to one digit: a smaller gain would not repay the change."""
    return float(f"{promised / 2:.1g}")


def _worth() -> str:
    words = {(1, 1): "anomaly, stopped", (1, 0): "anomaly, missed", (0, 1): "fine, stopped needlessly", (0, 0): "fine, passed"}
    return table([{"decision": words[key], "earns": f"{value:+g}"} for key, value in WORTH.items()], ("decision", "earns"))


def _history(plans: Sequence[Any]) -> str:
    rows = [
        {
            **plan,
            "enrolment": f"{plan['enrolment']:.0%}",
            "arms": {name: f"{arm['version']}:{arm['weight']:g}" for name, arm in plan["arms"].items()},
        }
        for plan in plans
    ]
    return table(rows, ("plan", "phase", "enrolment", "arms", "experiment", "reason"))


def _heading(number: int, text: str) -> None:
    click.echo(click.style(f"{number}. {text}", bold=True) + "\n")


def _say(text: str) -> None:
    click.echo(click.wrap_text(text, width=100) + "\n")


def _lines(*texts: str) -> None:
    for text in texts:
        click.echo("\n".join(f"  {line}".rstrip() for line in text.rstrip("\n").split("\n")))
    click.echo()
