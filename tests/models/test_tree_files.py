"""XGBoost and LightGBM files answer as those libraries do, which are not installed here."""

from __future__ import annotations

from functools import cache, partial
from importlib.util import find_spec

import msgspec
import numpy as np
import pytest

from core.errors import Invalid, ModelFailed, Rejected
from models import tree_files
from models.building import build
from models.card import Card
from models.package import load
from models.sample import Sample
from models.tree_building import labels
from tests.models.boosters.answers import ANSWERS, DATA, FOLDER, TARGETS
from tests.models.zoo_data import data

OF_FLOAT32 = 2e-6
"""XGBoost adds float32, in another order than treelite; relative where numbers are larger than 1."""
OF_FLOAT64 = 1e-12


def registered(folder, name, edit=lambda content: content, features=None, target=None, sampled=True, **asked):
    """A file, as it is or edited, with the data that it was trained on and no target, unless told otherwise."""
    path, sample = folder / name, folder / "sample.csv"
    path.write_bytes(edit((FOLDER / name).read_bytes()))
    frame = data(DATA.get(name, "sizes")).features if features is None else features
    (frame if target is None else frame.assign(truth=target)).to_csv(sample, index=False)
    told = {"sample": sample if sampled else None, "target": "truth" if target is not None else None}
    return build(path, trust_pickle=False, **told, **asked)


@pytest.fixture
def register(tmp_path):
    """Registers a file as the test says."""
    return partial(registered, tmp_path)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The files as they are, each registered once."""
    return cache(lambda name: registered(tmp_path_factory.mktemp("trees"), name, output=TARGETS.get(name)))


def loaded(package):
    return load(package.card, {package.card.blobs[role]: content for role, content in package.blobs.items()}.__getitem__)


def rows(name, count=40):
    features = data(DATA[name]).features.head(count)
    return features.astype(object).where(features.notna(), None).to_numpy().tolist()


def test_the_libraries_are_not_here():
    """What these tests show is shown without XGBoost and LightGBM."""
    assert find_spec("xgboost") is None
    assert find_spec("lightgbm") is None


@pytest.mark.parametrize("name", DATA)
def test_answers_are_the_librarys_own(name, packages):
    """Labels are equal on every row; numbers agree within 2e-6 for XGBoost, which computes in float32, and 1e-12 for LightGBM."""
    package = packages(name)
    outputs = loaded(package).predict(rows(name))
    expected = np.array(ANSWERS[name]) if name not in TARGETS else np.array(ANSWERS[name])[:, TARGETS[name]]
    near = {"rtol": OF_FLOAT64, "atol": OF_FLOAT64} if name.endswith(".txt") else {"rtol": OF_FLOAT32, "atol": OF_FLOAT32}
    if package.card.task == "regression":
        np.testing.assert_allclose([output.value for output in outputs], expected, **near)
        return
    shares = expected if expected.ndim == 2 else np.column_stack([1 - expected, expected])
    assert [output.label for output in outputs] == shares.argmax(axis=1).tolist()
    if name != "one-against-all.txt":
        np.testing.assert_allclose([list(output.probabilities.values()) for output in outputs], shares, **near)


@pytest.mark.parametrize("name", ["labels.ubj", "classes.txt", "categories.txt"])
def test_the_package_is_one_of_treelite(name, packages):
    """It is stored as trees, survives storage, and has golden rows, a profile and the version of treelite on its card."""
    package = packages(name)
    card = msgspec.json.decode(msgspec.json.encode(package.card), type=Card)
    assert card == package.card
    assert (card.format, card.runtime, card.compiled) == ("treelite", "treelite", None)
    assert set(package.blobs) == {"artefact", "golden"}
    assert card.profile.rows == len(data(DATA[name]).features)
    assert "treelite" in card.versions


def test_a_row_alone_is_answered_as_in_a_batch(packages):
    """To the last bit."""
    model = loaded(packages("values.ubj"))
    assert model.predict(rows("values.ubj")) == [model.predict([row])[0] for row in rows("values.ubj")]


def test_columns_go_by_their_names(register):
    """A file that names its columns takes them from the sample in its own order; LightGBM's underscores stand for spaces."""
    features = data("cancer-named").features
    turned = features[features.columns[::-1]].assign(more=1.0)
    for name in ("named.txt", "named.ubj"):
        card = register(name, features=turned).card
        assert card.signature.names == tuple(features.columns)
        assert "columns of the sample that the model does not take: more" in card.notes


