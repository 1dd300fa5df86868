"""Batch answers are the online answers, row by row and to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pandas as pd
import pytest

from core.errors import TiltyardError
from core.ids import Address
from core.values import Output, Row
from flows.predict import Ask, Means, Missed, predict
from flows.scoring.rows import Given
from flows.scoring.subject import Subject
from flows.serving import Route, make_route
from models.package import Loaded, load
from models.sklearn_runtime import SklearnRuntime
from routing import changes
from routing.changes import Who
from routing.plan import Arm
from tests.flows.scoring.scoring_world import Scoring, floats, linear, zoo
from tests.models.model_zoo import CASES, data

ZOO = ("logistic", "logistic-classes", "ridge", "sgd", "histogram-missing", "mlp", "columns", "forest", "svc", "voting", "texts", "svr")
ROWS = 60
MEANS = Means(lambda payload: Address(1, 0, 7), lambda: 0.0, lambda _version, work, _seconds: work(), Missed())


def frame(case: str) -> pd.DataFrame:
    """Rows of the case's data, shuffled."""
    return data(CASES[case].data).features.sample(ROWS, random_state=3, replace=True).reset_index(drop=True)


def route(case: str) -> Route:
    """An endpoint that serves the case alone."""
    package = zoo(case)
    loaded = load(package.card, {package.card.blobs[role]: content for role, content in package.blobs.items()}.__getitem__)
    plan = changes.create("e", {"control": Arm(f"{case}@1", 1)}, {}, 1.0, "s", Who("me", 0.0, ""))
    return make_route(plan, lambda _: loaded, lambda _: package.card.signature)


def online(served: Route, row: dict[str, Any]) -> dict[str, Any]:
    """What a client gets for one row, after it went through JSON: in the columns of the output."""
    asked = msgspec.json.decode(msgspec.json.encode(row))
    try:
        answer = predict(served, Ask(None, asked, None), MEANS)
    except TiltyardError as error:
        return {"error": f"{error.code}: {error.message}"}
    found = msgspec.json.decode(msgspec.json.encode(answer.predictions[0]))
    shares = {f"probability_{name}": share for name, share in found.pop("probabilities", {}).items()}
    return {**found, **shares}


def sent(given: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as a client would send them: what is missing is null."""
    plain = given.astype(object).where(given.notna(), None)
    return [dict(zip(plain, (getattr(value, "item", lambda v=value: v)() for value in row), strict=True)) for row in plain.to_numpy()]


@pytest.mark.parametrize("ending", ["parquet", "csv"])
@pytest.mark.parametrize("case", ZOO)
def test_each_row_is_answered_as_online(scoring: Scoring, case: str, ending: str) -> None:
    """Label, value and probabilities are equal, not nearly equal; a missing value where the sample had none is refused in both."""
    scoring.add(case, zoo(case))
    given = frame(case)
    if not pd.api.types.is_string_dtype(given.iloc[:, 0]):
        given.iloc[7, 0] = float("nan")
    path = scoring.folder / f"in.{ending}"
    given.to_parquet(path) if ending == "parquet" else given.to_csv(path, index=False)
    found = scoring.score(f"{case}@1", path)
    assert found["rows"] == ROWS
    served = route(case)
    expected = [online(served, row) for row in sent(given)]
    rows = scoring.rows()
    for number, (row, online_row) in enumerate(zip(rows, expected, strict=True)):
        assert {name: value for name, value in row.items() if value is not None} == {"row": number, **online_row}
    assert sum("error" in row for row in expected) == found["errors"]["invalid"] == ROWS - found["answered"]


def test_the_csv_output_has_every_digit(scoring: Scoring) -> None:
    """What is read from it is what was answered."""
    scoring.add("histogram-missing", zoo("histogram-missing"))
    frame("histogram-missing").to_parquet(scoring.folder / "in.parquet")
    for output in ("out.parquet", "out.csv"):
        scoring.score("histogram-missing@1", scoring.folder / "in.parquet", output)
    names = [name for name in scoring.rows()[0] if name.startswith("probability_")]
    assert [[row[name] for name in names] for row in scoring.rows("out.csv")] == [[row[name] for name in names] for row in scoring.rows()]


class Recording:
    """A runtime that keeps how many rows it was asked at once."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        """The number of rows: an answer that depends on the batch."""
        self.asked.append(len(rows))
        return [Output(value=float(len(rows)))] * len(rows)


def test_rows_are_asked_one_by_one() -> None:
    """A batch may round otherwise; only who asks for batches gets them, and bad rows are no part of one."""
    runtime = Recording()
    subject = Subject(Loaded(linear(floats("a")).card, runtime, 0.0))
    rows: list[Given] = [{"a": 1.0}, {"a": None}, {"a": 2.0}]
    assert [answer.output and answer.output.value for answer in subject.alone(rows)] == [1.0, None, 1.0]
    assert [answer.output and answer.output.value for answer in subject.together(rows)] == [2.0, None, 2.0]
    assert subject.together(rows[1:2])[0].error == "invalid: features.a: expected a number, got null"
    assert runtime.asked == [1, 1, 2]


class Interrupted:
    """An estimator that computes when Ctrl-C comes."""

    def predict(self, given: Any) -> Any:
        """Is interrupted."""
        raise KeyboardInterrupt


@pytest.mark.parametrize("asked", [Subject.alone, Subject.together])
def test_ctrl_c_while_scikit_learn_computes_ends_it(asked: Callable[[Subject, list[Given]], Any]) -> None:
    """It is no failure of the model, which would be written down as the row's, and the next row asked."""
    card = linear(floats("a")).card
    subject = Subject(Loaded(card, SklearnRuntime(Interrupted(), card.signature, "matrix"), 0.0))
    with pytest.raises(KeyboardInterrupt):
        asked(subject, [{"a": 1.0}])


@pytest.mark.parametrize("case", ["sgd", "svr", "voting"])
def test_batches_are_close(scoring: Scoring, case: str) -> None:
    """Within the version's tolerance, with the same labels."""
    scoring.add(case, zoo(case))
    frame(case).to_parquet(scoring.folder / "in.parquet")
    scoring.score(f"{case}@1", scoring.folder / "in.parquet", "alone.parquet")
    scoring.score(f"{case}@1", scoring.folder / "in.parquet", "together.parquet", in_batches=True)
    alone, together = scoring.rows("alone.parquet"), scoring.rows("together.parquet")
    names = [name for name in alone[0] if name == "value" or name.startswith("probability_")]
    assert [row.get("label") for row in alone] == [row.get("label") for row in together]
    figures = [(a[name], b[name]) for a, b in zip(alone, together, strict=True) for name in names]
    assert max(abs(a - b) / max(1.0, abs(a)) for a, b in figures) <= zoo(case).card.tolerance


def test_what_computes_row_by_row_does_not_mind_batches(scoring: Scoring) -> None:
    """As the linear runtime does."""
    scoring.add("ridge", zoo("ridge"))
    frame("ridge").to_parquet(scoring.folder / "in.parquet")
    scoring.score("ridge@1", scoring.folder / "in.parquet", "alone.parquet")
    scoring.score("ridge@1", scoring.folder / "in.parquet", "together.parquet", in_batches=True)
    assert scoring.rows("alone.parquet") == scoring.rows("together.parquet")
