"""The calculator's methods for two models on the same rows: what they read, and what they print."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from core.errors import Invalid, Refused
from experiments.calculator.pairs import DelongInput, McnemarInput, PairedInput, delong, mcnemar, paired

ROWS = {"labels": [0, 0, 1, 1, 0, 1], "left": [0.1, 0.4, 0.35, 0.8, 0.2, 0.7], "right": [0.2, 0.1, 0.3, 0.25, 0.4, 0.9]}


def read(kind: type[Any], **fields: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(fields), type=kind)


def test_mcnemar() -> None:
    """The table is [[both, only left], [only right, neither]]: rows on which both agree change nothing."""
    found = mcnemar(read(McnemarInput, table=[[794, 150], [86, 570]]))
    assert list(found) == ["p_exact", "p_mid", "log_evidence"]
    assert found["p_exact"] == pytest.approx(3.71594e-5, abs=0.51e-10)
    assert mcnemar(read(McnemarInput, table=[[0, 150], [86, 0]])) == found
    with pytest.raises(Refused, match="no discordant pairs"):
        mcnemar(read(McnemarInput, table=[[9, 0], [0, 9]]))


@pytest.mark.parametrize(
    "table", [[[1, 2]], [[1, 2], [3]], [[1, -2], [3, 4]], [[1, 2.5], [3, 4]], [[1, "2"], [3, 4]], [[1, 10**30], [3, 4]]]
)
def test_mcnemar_reads_counts_only(table: Any) -> None:
    """Two rows of two counts."""
    with pytest.raises(msgspec.ValidationError, match="table"):
        read(McnemarInput, table=table)


def test_delong() -> None:
    """Left − right with both areas; labels may be false and true, or 0.0 and 1.0; a smaller alpha has a wider interval."""
    found = delong(read(DelongInput, **ROWS))
    assert list(found) == ["auc", "difference", "se", "statistic", "p_value", "lower", "upper"]
    assert found["auc"] == pytest.approx([8 / 9, 7 / 9])
    assert found["difference"] == pytest.approx(1 / 9)
    for kind in (bool, float):
        assert delong(read(DelongInput, **{**ROWS, "labels": [kind(label) for label in ROWS["labels"]]})) == found
    assert delong(read(DelongInput, **ROWS, alpha=0.01))["lower"] < found["lower"]
    with pytest.raises(Invalid, match="left: expected one score"):
        delong(read(DelongInput, **{**ROWS, "left": [1.0]}))


def test_paired() -> None:
    """Without clusters each row is a unit, with them each unit; the alternative holds for both p values."""
    rows = [0.5, 1.5, -0.2, 0.4, 2.0, 1.0]
    found = paired(read(PairedInput, differences=rows))
    assert list(found) == ["estimate", "se", "statistic", "df", "p_value", "wilcoxon_p"]
    assert found["df"] == 5
    less = paired(read(PairedInput, differences=rows, alternative="less"))
    assert less["p_value"] == pytest.approx(1.0 - found["p_value"])
    assert found["wilcoxon_p"] == pytest.approx(2 / 64)
    assert less["wilcoxon_p"] > 0.9
    assert paired(read(PairedInput, differences=rows, clusters=["a", "a", "b", 2, 2, 3.5]))["df"] == 3
    with pytest.raises(Refused, match="2 units"):
        paired(read(PairedInput, differences=rows, clusters=[1] * 6))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (PairedInput, {"differences": [1.0, 2.0], "tail": "less"}),
        (PairedInput, {"differences": [1.0, None]}),
        (PairedInput, {"differences": [1.0, 2.0], "clusters": [1, None]}),
        (PairedInput, {"differences": [1.0, 2.0], "alternative": "more"}),
        (DelongInput, {**ROWS, "alpha": 0.0}),
        (DelongInput, {**ROWS, "labels": ["no", "yes"]}),
        (McnemarInput, {}),
    ],
)
def test_what_is_not_expected_is_not_read(kind: type[Any], fields: dict[str, Any]) -> None:
    """Unknown fields and wrong types are errors, never ignored."""
    with pytest.raises(msgspec.ValidationError):
        read(kind, **fields)
