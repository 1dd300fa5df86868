"""Suites: what a file can say, and what is said of a file that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import Invalid, Malformed
from experiments.batch import suite
from experiments.batch.figures import BETTER
from experiments.batch.suite import Behaviour, Change, Latency, Memory, Suite, Threshold, other, parse, read, require

WHOLE = """
alpha: 0.1
against: champion
positive: "yes"
slices: [city, age]
thresholds:
  - {metric: accuracy, min: 0.8}
  - {metric: log_loss, max: 0.5, at: bound}
  - {metric: accuracy, min: 0.7, slice: city=Rome}
  - {metric: accuracy, min: 0.6, per_slice: true}
  - {metric: auc, not_worse_than: champion}
  - {metric: auc, not_worse_than: champion, margin: 0.01}
invariance:
  - {feature: name, change: {replace: {Anna: Otto}}}
directional:
  - {feature: income, change: {times: 1.1}, answer: not_fall, label: "yes", share: 0.99, tolerance: 0.001}
latency: {p99_ms: 5, times_champion: 2}
memory: {peak_mb: 200}
"""


def test_a_whole_suite(tmp_path: Path) -> None:
    """Everything that a suite can say, and the file's bytes."""
    path = tmp_path / "suite.yaml"
    path.write_text(WHOLE)
    found, content = read(path)
    assert content == WHOLE.encode()
    assert found == Suite(
        alpha=0.1,
        against="champion",
        positive="yes",
        slices=("city", "age"),
        thresholds=(
            Threshold("accuracy", min=0.8),
            Threshold("log_loss", max=0.5, at="bound"),
            Threshold("accuracy", min=0.7, slice="city=Rome"),
            Threshold("accuracy", min=0.6, per_slice=True),
            Threshold("auc", not_worse_than="champion"),
            Threshold("auc", not_worse_than="champion", margin=0.01),
        ),
        invariance=(Behaviour("name", Change(replace={"Anna": "Otto"})),),
        directional=(Behaviour("income", Change(times=1.1), "not_fall", "yes", 0.001, 0.99),),
        latency=Latency(p99_ms=5, times_champion=2),
        memory=Memory(peak_mb=200),
    )
    assert other(found) == "champion"


def test_keys_of_replace_are_texts() -> None:
    """Whatever YAML makes of them."""
    found = parse(yaml.safe_load("invariance: [{feature: x, change: {replace: {3: 2, yes: no, null: 0, 0.5: a, red: blue}}}]"))
    assert found.invariance[0].change.replace == {"3": 2, "true": False, "null": 0, "0.5": "a", "red": "blue"}


def test_an_anchor_that_contains_itself(tmp_path: Path) -> None:
    """Is no suite, and no endless one."""
    (tmp_path / "suite.yaml").write_text("slices: &a [*a]")
    with pytest.raises((Invalid, Malformed)):
        read(tmp_path / "suite.yaml")


def test_the_page() -> None:
    """The suite on the page can be read, and the page names every metric."""
    page = (Path(__file__).parents[3] / "docs/testing.md").read_text()
    found = parse(yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0]))
    assert found.thresholds
    assert found.invariance
    assert found.directional
    assert all(f"`{name}`" in page for name in BETTER)


def test_an_empty_file_asks_nothing(tmp_path: Path) -> None:
    """Nor does an empty document."""
    path = tmp_path / "suite.yaml"
    path.write_text("# nothing yet\n")
    assert read(path)[0] == suite.EMPTY
    assert other(suite.EMPTY) is None


