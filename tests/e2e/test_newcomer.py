"""What a newcomer does with models of their own, by the command line: register, split, predict, tell outcomes, read the report."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_diabetes, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from skops import io as skops_io

from tests.e2e.real_server import PATIENCE, Server, Worlds, eventually

WINDOW = 25.0
"""Seconds in which all outcomes are told; the command line may take some on a busy machine."""


@pytest.fixture(scope="module")
def server(worlds: Worlds) -> Server:
    """A server whose home is still empty."""
    return worlds.server(empty=True).start()


def deploy(server: Server, name: str, data: Any, estimators: list[BaseEstimator]) -> list[float]:
    """Register the estimators as versions of `name`, split an endpoint over them; returns how exactly each must answer."""
    directory = server.home.parent
    sample = directory / f"{name}.csv"
    data.frame.to_csv(sample, index=False)
    exactness = []
    for number, estimator in enumerate(estimators, 1):
        path = directory / f"{name}{number}.skops"
        skops_io.dump(estimator.fit(data.data, data.target), path)
        card = server.cli("model", "register", name, path, "--sample", sample, "--target", "target")
        assert card["version"] == f"{name}@{number}"
        exact = card["compiled"] is None or card["compiled"]["form"] in ("linear", "onnx-f64", "native")
        exactness.append(1e-9 if exact else 1e-4)
    arms = ["--arm", f"control={name}@1:50", "--arm", f"treatment={name}@2:50"]
    made = server.cli("endpoint", "create", name, *arms, "--wait", "20")
    assert made["applied"]
    return exactness


def test_a_regression_is_registered_split_and_answers_what_predict_answers(server: Server) -> None:
    """Online answers of both arms equal `predict`, to 1e-9 where compiled in float64 or native, else to 1e-4."""
    data = load_diabetes(as_frame=True)
    estimators = [make_pipeline(StandardScaler(), Ridge()), DecisionTreeRegressor(max_depth=4, random_state=0)]
    exactness = deploy(server, "sugar", data, estimators)
    expected = [estimator.predict(data.data) for estimator in estimators]
    seen = set()
    with server.client() as client:
        for place, row in enumerate(data.data.to_dict("records")[:100]):
            answer = client.predict("sugar", f"u{place}", row).json
            version = int(answer["model"].partition("@")[2])
            assert answer["predictions"][0]["value"] == pytest.approx(expected[version - 1][place], rel=exactness[version - 1])
            seen.add(answer["arm"])
    assert seen == {"control", "treatment"}


class Digits(NamedTuple):
    """The endpoint `digits`: its data, the estimator of each arm, and how exactly that must answer."""

    data: Any
    estimators: list[BaseEstimator]
    exactness: list[float]


@pytest.fixture(scope="module")
def digits(server: Server) -> Digits:
    data = load_digits(as_frame=True)
    estimators = [make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)), RandomForestClassifier(20, random_state=0)]
    return Digits(data, estimators, deploy(server, "digits", data, estimators))


def test_a_pipeline_on_digits_answers_what_predict_proba_answers(server: Server, digits: Digits) -> None:
    """Labels equal `predict` and probabilities `predict_proba`, one row or many, by name or in order."""
    data, estimators, exactness = digits
    path = "/v1/endpoints/digits/predict"
    for version, arm in ((1, "control"), (2, "treatment")):
        estimator, most = estimators[version - 1], exactness[version - 1]
        expected, labels = estimator.predict_proba(data.data), estimator.predict(data.data)
        for instances in (data.data[:50].to_dict("records"), data.data[:50].to_numpy().tolist()):
            reply = server.request("POST", path, {"instances": instances}, {"X-Tiltyard-Force-Arm": arm})
            assert (reply.status, reply.json["model"]) == (200, f"digits@{version}")
            told = reply.json["predictions"]
            assert [one["label"] for one in told] == labels[:50].tolist()
            answered = np.array([list(one["probabilities"].values()) for one in told])
            assert list(told[0]["probabilities"]) == [str(label) for label in range(10)]
            assert np.abs(answered - expected[:50]).max() <= most


def test_outcomes_by_prediction_by_unit_and_from_a_file_add_up_in_the_report(server: Server, digits: Digits, tmp_path: Path) -> None:
    """The report counts each unit and prediction, and each arm's sum and mean are those of what was told."""
    server.cli(
        "experiment", "create", "first", "--endpoint", "digits", "--success", "revenue", "--mde", 1, "--window", WINDOW, "--look-every", 1
    )
    eventually(lambda: server.status("digits")["applied"], "the experiment's plan is applied")
    answers = tell(server, digits.data.data, tmp_path / "late.csv")
    told: dict[str, list[float]] = {"control": [], "treatment": []}
    for place, answer in enumerate(answers):
        told[answer["arm"]].append(float(place))
    server.caught_up("digits")
    eventually(lambda: server.report("first")["excluded"]["immature"] == 0, "all units have matured", 2 * WINDOW + PATIENCE)
    report = server.report("first")
    assert server.cli("experiment", "report", "first")["metrics"].keys() == report["metrics"].keys()
    assert {arm: one["predictions"] for arm, one in report["arms"].items()} == {arm: len(values) for arm, values in told.items()}
    assert {arm: one["units"] for arm, one in report["arms"].items()} == {arm: len(values) for arm, values in told.items()}
    for arm, values in told.items():
        shown = report["metrics"]["revenue"]["arms"][arm]
        assert shown["units"] == len(values)
        assert shown["sum"] == pytest.approx(sum(values))
        assert shown["mean"] == pytest.approx(np.mean(values))
        assert shown["lower"] < shown["mean"] < shown["upper"]
    difference = report["metrics"]["revenue"]["differences"]["treatment"]
    assert difference["estimate"] == pytest.approx(np.mean(told["treatment"]) - np.mean(told["control"]))
    assert report["outcomes"] == {"counted": 60, "outside_window": 0, "unanalysed": 1, "quarantined": 0, "duplicates": 20}
    assert report["verdict"]
    assert report["reason"]


