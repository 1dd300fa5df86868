"""A model's own Python file: a function of it returns the model, and its classes go with it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from core.errors import Rejected
from models import factory
from models.building import build
from models.package import river_of
from tests.models.river_zoo import CASES, phishing, write_sample
from tests.models.workshop import reload

ROOT = Path(__file__).parents[2]

OWN = '''"""A model with parts of its own."""

from dataclasses import dataclass

from river import base, compose, linear_model


@dataclass
class Share:
    value: float = 0.25


class Halved(base.Transformer):
    def __init__(self):
        self.share = Share()

    def transform_one(self, x):
        return {name: value / 2 + self.share.value for name, value in x.items()}


def shifted(x):
    return {name: value + 1 for name, value in x.items()}


def build():
    model = Halved() | compose.FuncTransformer(shifted) | linear_model.LogisticRegression()
    model.learn_one({"age_of_domain": 1.0}, True)
    return model
'''

FITTED = """
import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

def doubled(values):
    return np.multiply(values, 2)

def plain():
    return LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])

def own():
    return make_pipeline(FunctionTransformer(doubled), LinearRegression()).fit([[0.0], [1.0]], [1.0, 3.0])

def clustered():
    from sklearn.cluster import KMeans
    return KMeans(n_clusters=1).fit([[0.0]])

def unfitted():
    return LinearRegression()
