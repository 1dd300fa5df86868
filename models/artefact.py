"""Reading a model file: nothing in it is executed before it has been audited.

- `.skops`: a description of objects; the types it names are audited before any is made.
- `.onnx`: data without code; audited in `models.graph`.
- `.json`, `.ubj` of XGBoost and `.txt` of LightGBM: data without code; read in a process of its own by `models.tree_files`.
- `.pkl`, `.pickle`, `.joblib`: a program. Run only where the operator says that its author is trusted.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from core.errors import Rejected

TreeFormat: TypeAlias = Literal["xgboost-json", "xgboost-ubj", "lightgbm"]
Format: TypeAlias = Literal["linear", "onnx", "treelite", "skops", "pickle", "river", "remote", TreeFormat]
"""Of what is stored, or of a user's file.

No user's file is `linear` or `treelite`, which is how files of trees are stored; one of `river` is a pickle, one of `remote` says where
the model is.
"""

FORMATS: dict[str, Format] = {
    ".skops": "skops",
    ".onnx": "onnx",
    ".json": "xgboost-json",
    ".ubj": "xgboost-ubj",
    ".txt": "lightgbm",
    ".pkl": "pickle",
    ".pickle": "pickle",
    ".joblib": "pickle",
}
MOST_BYTES = 2**31 - 1
"""Protocol buffers, and so ONNX graphs, end here; the same limit holds for all formats, unpacked."""


def _under(module: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{module}.{name}" for name in names)


ALLOWED = (
    "functools.partial",  # skops audits the function inside as well
    "numpy.dtype",
    *_under("sklearn._loss.loss", "HalfTweedieLoss", "HalfTweedieLossIdentity"),
    *_under("sklearn.calibration", "_CalibratedClassifier", "_SigmoidCalibration"),
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    *_under("sklearn.feature_selection._univariate_selection", "chi2", "f_classif", "f_regression"),
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *_under("sklearn.gaussian_process.kernels", "ConstantKernel", "DotProduct", "ExpSineSquared", "Exponentiation"),
    *_under("sklearn.gaussian_process.kernels", "Matern", "Product", "RBF", "RationalQuadratic", "Sum", "WhiteKernel"),
    *_under("sklearn.metrics._dist_metrics", "BrayCurtisDistance64", "CanberraDistance64", "ChebyshevDistance64"),
    *_under("sklearn.metrics._dist_metrics", "EuclideanDistance64", "HammingDistance64", "ManhattanDistance64"),
    *_under("sklearn.metrics._dist_metrics", "MinkowskiDistance64"),
    "sklearn.metrics._scorer._PassthroughScorer",
    *_under("sklearn.model_selection._split", "KFold", "StratifiedKFold"),
    *_under("sklearn.neighbors", "_ball_tree.BallTree", "_kd_tree.KDTree"),
    *_under("sklearn.neural_network._stochastic_optimizers", "AdamOptimizer", "SGDOptimizer"),
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils.validation.check_array",
)
"""Types that ordinary estimators hold beside those that skops trusts by itself (scikit-learn's public estimators, numpy).

None of them runs code when it is made or given its state. Frozen distributions of scipy.stats, which a fitted
RandomizedSearchCV holds, are not among them: they `exec` a part of their state. Save its `best_estimator_` instead.
"""


class Source(NamedTuple):
    """A model file as it was read; `digest` is its SHA-256 in hexadecimal.

    `code` is the model's own Python file where it came from a function in it: `data` is then the pickle of what it returned,
    and `digest` the file's.
    """

    name: str
    format: Format
    data: bytes
    digest: str
    code: bytes | None = None


def read(path: Path, *, trust_pickle: bool) -> Source:
    """The file at `path`. Raises Rejected where it cannot be read, is of no known kind, or is a pickle without trust."""
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise Rejected(f"{path.name}: expected a file ending in {', '.join(FORMATS)}, or a function in a Python file (model.py:build)")
    if form == "pickle" and not trust_pickle:
        raise Rejected(
            f"{path.name}: loading a pickle runs whatever code its author put into it. Save the model with skops.io.dump instead,"
            " or register it with --trust-pickle if you trust its author"
        )
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise Rejected(f"{path.name}: {size} bytes; at most {MOST_BYTES} can be registered")
        data = path.read_bytes()
    except OSError as error:
        raise Rejected(f"{path}: {error.strerror or error}") from None
    if not data:
        raise Rejected(f"{path.name}: the file is empty")
    return Source(path.name, form, data, digest(data))


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal, under which a blob is stored."""
    return hashlib.sha256(data).hexdigest()


def load_estimator(data: bytes, form: Format) -> Any:
    """The object in a skops file, after the audit, or in a pickle, which the caller trusts. Raises Rejected."""
    return _load_skops(data) if form == "skops" else _load_pickle(data)


def dump_skops(estimator: Any) -> bytes | None:
    """`estimator` in skops form; None where skops cannot hold it, or the audit would not let it in again."""
    from skops import io as skops_io

    try:
        data: bytes = skops_io.dumps(estimator)
        _load_skops(data)
    except Exception:  # skops raises whatever its parts do; the pickle is kept instead
        return None
    return data


def _load_skops(data: bytes) -> Any:
    from skops import io as skops_io

    try:
        _check_archive(data)
        unknown = sorted(set(skops_io.get_untrusted_types(data=data)) - set(ALLOWED))
    except Rejected:
        raise
    except Exception as error:  # a damaged or forged description fails in any way
        raise Rejected(f"not a readable skops file: {_said(error)}") from None
    if unknown:
        raise Rejected(f"the file holds types that are not allowed: {', '.join(unknown)[:500]}")
    try:
        return skops_io.loads(data, trusted=list(ALLOWED))
    except Exception as error:  # see above
        raise Rejected(f"not a readable skops file: {_said(error)}") from None


def _check_archive(data: bytes) -> None:
    """A skops file is a ZIP archive: raises Rejected where it would unpack to more than the limit."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
            raise Rejected(f"the file unpacks to more than {MOST_BYTES} bytes")


def _load_pickle(data: bytes) -> Any:
    import joblib

    try:
        return joblib.load(io.BytesIO(data))  # reads plain pickles too
    except Exception as error:  # a pickle runs any code, which fails in any way
        raise Rejected(f"the pickle cannot be loaded: {_said(error)}{_advice(error)}") from None


def _advice(error: Exception) -> str:
    """What to do where a pickle names what is not found here: it holds no code, only names."""
    named = isinstance(error, AttributeError | ImportError)
    return ". Code of your own must be installed here, or register a function of its file as FILE.py:FUNCTION" if named else ""


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
