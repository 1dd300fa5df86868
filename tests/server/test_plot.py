"""`tiltyard experiment plot` and `power` on a home without a server: files, exit codes, one clear line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from core import events
from core.events import Event, Tick
from core.ids import format_prediction_id
from flows.serving import Routes
from journal.writer import Writer
from server.app import create_app
from server.auth import Guard
from server.cli.plot import command as plot
from server.cli.power import command as power
from server.home import from_env, open_existing
from tests.flows.flow_world import World

pytestmark = pytest.mark.leaves_open("matplotlib keeps the fonts open that it has used")


class Home(World):
    """A world that is the home of the command line: its events stand in a real journal too."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.writer = Writer(home / "journal")

    def log(self, event: Event) -> str:
        """Append an event to both; its id in the journal."""
        super().log(event)
        return format_prediction_id(self.writer.append(events.encode(event)))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """An experiment `e1` on `credit`, in the home that TILTYARD_HOME names."""
    monkeypatch.setenv("TILTYARD_HOME", str(tmp_path))
    monkeypatch.setattr("server.cli.power.clock", lambda: 400.0)
    made = Home(tmp_path)
    made.endpoint()
    made.begin()
    yield made
    made.writer.close()


def traffic(home: Home) -> None:
    """Two arms with some spread, and looks."""
    for k in range(60):
        home.predict(5.0 * k, f"u{k}", "treatment" if k % 2 else "control")
        home.observe(5.0 * k + 1.0, f"u{k}", float(k % 7))
    home.log(Tick(330.0))
    home.fold()


def run(command: Any, *arguments: object) -> tuple[int, str, str]:
    """The command's exit code, and what it wrote; its own errors are raised, which `main` turns into one line and 1."""
    found = CliRunner().invoke(command, [str(argument) for argument in arguments], standalone_mode=True)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, found.stdout, found.stderr


@pytest.mark.parametrize(("name", "head"), [("a.svg", b"<?xml"), ("b.PNG", b"\x89PNG")])
def test_a_plot_is_written(home: Home, tmp_path: Path, name: str, head: bytes) -> None:
    """In the form that the file's name says, and the name is told."""
    traffic(home)
    path = tmp_path / name
    assert run(plot, "e1", "-o", path) == (0, f"{path}\n", "")
    assert path.read_bytes().startswith(head)


def test_the_same_facts_draw_the_same_file(home: Home, tmp_path: Path) -> None:
    """Byte for byte, with a chosen metric too."""
    traffic(home)
    for name in ("a.svg", "b.svg"):
        assert run(plot, "e1", "-o", tmp_path / name, "--metric", "revenue")[0] == 0
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize("name", ["plot.pdf", "plot", ".svg"])
def test_other_forms_are_wrong_usage(home: Home, name: str) -> None:
    """2, one line, and no file."""
    assert run(plot, "e1", "-o", name) == (2, "", f"tiltyard: -o {name}: expected a name that ends in .svg or .png\n")
    assert not Path(name).exists()


def test_an_unknown_metric_is_wrong_usage(home: Home, tmp_path: Path) -> None:
    """The known ones are named."""
    traffic(home)
    said = "tiltyard: metric: expected one of revenue, got 'clicks'\n"
    assert run(plot, "e1", "-o", tmp_path / "a.svg", "--metric", "clicks") == (2, "", said)


@pytest.mark.parametrize(("place", "said"), [("nowhere/a.svg", "no such directory"), ("held.svg", "cannot be written: Is a directory")])
def test_a_place_that_cannot_be_written_is_a_failure(home: Home, tmp_path: Path, place: str, said: str) -> None:
    """With the path and the reason."""
    traffic(home)
    (tmp_path / "held.svg").mkdir()
    with pytest.raises(Exception, match=said) as caught:
        run(plot, "e1", "-o", tmp_path / place)
    assert str(caught.value).startswith(str(tmp_path / place))


def test_an_experiment_without_looks_says_so(home: Home, tmp_path: Path) -> None:
    """And leaves no file."""
    with pytest.raises(Exception, match="experiment 'e1' has nothing to draw: no look has been made yet"):
        run(plot, "e1", "-o", tmp_path / "a.svg")
    assert not (tmp_path / "a.svg").exists()


def test_power_says_what_it_is_based_on(home: Home) -> None:
    """As text for people, as JSON for machines."""
    traffic(home)
    asked = ("--endpoint", "credit", "--metric", "revenue", "--window", "10", "--test", "fixed-horizon")
    code, text, _ = run(power, *asked)
    assert code == 0
    assert "revenue on credit: fixed-horizon, power 0.8 at alpha 0.05, one-sided, control:treatment 50:50" in text
    assert "0.0 days of journal: 60 units" in text
    assert "note: Less than a week was seen, and days of the week differ." in text
    found = json.loads(run(power, *asked, "--mde", "0.5", "--json")[1])
    assert found["based_on"]["units"] == 60
    assert found["sizes"][0]["n_control"] > 0


def test_power_by_hand_needs_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.8 times the fixed sample for an always-valid test, as is the default."""
    monkeypatch.setenv("TILTYARD_HOME", os.fspath(tmp_path / "none"))
    code, text, _ = run(power, "--baseline", "0.1", "--mde", "0.02", "--daily-units", "1000")
    assert code == 0
    assert "by hand: mean 0.1, new units a day 1000" in text
    assert text.splitlines()[-1].split() == ["0.02", "0.2", "5,442", "5,442", "14"]
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--baseline", "0.1", "--split", "half"), "split: expected CONTROL:TREATMENT such as 50:50, got 'half'"),
        (("--baseline", "0.1", "--alpha", "2"), "alpha: expected a number above 0 and below 0.5, got 2"),
        (("--endpoint", "credit"), "metric: this field is required with an endpoint"),
        ((), "endpoint: expected an endpoint and a metric, or a baseline or sd by hand"),
    ],
)
def test_power_asked_wrongly_ends_with_2(home: Home, arguments: tuple[str, ...], said: str) -> None:
    """One line that names what is wrong."""
    assert run(power, *arguments) == (2, "", f"tiltyard: {said}\n")


@pytest.fixture
def client(home: Home) -> FlaskClient:
    """Asks the control routes over loopback."""
    traffic(home)
    opened = open_existing(from_env())
    guard = Guard(opened.store, opened.settings, "127.0.0.1")
    guard.refresh()
    return create_app(opened, Routes(), guard).test_client()


def test_the_route_gives_what_the_picture_is_drawn_from(client: FlaskClient) -> None:
    """Every look's estimate and bounds, oldest first; an unknown experiment is told as ever."""
    looks = client.get("/v1/experiments/e1/looks").json["looks"]
    assert [look["look"] for look in looks] == sorted(look["look"] for look in looks)
    assert {(look["treatment"], look["metric"]) for look in looks} == {("treatment", "revenue")}
    assert all(look["lower"] is None or look["lower"] < look["estimate"] < look["upper"] for look in looks)
    assert client.get("/v1/experiments/nope/looks").status_code == 404
