"""`tiltyard outcome import`: whole files, checked before anything is stored, with messages that name the line."""

from __future__ import annotations

import pytest

from tests.e2e.real_server import Server, Worlds

HEAD = "endpoint,unit,metric,value,id\n"


@pytest.fixture(scope="module")
def home(worlds: Worlds) -> Server:
    """A home with the endpoint `credit`; no server runs on it."""
    server = worlds.server()
    server.cli("endpoint", "create", "credit", "--arm", "control=dia@1:1")
    return server


def test_repeated_ids_count_once_however_far_apart(home: Server) -> None:
    """Over the whole file."""
    rows = "".join(f"credit,u{number},revenue,1.5,id{number % 2500}\n" for number in range(2600))
    path = home.home.parent / "outcomes.csv"
    path.write_text(HEAD + rows)
    assert home.cli("outcome", "import", str(path)) == {"accepted": 2500, "duplicates": 100}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "credit,u,revenue,1,\nnope,u,revenue,1,\n", "line 3: endpoint: no endpoint 'nope'"),
        (HEAD + "credit,u,revenue,1,,7\n", "line 2: more cells than the header has columns"),
        (HEAD + "credit,u,revenue,x,\n", "line 2: value: expected a number, got 'x'"),
        ("endpoint,unit,metric,value,note\n", "no column is called 'note'"),
        ("endpoint,unit,metrc,value\n", "no column is called 'metrc': expected some of metric, value"),
        ("endpoint,unit,metric\n", "the column value is missing"),
        (
            "metric,value,timestamp,prediction_id\nrevenue,1,yesterday,p1-60-8c53f9b568e761dc\n",
            "line 2: timestamp: expected an RFC 3339 time",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(home: Server, text: str, said: str) -> None:
    """One line on standard error, exit 1, and nothing is stored."""
    path = home.home.parent / "wrong.csv"
    path.write_text(text)
    error = home.cli("outcome", "import", str(path), code=1)
    assert said in error
    assert len(error.splitlines()) == 1


def test_a_missing_file_is_said_to_be_missing(home: Server) -> None:
    """Without the system's own words for it."""
    assert home.cli("outcome", "import", "nowhere.csv", code=1) == "tiltyard: nowhere.csv: no such file\n"
