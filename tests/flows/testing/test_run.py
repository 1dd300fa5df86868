"""Batch tests on scikit-learn's own data, from the file to what is kept with the version."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn import metrics as sk

from core.errors import Invalid, ModelFailed, NotFound
from core.ids import VersionId
from flows import adopt, batch_tests
from flows.registry import describing, showing
from flows.registry.searching import search_versions
from flows.testing.run import Order, run
from models.package import Loaded
from store import audit
from tests.flows.testing.testing_world import WHO, World, sets

pytestmark = pytest.mark.usefixtures("quick")

CANCER, SUGAR = sets().cancer[1], sets().sugar[1]


def answers(world: World, version: str, frame: Any) -> list[Any]:
    """What the version answers, one row at a time as it is served."""
    loaded = adopt.loader(world.home.store, world.home.blobs)(VersionId(*[version.split("@")[0], int(version.split("@")[1])]))
    return [loaded.predict([row])[0] for row in frame[list(loaded.card.signature.names)].to_numpy().tolist()]


def test_a_classifier(world: World) -> None:
    """The figures are those of the answers as they are served; the champion, being itself, is not compared with."""
    found = world.test("cancer@1", CANCER)
    served = answers(world, "cancer@1", CANCER)
    p = np.array([one.probabilities["malignant"] for one in served])
    said = [one.label for one in served]
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(sk.accuracy_score(CANCER.kind, said))
    assert found["metrics"]["auc"]["value"] == pytest.approx(sk.roc_auc_score(CANCER.kind == "malignant", p))
    assert found["metrics"]["log_loss"]["value"] == pytest.approx(sk.log_loss(CANCER.kind == "malignant", p))
    assert found["confusion"] == sk.confusion_matrix(CANCER.kind, said).tolist()
    assert found["positive"] == "malignant"
    assert (found["comparison"], found["against"], found["passed"]) == (None, None, None)


def test_a_regressor(world: World) -> None:
    """On a Parquet file; the target is the one that the version was registered with."""
    path = world.write("sugar.parquet", SUGAR)
    found = run(world.home, Order("sugar@1", path), WHO)
    said = [one.value for one in answers(world, "sugar@1", SUGAR)]
    assert found["metrics"]["rmse"]["value"] == pytest.approx(sk.root_mean_squared_error(SUGAR.target, said))
    assert found["data"]["target"] == "target"
    assert sum(found["errors"]["histogram"]["counts"]) == pytest.approx(SUGAR.shape[0], abs=5)


def test_against_the_champion(world: World) -> None:
    """Another version is compared with the champion on the same rows, unless another is named."""
    found = world.test("cancer@2", CANCER)
    assert found["against"] == "cancer@1"
    right = {name: np.array([one.label for one in answers(world, name, CANCER)]) == CANCER.kind for name in ("cancer@1", "cancer@2")}
    assert found["comparison"]["right"]["only_right"] == int((right["cancer@1"] & ~right["cancer@2"]).sum())
    for name in ("champion", "@champion", "1", "cancer@1"):
        assert world.test("cancer@1", CANCER, against=name)["against"] == "cancer@1"
    assert world.test("cancer@1", CANCER, against="2")["against"] == "cancer@2"


def test_a_champion_against_itself(world: World) -> None:
    """Is no worse: the same suite serves every version of a model."""
    names = ("auc", "accuracy", "f1")
    demands = [{"metric": name, "not_worse_than": "champion", **more} for name in names for more in ({}, {"margin": 0.05})]
    found = world.test("cancer@1", CANCER, {"thresholds": demands})
    assert [check["passed"] for check in found["checks"]] == [True] * 6


def test_gates(world: World) -> None:
    """A poor version fails against the champion and passes what it can; each check says why."""
    suite = {
        "slices": ["site"],
        "thresholds": [
            {"metric": "accuracy", "min": 0.5},
            {"metric": "auc", "not_worse_than": "champion"},
            {"metric": "accuracy", "min": 0.5, "per_slice": True},
        ],
        "latency": {"p99_ms": 1},
    }
    found = world.test("cancer@2", CANCER, suite)
    assert [check["passed"] for check in found["checks"]] == [True, False, True, True, True, True]
    assert "significantly worse (one-sided p " in found["checks"][1]["reason"]
    assert found["passed"] is False
    assert [one["slice"] for one in found["slices"]["columns"][0]["slices"]] == ["0", "1", "2"]


def test_behaviour(world: World) -> None:
    """Changes are made to rows of the data and asked again: a linear model moves one way with every row, and never the other."""
    moved = {"feature": "f4", "change": {"add": 0.05}}
    found = world.test(
        "cancer@1",
        CANCER,
        {
            "invariance": [{"feature": "f0", "change": {"permute": True}}, {"feature": "f0", "change": {"set": 14.0}, "share": 0.01}],
            "directional": [
                {**moved, "answer": "not_fall"},
                {**moved, "answer": "not_rise"},
                {**moved, "answer": "not_rise", "label": "benign"},
            ],
        },
    )["behaviour"]
    assert 0.0 < found[0]["share"] < 1.0
    assert [one["of"] for one in found[2:]] == [len(CANCER)] * 3
    low, high = sorted((found[2]["share"], found[3]["share"]))
    assert low < 0.05  # a probability that is 1 does not move
    assert high == 1.0
    assert found[4]["share"] == found[2]["share"]
    assert [one["passed"] for one in found[:2]] == [False, True]
    assert found[1]["name"] == "f0 set 14.0"


def test_a_change_on_which_the_model_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is a check that fails with its reason: the rows of the data were answered."""
    calls = []
    predict = Loaded.predict

    def fail_later(self: Loaded, rows: Any) -> Any:
        calls.append(rows)
        if len(calls) > 1:
            raise ModelFailed("it fell over")
        return predict(self, rows)

    monkeypatch.setattr(Loaded, "predict", fail_later)
    found = world.test("cancer@1", CANCER, {"invariance": [{"feature": "f0", "change": {"add": 1}}]})
    assert found["passed"] is False
    assert "it fell over" in found["checks"][0]["reason"]


