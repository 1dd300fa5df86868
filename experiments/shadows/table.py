"""The report on a shadow for a terminal: plain text of at most 100 columns, the verdict first."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.shadows.verdict import NAMES
from experiments.text import Data, fitted, grid, number, p_text, span


def table(report: Data) -> str:
    """A report (see `shadow_report.report`, with the counts of the shadow's status) as text that ends in a newline."""
    parts = [_head(report), list(_answers(report)), list(_latency(report["latency"])), list(_loss(report))]
    parts += [list(_right(report["right"])), list(_auc(report["auc"])), list(report["notes"])]
    return "\n\n".join("\n".join(row for line in part for row in fitted(line)) for part in parts if part) + "\n"


def _head(report: Data) -> list[str]:
    counts = ", ".join(f"{report[name]} {name}" for name in ("mirrored", "done", "dropped", "waiting"))
    return [
        f"{report['verdict'].upper()}  shadow {report['shadow']} ({report['version']}) on endpoint {report['endpoint']}",
        f"  {report['reason']}",
        f"  requests: {counts}, {report['lag_seconds']:.3g} s behind",
    ]


def _answers(report: Data) -> Iterator[str]:
    agreement, errors = report["agreement"], report["errors"]
    if agreement is not None:
        yield f"agreement  {_share(agreement)}"
    if report["mean_difference"] is not None:
        yield f"mean difference of answers  {number(report['mean_difference'])}"
    if errors["of"]:
        yield f"errors     {_share(errors)}" + (f", the last: {errors['last']}" if errors["last"] else "")


def _share(found: Data) -> str:
    return f"{found['share']:.2%} ({found['number']} of {found['of']}), .95 interval [{found['lower']:.2%}, {found['upper']:.2%}]"


def _latency(found: Data) -> Iterator[str]:
    yield f"latency    {found['reason']}"
    if found["mean"] is None:
        return
    rows = [["primary", _ms(found["primary_mean"]), *[""] * len(found["quantiles"])]]
    rows.append(["shadow", _ms(found["mean"]), *map(_between, found["quantiles"].values())])
    yield from ("  " + line for line in grid(["ms", "mean", *found["quantiles"]], rows))
    d = found["difference"]
    if "refused" not in d:
        bounds = f"[{_ms(d['lower'])}, {_ms(d['upper'])}]"
        yield f"  difference {_ms(d['estimate'])} (se {_ms(d['se'])}), always-valid {bounds}, p {p_text(d['p_value'])}"


def _ms(seconds: float) -> str:
    return number(1000.0 * seconds)


def _between(bounds: tuple[float, float | None] | None) -> str:
    if bounds is None:
        return "-"
    lower, upper = bounds
    return f"over {_ms(lower)}" if upper is None else f"{_ms(lower)} to {_ms(upper)}"


def _loss(report: Data) -> Iterator[str]:
    labels, loss, looks = report["labels"], report["loss"], report["looks"]
    last = f", the last at {looks['last']}" if looks["made"] else ""
    yield (
        f"labels     {labels['rows']} rows of {labels['units']} units, {labels['failed']} failed, {labels['unlike']} without a common loss;"
        f" {looks['made']} looks{last}"
    )
    if loss["name"] is None:
        return
    yield f"{NAMES[loss['name']]}: primary {number(loss['primary'])}, shadow {number(loss['shadow'])}"
    s, fixed = loss["sequential"], loss["fixed"]
    if s["estimate"] is not None:
        yield f"  at the last look: {_test(s)}, always-valid p {p_text(s['p_value'])}"
    if "refused" in fixed:
        yield f"  at one moment: refused, {fixed['refused']}"
    else:
        yield f"  at one moment: {_test(fixed)}, t test p {p_text(fixed['p_value'])}, Wilcoxon p {p_text(fixed['wilcoxon_p'])}"


def _test(found: Data) -> str:
    return f"{number(found['estimate'], sign=True)} (se {number(found['se'])}), {span(found['lower'], found['upper'])}"


def _right(found: Data | None) -> Iterator[str]:
    if found is None:
        return
    yield f"right or wrong: {found['reason']}"
    (both, primary), (shadow, neither) = found["table"]
    yield f"  both right {both}, only primary {primary}, only shadow {shadow}, both wrong {neither}"
    if "refused" not in found["fixed"]:
        yield f"  at one moment: McNemar exact p {p_text(found['fixed']['p_exact'])}, mid-p {p_text(found['fixed']['p_mid'])}"


def _auc(found: Data | None) -> Iterator[str]:
    if found is None:
        return
    if "refused" in found:
        yield f"AUC: refused, {found['refused']}"
        return
    d = found["difference"]
    yield f"AUC on the first labelled row of {found['rows']} units: primary {number(found['primary'])}, shadow {number(found['shadow'])}"
    yield f"  at one moment: {_test(d)}, DeLong p {p_text(d['p_value'])}"
