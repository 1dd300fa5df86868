"""Files that pretend to be models. What would execute leaves a canary: the file that a bomb is given."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from onnx import TensorProto, helper
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier
from skops import io as skops_io

from tests.models import onnx_graphs as graphs


class Bomb(NamedTuple):
    """A file, under which format it comes, and what is said of it."""

    format: str
    data: bytes
    reason: str


def pickled(canary: Path) -> bytes:
    """A pickle that creates the canary where it is loaded."""
    return b"cos\nsystem\n(Vtouch " + str(canary).encode() + b"\ntR."


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def schema(**root: object) -> bytes:
    """The description of a skops file."""
    return json.dumps({"protocol": 2, "_skops_version": "0.16.0", **root}).encode()


def members(data: bytes) -> dict[str, bytes]:
    """What is in a skops file."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def ridge() -> bytes:
    """An honest file."""
    return skops_io.dumps(Ridge().fit(np.eye(3), [1.0, 2.0, 3.0]))


def deep() -> bytes:
    """A list in a list, 100,000 times."""
    return b'{"protocol": 2, "content": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def forged(estimator, change) -> bytes:
    """`estimator` as a skops file, its arrays changed in place by `change`."""
    x, y = load_iris(return_X_y=True)
    found = members(skops_io.dumps(estimator.fit(x, y)))
    for name, content in found.items():
        if name.endswith(".npy"):
            array = np.load(io.BytesIO(content))
            change(array)
            buffer = io.BytesIO()
            np.save(buffer, array)
            found[name] = buffer.getvalue()
    return archive(found, zipfile.ZIP_STORED)


def _set(field, value):
    def change(array):
        if array.dtype.names and field in array.dtype.names:
            array[field][0] = value

    return change


def _index(array):
    if array.dtype == np.int64 and array.shape == (150,) and len(np.unique(array)) == 150:
        array[:] = 10**12


FORGED = {
    "a child far beside its tree": lambda: forged(DecisionTreeClassifier(random_state=0), _set("left_child", 10**9)),
    "a walk that never ends": lambda: forged(DecisionTreeClassifier(random_state=0), _set("right_child", 0)),
    "a feature far beside the row": lambda: forged(RandomForestClassifier(2, random_state=0), _set("feature", 10**9)),
    "a histogram's child far beside": lambda: forged(HistGradientBoostingClassifier(max_iter=1), _set("left", 4 * 10**9)),
    "a histogram's feature far beside": lambda: forged(HistGradientBoostingClassifier(max_iter=1), _set("feature_idx", 10**9)),
    "neighbours far beside their rows": lambda: forged(KNeighborsClassifier(algorithm="kd_tree", leaf_size=2), _index),
    "a ball far beside its rows": lambda: forged(KNeighborsClassifier(algorithm="ball_tree", leaf_size=2), _set("idx_end", 10**9)),
    "leaves that are none": lambda: forged(KNeighborsClassifier(algorithm="kd_tree", leaf_size=2), _leafless),
    "more answers than there is room for": lambda: narrowed(),
}
"""Files of types that are all allowed, whose arrays would make compiled code read or write beside its memory."""


def _leafless(array):
    if array.dtype.names and "is_leaf" in array.dtype.names:
        array["is_leaf"][:] = 0


def narrowed() -> bytes:
    """Gradient boosting of three classes that makes room for one answer a row."""
    x, y = load_iris(return_X_y=True)
    model = GradientBoostingClassifier(n_estimators=1, init="zero").fit(x, y)
    model.n_trees_per_iteration_ = 1
    return skops_io.dumps(model)


def elsewhere(location: str) -> bytes:
    """An ONNX graph that keeps its weights in the file `location`."""
    model = graphs.linear()
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    model.graph.initializer[0].external_data.add(key="location", value=location)
    return model.SerializeToString()


def elsewhere_in_a_branch() -> bytes:
    """The same in the branch of an If, in an attribute."""
    weights = helper.make_tensor("w", TensorProto.DOUBLE, [1], [1.0])
    weights.ClearField("double_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="/etc/passwd")
    node = helper.make_node("Constant", [], ["inner"], value=weights)
    branch = helper.make_graph([node], "branch", [], [helper.make_tensor_value_info("inner", TensorProto.DOUBLE, None)])
    model = graphs.linear()
    model.graph.node.append(helper.make_node("If", ["X"], ["y"], then_branch=branch, else_branch=branch))
    return model.SerializeToString()


def foreign() -> bytes:
    """An operator that onnxruntime would need a library for."""
    node = helper.make_node("Run", ["X"], ["value"], domain="attacker")
    model = graphs.model([node], [("X", graphs.DOUBLE, [None, 2])], [("value", graphs.DOUBLE, [None, 1])])
    model.opset_import.append(helper.make_opsetid("attacker", 1))
    return model.SerializeToString()


def huge() -> bytes:
    """Weights that are said to be 8 TB, of which there are 16 bytes."""
    model = graphs.linear()
    model.graph.initializer[0].dims[0] = 2**40
    return model.SerializeToString()


def greedy() -> bytes:
    """Nothing wrong with it, but that an answer takes 4 GB."""
    shape = np.array([2**29], dtype=np.int64)
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["much"], value=helper.make_tensor("v", TensorProto.DOUBLE, [1], [1.0])),
        helper.make_node("ReduceSum", ["much"], ["total"], keepdims=0),
        helper.make_node("MatMul", ["X", "weights"], ["sum"]),
        helper.make_node("Add", ["sum", "total"], ["value"]),
    ]
    ends = [("X", graphs.DOUBLE, [None, 2])], [("value", graphs.DOUBLE, [None, 1])]
    return graphs.model(nodes, *ends, [("shape", shape), ("weights", np.ones((2, 1)))]).SerializeToString()