def test_what_is_kept(world: World) -> None:
    """With data, suite, seed and software; shown as it was made; the audit log has a row."""
    suite = {"thresholds": [{"metric": "accuracy", "min": 0.5}]}
    made = world.test("cancer@1", CANCER, suite, seed=7, suite_file="gate.yaml", suite_bytes=b"x")
    assert made["data"]["sha256"] == sha256((world.folder / "data.csv").read_bytes()).hexdigest()
    assert (made["data"]["rows"], made["data"]["tested"], made["settings"]["seed"], made["passed"]) == (284, 284, 7, True)
    assert made["suite"] == {
        "file": "gate.yaml",
        "sha256": sha256(b"x").hexdigest(),
        "asked": {"thresholds": [{"metric": "accuracy", "min": 0.5}]},
    }
    assert made["software"]["numpy"] == np.__version__
    assert batch_tests.show_test(world.home.store, "cancer@champion", made["id"]) == made
    with world.home.store.read() as connection:
        row = audit.newest(connection, 1)[0]
        short = batch_tests.newest_summary(connection, VersionId("cancer", 1))
        none = batch_tests.newest_summary(connection, VersionId("cancer", 77))
    assert (row["action"], row["subject"], row["actor"], row["detail"]["test"]) == ("model.test", "cancer@1", "tester", made["id"])
    assert none is None
    assert short is not None
    assert (short["id"], short["metrics"], short["failed"]) == (made["id"], made["metrics"], [])
    assert batch_tests.list_tests(world.home.store, "cancer@1", 1)["tests"] == [short]


def test_what_was_found_can_be_searched(world: World) -> None:
    """The figures of the newest test, beside all else that a version is found by; and a card shows the test."""
    store = world.home.store
    made = world.test("cancer@1", CANCER)
    accuracy = made["metrics"]["accuracy"]["value"]
    searches = {f"test.accuracy>={accuracy}": True, f"test.accuracy>{accuracy}": False, "test.accuracy>0 task:classification": True}
    for search, expected in searches.items():
        found = search_versions(store, search, "-registered", 10, None)["versions"]
        assert ("cancer@1" in [each["version"] for each in found]) is expected
    describing.describe_version(store, "cancer@1", lambda _: {"owner": "ann"}, WHO)
    assert search_versions(store, "owner:ann test.accuracy>0", "-registered", 10, None)["versions"]
    assert showing.show_version(store, "cancer@1")["test"]["id"] == made["id"]


def test_the_same_again(world: World) -> None:
    """The same data, suite and seed give the same figures to the last digit."""
    suite = {"slices": ["site"], "invariance": [{"feature": "f0", "change": {"noise": 0.1}}]}
    first, second = (world.test("cancer@1", CANCER, suite, against="cancer@2") for _ in range(2))
    assert {**first, "id": 0} == {**second, "id": 0}


def test_another_positive_class(world: World) -> None:
    """Precision and recall are of the class that is named."""
    found = world.test("cancer@1", CANCER, {"positive": "benign"})
    said = [one.label for one in answers(world, "cancer@1", CANCER)]
    assert found["positive"] == "benign"
    assert found["metrics"]["recall"]["value"] == pytest.approx(sk.recall_score(CANCER.kind, said, pos_label="benign"))


def test_rows_without_a_true_value_are_left_out(world: World) -> None:
    """And counted; what the model cannot take in them is nobody's fault."""
    frame = CANCER.copy()
    frame.loc[frame.index[:10], "kind"] = None
    frame.loc[frame.index[0], "f0"] = np.nan
    found = world.test("cancer@1", frame)
    assert (found["data"]["rows"], found["data"]["tested"], found["data"]["unlabelled"]) == (284, 274, 10)