def tell(server: Server, data: pd.DataFrame, file: Path) -> list[Any]:
    """60 predictions of 60 units; the outcome of the n-th is worth n: by prediction, by unit, and twice from a file in turn."""
    answers = [server.predict("digits", row, f"v{place}") for place, row in enumerate(data.to_dict("records")[:60])]
    lines = []
    for place, answer in enumerate(answers):
        outcome = {"metric": "revenue", "value": place, "id": f"sale {place}"}
        if place % 3 == 0:
            server.post("/v1/outcomes", {**outcome, "prediction_id": answer["prediction_id"]}, 202)
        elif place % 3 == 1:
            server.post("/v1/outcomes", {**outcome, "endpoint": "digits", "unit": f"v{place}"}, 202)
        else:
            lines.append({**outcome, "prediction_id": answer["prediction_id"]})
    label = {"prediction_id": answers[0]["prediction_id"], "metric": "label", "value": 0}
    assert server.post("/v1/outcomes", [label, label], 202) == {"accepted": 1, "duplicates": 1}
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, ["metric", "value", "id", "prediction_id"])
        writer.writeheader()
        writer.writerows(lines)
    for _ in range(2):
        assert server.cli("outcome", "import", file) == {"accepted": 20, "duplicates": 0}
    return answers


def test_a_file_of_outcomes_with_a_wrong_line_is_refused_whole(server: Server, digits: Digits, tmp_path: Path) -> None:
    """One clear line names the file, the line and the field; nothing of the file is stored."""
    file = tmp_path / "wrong.csv"
    file.write_text("metric,value,endpoint,unit\nrevenue,1,digits,a\nrevenue,much,digits,b\n")
    before = server.events()
    said = server.cli("outcome", "import", file, code=1)
    assert "line 3" in said
    assert "value" in said
    assert len(said.splitlines()) == 1
    assert server.events() == before