def endless() -> bytes:
    """Nothing wrong with it, but that an answer takes for ever."""
    inner = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["on"]), helper.make_node("Add", ["value_in", "one"], ["value_out"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value_in", TensorProto.DOUBLE, [None, 1]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value_out", TensorProto.DOUBLE, [None, 1]),
        ],
    )
    nodes = [
        helper.make_node("MatMul", ["X", "weights"], ["sum"]),
        helper.make_node("Loop", ["", "yes", "sum"], ["value"], body=inner),
    ]
    ends = [("X", graphs.DOUBLE, [None, 2])], [("value", graphs.DOUBLE, [None, 1])]
    constants = [("yes", np.array(True)), ("one", np.ones((1, 1))), ("weights", np.ones((2, 1)))]
    return graphs.model(nodes, *ends, constants).SerializeToString()


def bombs(canary: Path) -> dict[str, Bomb]:
    """What is refused wherever it is read."""
    honest, graph = ridge(), graphs.linear().SerializeToString()
    whole = members(honest)
    module = {"__class__": "system", "__module__": "os", "__id__": 1}
    skops = {
        "a pickle": (pickled(canary), "no ZIP archive"),
        "an archive that holds a pickle": (archive({"data.pkl": pickled(canary)}), "schema"),
        "an array that is a pickle": (
            archive({name: pickled(canary) if name.endswith(".npy") else one for name, one in whole.items()}),
            "not a readable",
        ),
        "a name that leaves the archive": (
            archive({**whole, "../../canary.py": b"x"}),
            r"'\.\./\.\./canary\.py', which is nothing that skops writes",
        ),
        "an absolute name": (archive({**whole, str(canary): b"x"}), "nothing that skops writes"),
        "a function to call": (
            archive({"schema.json": schema(**module, __loader__="FunctionNode", content="x")}),
            r"os\.system|not a readable",
        ),
        "an object that calls": (archive({"schema.json": schema(**module, __loader__="ObjectNode", content=None)}), r"os\.system"),
        "a zip bomb": (archive({**whole, "1.npy": bytes(2**28)}), "more than 100 times as many"),
        "a description without end": (
            archive({"schema.json": b"1" + b" " * 2**26}, zipfile.ZIP_STORED),
            "description in the file is longer",
        ),
        "a description too deep": (archive({"schema.json": deep()}), "not a readable"),
        "an unknown type": (
            archive({"schema.json": schema(__class__="E", __module__="evil", __loader__="ObjectNode", __id__=1, content=None)}),
            r"evil\.E",
        ),
        "no archive": (b"PK\x03\x04" + b"x" * 100, "no ZIP archive"),
        "an ONNX file": (graph, "no ZIP archive"),
    }
    onnx = {
        "data in another file": (elsewhere("weights.bin"), "in another file"),
        "data in a file above": (elsewhere("../../store.db"), "in another file"),
        "data in a file of the system": (elsewhere("/etc/passwd"), "in another file"),
        "data elsewhere in a branch": (elsewhere_in_a_branch(), "in another file"),
        "an operator of a stranger's": (foreign(), "operators of 'attacker'"),
        "a tensor that is not there": (huge(), "not a valid ONNX file|cannot load"),
        "not ONNX": (honest, "not a valid ONNX file|passes no checker"),
    }
    cut = {
        f"{name}, {part} quarters of it": (data[: len(data) * part // 4], "no ZIP archive|not a valid ONNX file")
        for name, data in (("skops", honest), ("onnx", graph))
        for part in (1, 2, 3)
    }
    forged_ones = {name: (make(), "tampered with") for name, make in FORGED.items()}
    found = {name: Bomb("skops", *one) for name, one in (skops | forged_ones).items()}
    found.update({name: Bomb("onnx", *one) for name, one in onnx.items()})
    found.update({name: Bomb(name.partition(",")[0], *one) for name, one in cut.items()})
    return found