def test_a_category_that_is_unknown_is_missing(packages):
    """So LightGBM takes it; those that it knows are told apart."""
    model = loaded(packages("categories.txt"))
    place = model.card.signature.names.index("size")
    sized = [[[*row[:place], size, *row[place + 1 :]] for size in ("enormous", None, "small", "large")] for row in rows("categories.txt")]
    answers = [model.served.runtime.predict(four) for four in sized]
    assert all(unseen == missing for unseen, missing, _, _ in answers)
    assert any(small != large for _, _, small, large in answers)


def test_without_a_sample(register):
    """Columns are numbers by the file's names or places, and the card says what is lacking; categories need a sample."""
    card = register("values.ubj", sampled=False).card
    assert card.signature.names[:2] == ("x0", "x1")
    assert card.notes == ("no sample: no golden rows, no profile",)
    assert register("named.ubj", sampled=False).card.signature.names[0] == "mean radius"
    with pytest.raises(Rejected, match="takes categories; give a sample"):
        register("categories.txt", sampled=False)


def test_the_wrong_number_of_values_is_a_failure(packages):
    """treelite itself would read beyond the row, or take what is not there for missing."""
    model = loaded(packages("values.ubj")).served.runtime
    for row in (rows("values.ubj")[0][:-1], [*rows("values.ubj")[0], 1.0]):
        with pytest.raises(ModelFailed, match="expected 10 features"):
            model.predict([row])


def test_best_round_is_noted(register, packages):
    """Where early stopping found an earlier round better the card says that all are served."""
    stopped = register("labels.json", lambda content: content.replace(b'"attributes":{}', b'"attributes":{"best_iteration":"1"}')).card
    assert "all 3 rounds are served, though the 2 first were best; save booster[:2] to serve only those" in stopped.notes
    assert packages("labels.json").card.notes == ()


# Classes


@pytest.mark.parametrize(
    ("count", "target", "given", "expected"),
    [
        (3, None, None, (0, 1, 2)),
        (2, [1, 0, 1, None], None, (0, 1)),
        (3, [0, 2], None, (0, 1, 2)),
        (2, [True, False], None, (False, True)),
        (2, None, ["2", "1"], (2, 1)),
        (2, None, ["no", "yes"], ("no", "yes")),
        (3, ["virginica", "setosa"], ["setosa", "versicolor", "virginica"], ("setosa", "versicolor", "virginica")),
        (2, [1, 2, 2], ["2", "1"], (2, 1)),
        (2, [0.5, 1.5], ["0.5", "1.5"], (0.5, 1.5)),
    ],
)
def test_classes_are_the_files_numbers_or_named_by_the_operator(count, target, given, expected):
    """From 0, as in the file; true and false where the target holds those; names get the type that they have in the target."""
    named = labels(count, given, None if target is None else Sample({"truth": target}), None if target is None else "truth")
    assert named == expected
    assert list(map(type, named)) == list(map(type, expected))


@pytest.mark.parametrize(
    ("count", "target", "given", "message"),
    [
        (3, ["a", "b", "c"], None, r"name them in the order of their numbers \(a,b,c in whichever order it was\)"),
        (3, [1, 2, 3], None, "the column 'truth' holds others"),
        (2, [0.0, 1.5], None, "the column 'truth' holds others"),
        (3, [True, False], None, "the column 'truth' holds others"),
        (3, ["a", "b", "c"], ["a", "b"], "expected the names of 3 classes, got a,b"),
        (3, None, ["a", "b", "b"], "expected the names of 3 classes, got a,b,b"),
        (3, ["a", "b", "c"], ["a", "b", "d"], "holds 'c', which is none of a,b,d"),
    ],
)
def test_which_class_is_which_is_never_guessed(count, target, given, message):
    """Names that do not follow from the file are asked for, and must be those of the target."""
    with pytest.raises(Invalid, match=message) as raised:
        labels(count, given, None if target is None else Sample({"truth": target}), None if target is None else "truth")
    assert raised.value.field == "classes"


def test_classes_are_answered_by_their_names(register):
    """In the file's order, whatever order the target has."""
    named = register("classes.txt", target=data("iris").target, classes=["setosa", "versicolor", "virginica"])
    assert [output.label for output in loaded(named).predict(rows("classes.txt"))] == ["setosa"] * 40
    assert named.card.signature.classes == ("setosa", "versicolor", "virginica")


