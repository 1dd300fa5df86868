"""What a learner is asked to do is checked when it is registered."""

from __future__ import annotations

import pytest

from core.errors import Invalid
from models.learner.checks import MOST, check
from models.learner.settings import LearnerSettings, RiverCard
from tests.models.river_zoo import CASES


def ask(name, **settings):
    """Checks the settings for a model of the zoo."""
    case = CASES[name]
    check(LearnerSettings(**settings), RiverCard(kind=case.kind, label=case.label), case.make())


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("logistic", ("LogLoss", "Accuracy", "ROCAUC")),
        ("bayes", ("MacroF1", "CrossEntropy")),
        ("linear", ("MAE", "R2")),
        ("holt winters", ("MAE", "SMAPE")),
        ("half space", ("ROCAUC",)),
    ],
)
def test_metrics_of_its_kind(name, metrics):
    """River's own, by their names."""
    ask(name, metrics=metrics)


@pytest.mark.parametrize(
    ("name", "metrics", "said"),
    [
        ("logistic", ("Accurracy",), "got 'Accurracy'"),
        ("logistic", ("base",), "got 'base'"),
        ("logistic", ("MAE",), "MAE does not work with a Pipeline, a classifier"),
        ("linear", ("Accuracy",), "Accuracy does not work"),
        ("holt winters", ("Accuracy",), "Accuracy does not work with a HoltWinters"),
        ("logistic", ("FBeta",), "FBeta needs parameters or"),
        ("logistic", ("ClassificationReport",), "ClassificationReport needs parameters or is no single number"),
        ("logistic", ("ConfusionMatrix",), "ConfusionMatrix needs parameters or is no"),
        ("logistic", ("F1", "F1"), "each once"),
    ],
)
def test_other_metrics(name, metrics, said):
    """Each with what is wrong with it."""
    with pytest.raises(Invalid, match=said) as raised:
        ask(name, metrics=metrics)
    assert raised.value.field == "metrics"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"late_seconds": 0.0}, "late_seconds"),
        ({"late_seconds": float("inf")}, "late_seconds"),
        ({"late_seconds": float("nan")}, "late_seconds"),
        ({"window": 0}, "window"),
        ({"window": MOST + 1}, "window"),
        ({"fresh_labels": 0}, "fresh_labels"),
        ({"keep_every": -1}, "keep_every"),
        ({"detector": "Adwin"}, "detector"),
        ({"detector": "DriftRetrainingClassifier"}, "detector"),
        ({"detector_parameters": {"sigma": 1.0}}, "detector_parameters"),
        ({"detector": "", "detector_parameters": {"delta": 0.1}}, "detector_parameters"),
        ({"detector": "KSWIN", "detector_parameters": {"alpha": float("nan")}}, "detector_parameters"),
        ({"detector": "", "on_drift": "reset"}, "on_drift"),
    ],
)
def test_what_will_not_do(settings, field):
    """The setting is named."""
    with pytest.raises(Invalid) as raised:
        ask("logistic", **settings)
    assert raised.value.field == field


def test_right_or_wrong_is_for_classifiers():
    """Detectors of errors read nothing else."""
    ask("logistic", detector="DDM")
    with pytest.raises(Invalid, match="right or wrong") as raised:
        ask("linear", detector="DDM")
    assert raised.value.field == "detector"
