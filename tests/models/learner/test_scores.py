"""Scores: River's own numbers, exactly."""

from __future__ import annotations

import pytest
from river import anomaly, datasets, dummy, evaluate, linear_model, metrics, naive_bayes, neighbors, preprocessing, tree, utils

from core.errors import Invalid
from core.values import Output
from models.learner.learner import Learner
from models.learner.river_model import Asked, RiverModel
from models.learner.scores import Scores, default_metrics
from models.learner.served import Served
from models.learner.settings import LearnerSettings, RiverCard
from tests.models.learner.zoo import BOOL, NUMBER, ODD, TEXT, of, scaled, taught

WHOLE = RiverCard(kind="classifier", label="int")
CLASSES = ("LogLoss", "Accuracy", "F1", "ROCAUC", "RollingROCAUC", "CohenKappa")
MANY = ("CrossEntropy", "Accuracy", "MacroF1", "BalancedAccuracy", "WeightedPrecision")
STREAMS = {
    "phishing": (BOOL, datasets.Phishing(), 1250, lambda: scaled(linear_model.LogisticRegression()), CLASSES),
    "bananas": (BOOL, datasets.Bananas(), 2000, lambda: tree.HoeffdingTreeClassifier(grace_period=50), CLASSES),
    "neighbours": (BOOL, datasets.Bananas(), 300, lambda: scaled(neighbors.KNNClassifier()), CLASSES),
    "segments": (TEXT, datasets.ImageSegments(), 1000, naive_bayes.GaussianNB, MANY),
    "prior": (TEXT, datasets.ImageSegments(), 300, dummy.PriorClassifier, MANY),
    "shuttle": (
        ODD,
        datasets.Shuttle(),
        3000,
        lambda: preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=1),
        ("RollingROCAUC", "ROCAUC"),
    ),
    "filter": (
        ODD,
        datasets.Shuttle(),
        1000,
        lambda: anomaly.QuantileFilter(anomaly.HalfSpaceTrees(seed=1), q=0.9),
        ("RollingROCAUC", "ROCAUC"),
    ),
    "weights": (
        NUMBER,
        list(datasets.ChickWeights()),
        578,
        lambda: scaled(linear_model.LinearRegression()),
        ("MAE", "RMSE", "R2", "SMAPE"),
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_scores_are_those_of_progressive_validation(name):
    """The same stream, metric and model, once by River and once row by row here: equal to the last bit, for every metric."""
    card, dataset, count, make, names = STREAMS[name]
    given = of(dataset)(count)
    learner = taught(Learner(card, LearnerSettings(metrics=names), make), given)
    expected = {metric: evaluate.progressive_val_score(given, make(), getattr(metrics, metric)()).get() for metric in names}
    assert learner.describe()["scores"] == expected
    assert set(default_metrics(card)) <= set(names)


def test_rolling_scores_are_those_of_rolling_metrics():
    """Over the newest labels as River's own wrapper has it; none where the metric is rolling by itself."""
    given = of(datasets.Phishing())(600)
    names = ("LogLoss", "Accuracy", "RollingROCAUC")
    learner = taught(Learner(BOOL, LearnerSettings(metrics=names, window=50), lambda: scaled(linear_model.LogisticRegression())), given)
    assert learner.describe()["rolling"] == {**_rolling_by_river(given), "RollingROCAUC": None}
    own = evaluate.progressive_val_score(given, scaled(linear_model.LogisticRegression()), metrics.RollingROCAUC(window_size=50))
    assert learner.describe()["scores"]["RollingROCAUC"] == own.get()


def test_rolling_scores_of_each_arm_are_those_of_rolling_metrics():
    """Over the newest answers of the arm alone, whatever others answered between them."""
    given = of(datasets.Phishing())(600)
    arms = {"shop/a": given[::2], "shop/b": given[1::2]}
    models = {place: RiverModel(scaled(linear_model.LogisticRegression())) for place in arms}
    served = Served(BOOL, LearnerSettings(window=50))
    for rows in zip(*arms.values(), strict=True):
        for (place, model), (x, y) in zip(models.items(), rows, strict=True):
            served.add(place, y, model.answer(x))
            model.learn(x, y)
    assert {place: found["rolling"] for place, found in served.describe().items()} == {
        place: _rolling_by_river(rows) for place, rows in arms.items()
    }


def _rolling_by_river(given):
    return {
        name: evaluate.progressive_val_score(
            given, scaled(linear_model.LogisticRegression()), _Rolled(getattr(metrics, name), window_size=50)
        ).get()
        for name in ("LogLoss", "Accuracy")
    }


class _Rolled(utils.Rolling):
    """River's rolling metric as progressive validation takes it, by keyword."""

    def update(self, y_true, y_pred):
        super().update(y_true, y_pred)


@pytest.mark.parametrize("name", ["Accuracies", "MAE_", "base", "Metric", "__doc__", "Silhouette"])
def test_a_name_that_is_no_metric_is_refused(name):
    """The message names the field."""
    with pytest.raises(Invalid, match=r"metrics: expected names of river\.metrics") as caught:
        Scores(BOOL, LearnerSettings(metrics=(name,)))
    assert caught.value.field == "metrics"


def test_what_a_metric_cannot_take_counts_in_no_score():
    """A square beyond all numbers, a metric without a value: None or left out, and the next rows count as ever."""
    scores = Scores(NUMBER, LearnerSettings(metrics=("RMSE", "R2"), window=2))
    for truth, said in ((1.0, 2.0), (1e200, 0.0), (-5.0, -4.0), (3.0, 2.0)):
        scores.add(truth, Asked(said))
    assert scores.totals()["RMSE"] == pytest.approx(1.0)
    assert scores.rolling()["RMSE"] == pytest.approx(1.0)
    logarithms = Scores(NUMBER, LearnerSettings(metrics=("RMSLE",), window=2))
    for truth, said in ((1.0, 2.0), (-5.0, -4.0), (3.0, 2.0)):
        logarithms.add(truth, Asked(said))
    assert logarithms.totals()["RMSLE"] == pytest.approx(((0.4054651**2 + 0.2876821**2) / 2) ** 0.5)
    first = Scores(NUMBER, LearnerSettings(metrics=("R2",)))
    first.add(1.0, Asked(None))
    assert first.totals() == {"R2": None}


PLACES = [
    (BOOL, True, Output(label=True, probabilities={"False": 0.25, "True": 0.75})),
    (WHOLE, 1, Output(label=1, probabilities={"0": 0.25, "1": 0.75})),
    (WHOLE, 1, Output(label=True, probabilities={"False": 0.25, "True": 0.75})),
    (TEXT, "1", Output(label="1", probabilities={"0": 0.25, "1": 0.75})),
    (RiverCard(kind="classifier"), 1, Output(label=1, probabilities={"0": 0.25, "1": 0.75})),
    (RiverCard(kind="classifier"), "1", Output(label="1", probabilities={"0": 0.25, "1": 0.75})),
    (RiverCard(kind="classifier", label="float"), 1.0, Output(label=1.0, probabilities={"0.0": 0.25, "1.0": 0.75})),
]


@pytest.mark.parametrize(("card", "truth", "answered"), PLACES)
def test_probabilities_that_are_keyed_by_texts_are_read_back(card, truth, answered):
    """The true class's share is found under the text that was served, whatever the label's kind."""
    served = Served(card, LearnerSettings(metrics=("CrossEntropy", "Accuracy")))
    served.add("shop/a", truth, answered)
    assert served.describe()["shop/a"]["scores"] == {"CrossEntropy": pytest.approx(0.2876821), "Accuracy": 1.0}


def test_an_answer_without_a_say_is_counted_and_not_scored():
    """A model that had learnt too little answered null: no metric is handed anything, as River has it."""
    served = Served(BOOL, LearnerSettings())
    served.add("shop/a", True, Output(label=None, probabilities={}))
    numbers = Served(NUMBER, LearnerSettings())
    numbers.add("shop/a", 1.0, Output(value=None))
    numbers.add("shop/b", 1.0, Output(value=3.0))
    assert served.describe()["shop/a"]["labels"] == 1
    assert set(served.describe()["shop/a"]["scores"].values()) == {None}
    assert [place["scores"] for place in numbers.describe().values()] == [{"MAE": None, "RMSE": None}, {"MAE": 2.0, "RMSE": 2.0}]


def test_a_ranking_score_does_not_mind_the_scale_of_anomaly_scores():
    """Where River's ROCAUC shows nothing of scores beyond 1, the default metric tells rows apart."""
    scores = Scores(ODD, LearnerSettings())
    probabilities = Scores(ODD, LearnerSettings(metrics=("ROCAUC",)))
    for number in range(100):
        for one in (scores, probabilities):
            one.add(number % 10 == 0, Asked(50.0 + 100 * (number % 10 == 0), None, 1.0))
    assert scores.totals() == {"RollingROCAUC": 1.0}
    assert probabilities.totals()["ROCAUC"] < 0.6