def test_what_is_asked_of_the_wrong_model(register):
    """Classes of a regression, and outputs that it has not; several are refused until one is chosen."""
    with pytest.raises(Invalid, match="has no classes"):
        register("values.txt", classes=["a", "b"])
    with pytest.raises(Invalid, match="expected a number below 1, got 1"):
        register("values.txt", output=1)
    with pytest.raises(Invalid, match="expected a number below 2, got -1"):
        register("targets.ubj", output=-1)
    with pytest.raises(Rejected, match="answers 2 values per row; choose one"):
        register("targets.ubj")


# What is refused


def replaced(old, new):
    def edit(content):
        assert old in content
        return content.replace(old, new, 1)

    return edit


REFUSED = {
    "ranks": ("labels.json", replaced(b"binary:logistic", b"rank:pairwise"), "rank:pairwise ranks rows"),
    "ranks-too": ("values.txt", replaced(b"objective=regression", b"objective=lambdarank"), "lambdarank ranks rows"),
    "scores": ("labels.json", replaced(b"binary:logistic", b"binary:logitraw"), "answers neither probabilities nor values"),
    "lines": ("labels.json", replaced(b'"name":"gbtree"', b'"name":"gblinear"'), "booster gblinear; trees"),
    "encoder": ("texts.json", lambda content: content, "does not yet support XGBoost models with categorical encoder"),
    "zeros": ("values.txt", lambda content: content.replace(b"decision_type=2", b"decision_type=6", 1), "zero_as_missing"),
    "linear-trees": ("values.txt", lambda content: content.replace(b"is_linear=0", b"is_linear=1"), "linear_tree=True"),
    "other-names": ("named.txt", replaced(b"feature_names=mean_radius ", b"feature_names="), "names 29 columns, and its trees take 30"),
    "no-trees": ("values.txt", lambda content: content.partition(b"Tree=0")[0], "it holds no trees"),
    "other-text": ("values.txt", lambda _: b"hello\nworld\n", "not a readable LightGBM file: it names no max_feature_idx"),
    "no-text": ("values.txt", lambda _: b"\xff\xfe\x00", "not a readable LightGBM file"),
    "no-objective": ("labels.json", lambda _: b'{"learner":{}}', "not a readable XGBoost file: Object missing"),
    "half": ("labels.json", lambda content: content[: len(content) // 2], "not a readable XGBoost file"),
    "half-binary": ("labels.ubj", lambda content: content[: len(content) // 2], "not a readable XGBoost file: no UBJSON at byte"),
    "deep": ("labels.json", lambda _: b"[" * 1_000_000, "not a readable XGBoost file"),
    "deep-binary": ("labels.ubj", lambda _: b"[" * 1_000_000, "nested too deeply"),
    "beyond-the-leaves": ("values.txt", lambda content: content.replace(b"left_child=1", b"left_child=99999999", 1), "parser crashed"),
    "unknown-field": ("labels.json", lambda content: content.replace(b'"split_indices"', b'"split"', 1), "not a readable XGBoost file"),
    "no-such-feature": ("values.txt", lambda content: content.replace(b"split_feature=8", b"split_feature=-8", 1), "none of its 10"),
    "endless-leaf": ("values.txt", lambda content: content.replace(b"leaf_value=", b"leaf_value=nan ", 1), "a leaf is not finite"),
    "wide": ("values.txt", replaced(b"max_feature_idx=9", b"max_feature_idx=900000"), "at most 100000 can be served"),
    "many-classes": ("classes.json", replaced(b'"num_class":"3"', b'"num_class":"2000000000"'), "not a readable XGBoost file"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_served_is_refused_with_the_reason(case, register):
    """Rankings, what treelite would answer wrongly, and broken files of every kind: Rejected, naming the file."""
    name, edit, message = REFUSED[case]
    with pytest.raises(Rejected, match=message) as raised:
        register(name, edit)
    assert raised.value.message.startswith(f"{name}: ")


def test_a_file_that_goes_round_in_a_circle_is_given_up(register, monkeypatch):
    """Its parser would never end."""
    monkeypatch.setattr(tree_files, "SECONDS", 1)
    with pytest.raises(Rejected, match="took more than 1 s"):
        register("values.txt", lambda content: content.replace(b"left_child=1", b"left_child=0", 1))


def test_text_where_numbers_are_taken(register):
    """The sample's column is named."""
    features = data("diabetes-missing").features.assign(bmi="thin")
    with pytest.raises(Rejected, match="column 'bmi' of the sample holds text, where the model takes numbers"):
        register("values.txt", features=features)
