"""A home with two real models behind one endpoint, and the servers that are measured: this one, and a bare Flask hello-world."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, cycle
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import skops.io
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import load
from benchmarks.load import Connection, post
from core.settings import Settings
from experiments.design import Design
from experiments.metric import Metric
from flows import deploy, experiment, status
from flows.deploy import ArmSpec, Order, ShadowSpec
from flows.register import register
from routing.changes import Who
from server import web
from server.home import Home, clock, create
from server.processes import SUPERVISOR

ENDPOINT, EXPERIMENT = "diabetes", "revenue-test"
WORKERS = 2
ROOT = Path(__file__).parent.parent
UNITS = 2000
PATIENCE = 60.0
MOST_TRIES = 1000


class Site(NamedTuple):
    """A server that runs: its home, its port, its process."""

    home: Home
    port: int
    process: subprocess.Popen[str]


def build(path: Path, *, shadow: bool = False) -> Home:
    """A home with two logistic pipelines of ten features as the arms of an endpoint, at 50:50, and an experiment that runs on it."""
    home = create(Settings(home=str(path)))
    order = Order(Who("benchmark", clock(), "benchmark"))
    train = load_diabetes(as_frame=True)
    target = (train.target > train.target.median()).astype(int)
    sample, model = path / "sample.csv", path / "model.skops"
    train.data.assign(high=target).to_csv(sample, index=False)
    for strength in (0.01, 1.0):
        skops.io.dump(make_pipeline(StandardScaler(), LogisticRegression(C=strength)).fit(train.data, target), model)
        register(home.store, home.blobs, ENDPOINT, model, order.who, sample=sample, target="high")
    arms = {"control": ArmSpec(f"{ENDPOINT}@1", 50), "treatment": ArmSpec(f"{ENDPOINT}@2", 50)}
    shadows = {"next": ShadowSpec(f"{ENDPOINT}@1")} if shadow else {}
    deploy.create(home.place, ENDPOINT, arms, shadows, 1.0, "salt", order)
    design = Design(metrics=[Metric(name="revenue")], mde=0.05, window_seconds=60.0, look_every_seconds=60.0)
    experiment.create(home.place, EXPERIMENT, ENDPOINT, design, order)
    return home


def bodies() -> list[bytes]:
    """One prediction of one row for each of the units."""
    rows = load_diabetes(as_frame=True).data.to_dict("records")
    return [msgspec.json.encode({"unit": f"user-{number}", "features": rows[number % len(rows)]}) for number in range(UNITS)]


def predictions() -> list[bytes]:
    """The requests of these."""
    return [post(f"/v1/endpoints/{ENDPOINT}/predict", body) for body in bodies()]


def outcomes(batch: int) -> list[bytes]:
    """Posts of `batch` outcomes each, one of each unit."""
    values = [{"metric": "revenue", "value": 1.5, "endpoint": ENDPOINT, "unit": f"user-{number}"} for number in range(UNITS)]
    return [post("/v1/outcomes", msgspec.json.encode(values[at : at + batch])) for at in range(0, UNITS, batch)]


@contextmanager
def serving(home: Home) -> Iterator[Site]:
    """`tiltyard serve` on `home`, once all workers serve its endpoint. Its log goes to `serve.log` in the home."""
    environ = {**os.environ, "TILTYARD_HOME": str(home.path)}
    tiltyard = [str(Path(sys.executable).with_name("tiltyard")), "serve", "--port", "0", "--workers", str(WORKERS)]
    with (
        (home.path / "serve.log").open("w") as log,
        subprocess.Popen(tiltyard, env=environ, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            port = int(_first_line(process, home).split("http://127.0.0.1:")[1].split()[0])
            _wait(lambda: len(_state(home)["workers"]) == WORKERS and _state(home)["applied"], "all workers serve the plan")
            yield Site(home, port, process)
        finally:
            process.terminate()


@contextmanager
def hello() -> Iterator[int]:
    """A bare Flask hello-world on the gunicorn settings of this server; its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        descriptor = listener.fileno()
        environ = {
            **os.environ,
            web.SOCKET: str(descriptor),
            web.WORKERS: str(WORKERS),
            web.HOST: "127.0.0.1",
            SUPERVISOR: str(os.getpid()),
        }
        with subprocess.Popen([sys.executable, "-m", "benchmarks.hello"], env=environ, pass_fds=[descriptor], cwd=ROOT) as process:
            try:
                yield listener.getsockname()[1]
            finally:
                process.terminate()


def settle(site: Site) -> None:
    """Wait until the readers have followed: what they still do is not to be measured on somebody else."""

    def idle() -> bool:
        state = _state(site.home)
        return all(one["state"] == "idle" for one in state["readers"].values())

    _wait(idle, "the readers have followed")


def reader(site: Site, name: str) -> int:
    """The process of the reader `name`."""
    return next(child for child in _children(site.process.pid) if name in Path(f"/proc/{child}/cmdline").read_text().split("\0"))


@contextmanager
def spread(site: Site) -> Iterator[deque[Connection]]:
    """Connections of which each worker has as many: else one of them may be busy all the time while another has nothing to do."""
    each = load.CONNECTIONS // WORKERS
    found: dict[int, list[Connection]] = {worker: [] for worker in _web_workers(site)}
    with ExitStack() as stack:
        for _ in range(MOST_TRIES):
            connection = stack.enter_context(Connection(site.port))
            load.drive(deque([connection]), cycle([load.get("/healthz")]), 0.02, None)
            found[_worker_of(connection, found, site.port)].append(connection)
            if min(map(len, found.values())) >= each:
                yield deque(chain.from_iterable(zip(*(some[:each] for some in found.values()), strict=True)))
                return
    raise TimeoutError(f"of {MOST_TRIES} connections the workers have accepted {[*map(len, found.values())]}")


def seconds_busy() -> float:
    """For how long the machine's processors have worked so far, all together."""
    user, nice, system, _, _, interrupts, soft, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")


def seconds_of(process: int) -> float:
    """For how long the process's threads have worked so far."""
    return sum(int(one.read_text().split()[0]) for one in Path(f"/proc/{process}/task").glob("*/schedstat")) / 1e9


def _worker_of(connection: Connection, workers: Iterable[int], port: int) -> int:
    """Which of the processes holds the other end of the connection."""
    ends = f"{port:04X}", f"{connection.socket.getsockname()[1]:04X}"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().split("\n")[1:-1])
    held = next(f"socket:[{row[9]}]" for row in rows if (row[1][-4:], row[2][-4:]) == ends)
    return next(worker for worker in workers if held in map(_link, Path(f"/proc/{worker}/fd").iterdir()))


def _link(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""


def _web_workers(site: Site) -> list[int]:
    """The processes that answer: children of the one child of the supervisor that has some."""
    return [grandchild for child in _children(site.process.pid) for grandchild in _children(child)]


def _children(process: int) -> list[int]:
    return [*map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())]


def _state(home: Home) -> dict[str, Any]:
    return status.status(home.store, home.journal, ENDPOINT, clock)


def _first_line(process: subprocess.Popen[str], home: Home) -> str:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise RuntimeError(f"the server did not start: see {home.path / 'serve.log'}")
    return line


def _wait(reached: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not reached():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {PATIENCE:.0f} seconds: {what}")
        time.sleep(0.05)
