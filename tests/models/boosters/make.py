"""Made the files beside it, with xgboost 3.2.0 and lightgbm 4.7.0 in an environment of their own, where the tests have neither:

    PYTHONPATH=. python tests/models/boosters/make.py

`answers.json` holds what the libraries themselves answer to the first rows of the data.
"""

from __future__ import annotations

import json
from pathlib import Path

import lightgbm
import numpy as np
import xgboost

from tests.models.zoo_data import data

HERE = Path(__file__).parent
ROWS = 40
ROUNDS = 3

TREES = {"max_depth": 2, "nthread": 1, "max_cat_to_onehot": 1, "seed": 0}
LEAVES = {"num_leaves": 5, "num_threads": 1, "verbose": -1, "max_cat_to_onehot": 1, "min_data_per_group": 5, "cat_smooth": 1, "seed": 0}

XGBOOST = {
    "labels.json": ("cancer-missing", {"objective": "binary:logistic"}),
    "labels.ubj": ("cancer-missing", {"objective": "binary:logistic"}),
    "classes.json": ("iris", {"objective": "multi:softprob", "num_class": 3}),
    "values.ubj": ("diabetes-missing", {"objective": "reg:squarederror"}),
    "counts.json": ("diabetes", {"objective": "count:poisson"}),
    "named.ubj": ("cancer-named", {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.3}),
    "codes.ubj": ("codes", {"objective": "binary:logistic"}),
    "targets.ubj": ("two-targets", {"objective": "reg:squarederror"}),
    "texts.json": ("sizes", {"objective": "binary:logistic"}),
}
LIGHTGBM = {
    "labels.txt": ("cancer-missing", {"objective": "binary"}),
    "classes.txt": ("iris", {"objective": "multiclass", "num_class": 3}),
    "one-against-all.txt": ("iris", {"objective": "multiclassova", "num_class": 3}),
    "values.txt": ("diabetes-missing", {"objective": "regression"}),
    "squares.txt": ("diabetes", {"objective": "regression", "reg_sqrt": True}),
    "gamma.txt": ("diabetes", {"objective": "gamma"}),
    "shares.txt": ("shares", {"objective": "cross_entropy"}),
    "named.txt": ("cancer-named", {"objective": "binary"}),
    "codes.txt": ("codes", {"objective": "binary"}),
    "categories.txt": ("sizes", {"objective": "binary"}),
}


def numbered(target):
    """The classes as numbers, in the order of their names."""
    return np.unique(target, return_inverse=True)[1] if np.asarray(target).dtype.kind in "UO" else target


def of_xgboost(given, settings):
    known = given.features if given.named else given.features.to_numpy()
    kinds = {"feature_types": ["q", "q", "q", "c"]} if settings is XGBOOST["codes.ubj"][1] else {}
    rows = xgboost.DMatrix(known, numbered(given.target), enable_categorical=True, **kinds)
    model = xgboost.train({**TREES, **settings}, rows, ROUNDS)
    return model, model.predict(rows)


def of_lightgbm(given, settings):
    known = given.features if given.named else given.features.to_numpy()
    coded = [3] if settings is LIGHTGBM["codes.txt"][1] else "auto"
    rows = lightgbm.Dataset(known, numbered(given.target), categorical_feature=coded)
    model = lightgbm.train({**LEAVES, **settings}, rows, ROUNDS)
    return model, model.predict(known)


if __name__ == "__main__":
    answers = {}
    for table, train in ((XGBOOST, of_xgboost), (LIGHTGBM, of_lightgbm)):
        for name, (source, settings) in table.items():
            model, answered = train(data(source), settings)
            model.save_model(HERE / name)
            answers[name] = answered[:ROWS].astype(float).tolist()
    (HERE / "answers.json").write_text(json.dumps(answers, indent=None).replace('], "', '],\n"') + "\n")