BEHAVIOUR = "feature: x, change: {add: 1}"


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("thresholds: [{metric: acc, min: 1}]", "thresholds[0].metric", "one of accuracy"),
        ("thresholds: [{metric: auc}]", "thresholds[0]", "min, max, or not_worse_than"),
        ("thresholds: [{metric: auc, min: 0.1, not_worse_than: champion}]", "thresholds[0]", "min, max, or not_worse_than"),
        ("thresholds: [{metric: auc, min: high}]", "thresholds[0].min", "expected `float | null`, got `str`"),
        ("thresholds: [{metric: auc, min: .nan}]", "thresholds[0].min", "finite"),
        ("thresholds: [{metric: auc, min: 2, max: 1}]", "thresholds[0]", "min to be at most max"),
        ("thresholds: [{metric: auc, min: 1, margin: 1}]", "thresholds[0].margin", "beside not_worse_than"),
        ("thresholds: [{metric: auc, not_worse_than: champion, margin: 0}]", "thresholds[0].margin", "above 0"),
        ("thresholds: [{metric: auc, not_worse_than: a}, {metric: f1, not_worse_than: b}]", "thresholds", "one version"),
        ("against: a\nthresholds: [{metric: auc, not_worse_than: b}]", "thresholds", "one version"),
        ("thresholds: [{metric: auc, not_worse_than: a, per_slice: true}]", "thresholds[0]", "of all rows"),
        ("thresholds: [{metric: auc, min: 1, slice: Rome}]", "thresholds[0].slice", "COLUMN=SLICE"),
        ("thresholds: [{metric: auc, min: 1, at: low}]", "thresholds[0].at", "'low'"),
        ("thresholds: [{metric: auc, min: 1, wat: 1}]", "thresholds[0]", "`wat`"),
        ("alpha: 0", "alpha", "above 0"),
        ("alpha: 0.5", "alpha", "below 0.5"),
        ("slices: [a, a]", "slices", "once"),
        ("- 1", "document", "expected `object`"),
        ("nonsense: 1", "document", "`nonsense`"),
        ("on: 1", "document", "expected `str` as a key"),
        ("invariance: [{feature: x, change: {}}]", "invariance[0].change", "got 0"),
        ("invariance: [{feature: x, change: {set: 1, add: 1}}]", "invariance[0].change", "got 2"),
        ("invariance: [{feature: x, change: {noise: 0}}]", "invariance[0].change.noise", "above 0"),
        ("invariance: [{feature: x, change: {add: .inf}}]", "invariance[0].change.add", "finite"),
        (f"invariance: [{{{BEHAVIOUR}, tolerance: -1}}]", "invariance[0].tolerance", "from 0"),
        (f"invariance: [{{{BEHAVIOUR}, share: 0}}]", "invariance[0].share", "above 0"),
        (f"invariance: [{{{BEHAVIOUR}, answer: not_fall}}]", "invariance[0]", "directional"),
        (f"directional: [{{{BEHAVIOUR}}}]", "directional[0].answer", "not_fall or not_rise"),
        ("latency: {p99_ms: 0}", "latency.p99_ms", "above 0"),
        ("memory: {peak_mb: .nan}", "memory.peak_mb", "finite"),
        ("slices: &a [a, [b]]", "slices[1]", "expected `str`"),
    ],
)
def test_what_will_not_do(text: str, place: str, said: str) -> None:
    """Names the place in the file and what was expected."""
    with pytest.raises(Invalid) as caught:
        parse(yaml.safe_load(text))
    assert caught.value.message.startswith(f"suite: {place}: "), caught.value.message
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"a: [", Malformed, "not readable as YAML"),
        (b"\xff\xfe\x00", Malformed, "not readable as YAML"),
        (b"a: !!python/object/apply:os.system [ls]", Malformed, "not readable as YAML"),
        (None, Invalid, "No such file"),
    ],
)
def test_no_suite(tmp_path: Path, content: bytes | None, error: Any, said: str) -> None:
    """A file that is none, or that would run something, is refused in one line."""
    path = tmp_path / "suite.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=said) as caught:
        read(path)
    assert "\n" not in caught.value.message


def test_required_on_the_command_line() -> None:
    """At least, or at most."""
    assert require("accuracy>=0.8") == Threshold("accuracy", min=0.8)
    assert require(" rmse <= 6e1 ") == Threshold("rmse", max=60.0)


@pytest.mark.parametrize(
    "text", ["accuracy", "accuracy=0.8", "accuracy>0.8", "acc>=0.8", "accuracy>=high", "accuracy>=nan", "f1>=.5<=.6", ""]
)
def test_what_cannot_be_required(text: str) -> None:
    """Is said with what was given."""
    with pytest.raises(Invalid, match=r"^require: expected"):
        require(text)