"""


@pytest.fixture
def file(tmp_path):
    """Writes the file and names a function in it."""

    def written(text, function="build"):
        (tmp_path / "model.py").write_text(text)
        return tmp_path / f"model.py:{function}"

    return written


@pytest.fixture
def package(file, tmp_path):
    """The River model of parts of its own, registered."""
    write_sample(tmp_path / "sample.csv", phishing())
    return build(file(OWN), sample=tmp_path / "sample.csv", target="target", trust_pickle=False)


def test_the_file_is_kept_with_the_version(package):
    """Under its own role, and loaded under a name made of its digest; no trust is asked for beyond naming it."""
    assert package.blobs["code"] == OWN.encode()
    assert package.card.river.code == factory.module_name(OWN.encode()) == "tiltyard_code_" + package.card.blobs["code"][:16]
    assert (package.card.source, package.card.source_digest) == ("model.py:build", package.card.blobs["code"])
    assert reload(package).predict([list(phishing()[0][0].values())])[0].label in (True, False)


def test_a_fresh_process_revives_it(package, tmp_path):
    """With nothing but the blobs: its classes and functions are found, and it answers as here."""
    (tmp_path / "card.json").write_bytes(msgspec.json.encode(package.card))
    for role, content in package.blobs.items():
        (tmp_path / package.card.blobs[role]).write_bytes(content)
    (tmp_path / "model.py").unlink()
    row = list(phishing()[0][0].values())
    program = (
        "import msgspec, pickle, sys\n"
        "from pathlib import Path\n"
        "from models.card import Card\n"
        "from models.package import load\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "card = msgspec.json.decode((folder / 'card.json').read_bytes(), type=Card)\n"
        "loaded = load(card, lambda digest: (folder / digest).read_bytes())\n"
        f"sys.stdout.buffer.write(msgspec.json.encode(loaded.predict([{row!r}])))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == msgspec.json.encode(reload(package).predict([row]))


def test_what_it_learns_can_be_kept(package):
    """A copy that has learnt is pickled and revived with the same file."""
    read = {package.card.blobs[role]: content for role, content in package.blobs.items()}.__getitem__
    model = river_of(package.card, read)
    x, y = phishing()[0]
    model.learn_one(x, y)
    again = factory.revive(factory.dump(model), package.card.river.code, package.blobs["code"])
    assert again.predict_proba_one(x) == model.predict_proba_one(x)
    assert type(again["Halved"]) is type(model["Halved"])


def test_two_files_do_not_mix(file):
    """A class of the same name in a changed file is another class."""
    source = OWN.replace("0.25", "0.75").encode()
    first, second = (pickle.loads(factory.make(file(text)).data) for text in (OWN, source.decode()))
    assert (first["Halved"].share.value, second["Halved"].share.value) == (0.25, 0.75)
    assert type(first["Halved"]) is not type(second["Halved"])


def test_another_file_than_the_registered_one_is_refused(package):
    """The card names it by its digest."""
    other = OWN.replace("0.25", "0.5").encode()
    with pytest.raises(Rejected, match="not the one that the card names"):
        factory.revive(package.blobs["artefact"], package.card.river.code, other)


@pytest.mark.parametrize(
    ("text", "function", "said"),
    [
        ("def build(:\n", "build", "the file cannot be loaded: SyntaxError"),
        ("1 / 0\n", "build", "the file cannot be loaded: ZeroDivisionError"),
        ("raise SystemExit(3)\n", "build", "the file cannot be loaded: SystemExit"),
        ("import neighbour_of_mine\n", "build", "No module named 'neighbour_of_mine'; only this one file is kept"),
        ("build = 3\n", "build", "the file has no function 'build'"),
        ("def build():\n    pass\n", "make", "the file has no function 'make'"),
        ("def build():\n    pass\n", "build", r"build\(\) returned nothing"),
        ("def build():\n    raise ValueError('no data')\n", "build", r"build\(\) failed: ValueError: no data"),
        ("def build(path):\n    pass\n", "build", r"build\(\) failed: TypeError"),
        ("def build():\n    exit(2)\n", "build", r"build\(\) failed: SystemExit"),
        ("def build():\n    return 'a model'\n", "build", "holds a str"),
        (FITTED, "clustered", "holds a KMeans"),
        (FITTED, "unfitted", "LinearRegression is not fitted"),
        ("x = '" + "x" * factory.MOST_BYTES + "'\n", "build", "a file of code holds at most"),
        ("def build():\n    class Own: pass\n    return Own()\n", "build", "the Own cannot be pickled"),
    ],
)
def test_a_file_that_will_not_do(file, text, function, said):
    """Each is refused with its reason, and the function is named."""
    with pytest.raises(Rejected, match=said) as raised:
        build(file(text, function), sample=None, target=None, trust_pickle=False)
    assert raised.value.message.startswith(f"model.py:{function}: ")


def test_a_file_that_is_missing(tmp_path):
    """With its path."""
    with pytest.raises(Rejected, match=r"nowhere\.py: No such file"):
        build(tmp_path / "nowhere.py:build", sample=None, target=None, trust_pickle=False)


def test_a_broken_file_is_tried_again(file, monkeypatch):
    """What failed once is not kept half loaded."""
    path = file("import os\nif 'WORKS' not in os.environ:\n    raise ValueError('not yet')\ndef build():\n    return 3\n")
    with pytest.raises(Rejected, match="not yet"):
        factory.make(path)
    monkeypatch.setenv("WORKS", "1")
    assert pickle.loads(factory.make(path).data) == 3


def test_a_fitted_estimator_is_compiled(file, tmp_path):
    """As one that came as a file; its code is not needed any more."""
    (tmp_path / "sample.csv").write_text("x,target\n0.0,1\n1.0,3\n")
    package = build(file(FITTED, "plain"), sample=tmp_path / "sample.csv", target="target", trust_pickle=False)
    assert (package.card.format, set(package.blobs), package.card.source) == ("linear", {"artefact", "golden"}, "model.py:plain")
    assert reload(package).predict([[2.0]])[0].value == pytest.approx(5.0)


def test_a_fitted_estimator_with_a_function_of_its_own(file, tmp_path, monkeypatch):
    """It stays a pickle, which finds the function in the file that is kept."""
    (tmp_path / "sample.csv").write_text("x,target\n0.0,1\n1.0,3\n")
    package = build(file(FITTED, "own"), sample=tmp_path / "sample.csv", target="target", trust_pickle=False)
    assert (package.card.format, package.card.river, package.blobs["code"]) == ("pickle", None, FITTED.encode())
    monkeypatch.delitem(sys.modules, factory.module_name(FITTED.encode()))
    assert reload(package).predict([[2.0]])[0].value == pytest.approx(5.0)


def test_names_of_factories():
    """A file and a function in it, wherever it lies."""
    assert [factory.is_factory(Path(name)) for name in ("./churn.py:build", "a/b.py:make", "churn.py", "model.pkl", "c:model.pkl")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_a_model_of_rivers_own_parts(file, tmp_path):
    """Its file is kept all the same: it says how the model was made."""
    write_sample(tmp_path / "sample.csv", phishing())
    text = "from river import linear_model\ndef build():\n    return linear_model.LogisticRegression()\n"
    card = build(file(text), sample=tmp_path / "sample.csv", target="target", trust_pickle=False).card
    assert (card.format, card.river.kind, set(card.blobs)) == ("river", CASES["logistic"].kind, {"artefact", "golden", "code"})


class Panic(BaseException):
    """What an extension written in Rust raises: no Exception."""


def raises(kind, *given):
    raise kind(*given)


class Bad:
    """Raises where it is loaded, and where `here` where it is pickled."""

    def __init__(self, kind, here=False):
        self.kind = kind
        self.here = here

    def __reduce__(self):
        return raises(self.kind, "oh") if self.here else (raises, (self.kind, "oh"))


@pytest.mark.parametrize("kind", [Panic, SystemExit, ValueError, MemoryError])
def test_whatever_a_pickle_raises_is_its_failure(kind):
    """Also what is no Exception; an interrupt is not its doing."""
    with pytest.raises(Rejected, match=f"the model cannot be loaded: {kind.__name__}: oh"):
        factory.revive(pickle.dumps(Bad(kind)), None, None)
    with pytest.raises(Rejected, match=f"the Bad cannot be pickled: {kind.__name__}: oh"):
        factory.dump(Bad(kind, here=True))


def test_an_interrupt_while_it_is_loaded_passes_through():
    """Or being pickled."""
    with pytest.raises(KeyboardInterrupt):
        factory.revive(pickle.dumps(Bad(KeyboardInterrupt)), None, None)
    with pytest.raises(KeyboardInterrupt):
        factory.dump(Bad(KeyboardInterrupt, here=True))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_any_protocol_and_size_is_read(protocol):
    """In frames, in one piece or line by line, and whole."""
    model = {"big": b"x" * 300_000, "text": "ä\n" * 50_000, "many": [(n, n / 7, str(n)) for n in range(20_000)], "class": Bad}
    assert factory.revive(pickle.dumps(model, protocol=protocol), None, None) == model


@pytest.mark.parametrize("protocol", [0, 5])
@pytest.mark.parametrize("left", [0, 1, 7, 100, 70_000])
def test_a_pickle_that_ends_too_soon_is_rejected(protocol, left):
    """Wherever it ends."""
    data = pickle.dumps([(n, str(n)) for n in range(20_000)], protocol=protocol)
    with pytest.raises(Rejected, match="the model cannot be loaded"):
        factory.revive(data[:left], None, None)


def test_others_get_their_turn_while_a_large_pickle_is_read(monkeypatch):
    """It is read by code of Python's, frame by frame: between two of them other threads may run."""
    data = pickle.dumps({n: str(n) for n in range(200_000)}, protocol=5)
    reads = []

    class Counted(factory._Pages):
        def _next(self, size):
            found = super()._next(size)
            reads.append(len(found))
            return found

    monkeypatch.setattr(factory, "_Pages", Counted)
    assert len(factory.revive(data, None, None)) == 200_000
    assert sum(reads) == len(data)
    assert max(reads) < 2 * 65536