def test_a_label_that_the_model_never_saw(world: World) -> None:
    """Counts as wrong, and is named."""
    frame = CANCER.copy()
    frame.loc[frame.index[:3], "kind"] = "unclear"
    found = world.test("cancer@1", frame)
    assert found["data"]["unseen"] == {"unclear": 3}
    assert found["classes"][2]["recall"]["share"] == 0.0
    assert any("'unclear' (3 rows)" in note for note in found["notes"])
    assert found["positive"] == "malignant"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"f0": "abc"}, "data: row 3, column f0: expected a number, got 'abc'"),
        ({"f0": None}, "data: row 3, column f0: expected a number, got null"),
        ({"f0": "inf"}, "data: row 3, column f0: expected a number, got inf, which is not finite"),
    ],
)
def test_a_row_that_the_model_cannot_take(world: World, change: dict[str, Any], said: str) -> None:
    """Is named with its column, and nothing is kept."""
    before = batch_tests.list_tests(world.home.store, "cancer@1")
    frame = CANCER.astype(object)
    for name, value in change.items():
        frame.loc[frame.index[2], name] = value
    with pytest.raises(Invalid) as caught:
        world.test("cancer@1", frame)
    assert (caught.value.message, caught.value.field) == (said, next(iter(change)))
    assert batch_tests.list_tests(world.home.store, "cancer@1") == before


@pytest.mark.parametrize(
    ("version", "suite", "how", "error", "said"),
    [
        ("cancer@9", {}, {}, NotFound, "no version cancer@9"),
        ("cancer@1", {}, {"against": "next"}, NotFound, "against: model 'cancer' has no alias 'next'"),
        ("cancer@1", {}, {"against": "sugar@1"}, Invalid, "they cannot be compared"),
        (
            "cancer@1",
            {"thresholds": [{"metric": "auc", "not_worse_than": "champion"}]},
            {"against": "2"},
            Invalid,
            "against: got 2, while the suite compares with champion",
        ),
        ("cancer@1", {}, {"target": "nix"}, Invalid, "has no column 'nix'"),
        ("cancer@1", {"slices": ["nix"]}, {}, Invalid, "has no column 'nix'"),
        ("cancer@1", {"positive": "nix"}, {}, Invalid, "positive: expected one of benign, malignant"),
        ("sugar@1", {"positive": "nix"}, {"target": "f0"}, Invalid, "has no column"),
        (
            "cancer@1",
            {"invariance": [{"feature": "nix", "change": {"set": 1}}]},
            {},
            Invalid,
            "invariance[0].feature: cancer@1 has no feature 'nix'",
        ),
        (
            "cancer@1",
            {"invariance": [{"feature": "f0", "change": {"set": "red"}}]},
            {},
            Invalid,
            "invariance[0]: change: of f0 it makes what the model does not take: expected a number, got 'red'",
        ),
        (
            "cancer@1",
            {"directional": [{"feature": "f0", "change": {"add": 1}, "answer": "not_fall", "label": 3}]},
            {},
            Invalid,
            "directional[0]: label: the model gives no probability of 3",
        ),
    ],
)
def test_what_will_not_do(world: World, version: str, suite: Any, how: Any, error: Any, said: str) -> None:
    """A clear sentence that names what was wrong."""
    with pytest.raises(error) as caught:
        world.test(version, CANCER, suite, **how)
    assert said in caught.value.message


def test_a_target_that_is_no_number(world: World) -> None:
    """Of a regressor, by its row."""
    frame = SUGAR.astype(object)
    frame.iloc[4, frame.columns.get_loc("target")] = "high"
    with pytest.raises(Invalid, match="data: row 5, column target: expected a number, got 'high'"):
        world.test("sugar@1", frame)


def test_no_true_value_at_all(world: World) -> None:
    """There is nothing to test on."""
    with pytest.raises(Invalid, match=r"no row of data\.csv has a value in 'kind'"):
        world.test("cancer@1", CANCER.assign(kind=None))


def test_a_model_that_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names the version and the rows; nothing is kept."""

    def fail(*_: Any) -> Any:
        raise ModelFailed("it fell over")

    monkeypatch.setattr(Loaded, "predict", fail)
    with pytest.raises(ModelFailed, match="cancer@1, rows 1 to 284 of the data: it fell over"):
        world.test("cancer@1", CANCER)


def test_nothing_stored(world: World) -> None:
    """A test that does not exist, of a version that does."""
    with pytest.raises(NotFound, match="version cancer@2 has no test 99999"):
        batch_tests.show_test(world.home.store, "cancer@2", 99999)


def test_it_is_plain_json(world: World) -> None:
    """Whatever was tested: no figure is NaN or infinite, which JSON does not know."""
    found = world.test("cancer@2", CANCER.head(3), {"slices": ["site"]})
    assert msgspec.json.decode(msgspec.json.encode(found)) == found
    assert "NaN" not in msgspec.json.encode(found).decode()
