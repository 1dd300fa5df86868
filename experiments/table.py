"""The report for a terminal: plain text of at most 100 columns, the verdict first."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from experiments.text import Data, fitted, grid, number, p_text, span


def table(report: Data) -> str:
    """A report (see `report.report`) as text that ends in a newline."""
    parts = [_head(report), _arms(report), *(_metric(name, metric, report) for name, metric in report["metrics"].items())]
    parts += [_slice(key, found) for key, found in report["slices"].items()]
    parts += [_phases(report), _checks(report), _counts(report), _notes(report)]
    return "\n\n".join("\n".join(row for line in part for row in fitted(line)) for part in parts) + "\n"


def _head(report: Data) -> list[str]:
    """With several treatments each has its line, so the experiment's own reason would say one of them twice."""
    made, treatments = report["looks"]["made"], report["treatments"]
    lines = [f"{report['verdict'].upper()}  experiment {report['experiment']} on endpoint {report['endpoint']}"]
    several = [f"  {arm}: {found['verdict']}: {found['reason']}" for arm, found in treatments.items()] if len(treatments) > 1 else []
    lines += several or [f"  {report['reason']}"]
    looks = f"{made} look{'' if made == 1 else 's'}" + (f", the last at {report['looks']['last']}" if made else "")
    stopped = f", stopped {report['stopped']} ({report['stopped_because']})" if report.get("stopped") else ""
    return [*lines, f"  started {report['started']}{stopped}, now {report['at']}, {looks}"]


def _arms(report: Data) -> list[str]:
    rows = [[arm, c["units"], c["matured"], c["predictions"]] for arm, c in report["arms"].items()]
    return grid(["arm", "units", "matured", "predictions"], rows)


def _metric(name: str, metric: Data, report: Data) -> list[str]:
    matters = [f"{word} {number(metric[word])}" for word in ("mde", "margin") if metric[word] is not None]
    about = ", ".join([metric["role"], _kind(metric), f"to {metric['direction']}", f"window {metric['window_seconds']:g} s", *matters])
    level = f"{1.0 - report['design']['alpha']:.4g}"
    lines = [f"{name} ({about})", *_made_with(metric)]
    rows = [[arm, a["units"], number(a["mean"]), span(a["lower"], a["upper"]), a.get("refused", "")] for arm, a in metric["arms"].items()]
    lines += ["  " + line for line in grid(["arm", "units", "mean", f"{level} interval", ""], rows)]
    for arm, difference in metric["differences"].items():
        lines += ["  " + line for line in _difference(arm, difference, "holds" if metric["role"] == "guardrail" else "better")]
    return lines


def _kind(metric: Data) -> str:
    words = {"ratio": "denominator", "label_loss": "loss", "quantile": "quantile"}
    more = words.get(metric["kind"])
    return f"{metric['kind']}" if more is None else f"{metric['kind']} {metric[more]}"


def _made_with(metric: Data) -> Iterator[str]:
    cap, covariate = metric.get("cap"), metric["covariate"]
    if cap is not None:
        yield f"  values above {number(cap['value'])} count as that ({cap['source']})"
    if covariate is not None:
        explained = covariate["variance_explained"]
        gain = f", explains {explained:.1%} of the variance" if explained is not None else ""
        yield f"  covariate {covariate['name']} ({covariate['estimator']}){gain}{_refused(covariate)}"
    if "values_scanned" in metric:
        yield f"  as of the last look that scanned: {metric['values_scanned']} values"


def _refused(figures: Data) -> str:
    return f": refused, {figures['refused']}" if "refused" in figures else ""


def _difference(arm: str, d: Data, success: str) -> Iterator[str]:
    if "refused" in d:
        yield f"{arm} - control: refused, {d['refused']}"
        yield from _exact(d)
        return
    side = "lower" if d["alternative"] == "greater" else "upper"
    lift = "-" if d["relative"] is None else f"{d['relative']:+.2%}"
    yield f"{arm} - control: {number(d['estimate'], sign=True)} (se {number(d['se'])}), relative {lift}"
    yield (
        f"  {d['method']}: {side} bound {number(d[side], sign=True)}, p {p_text(d['p_value'])}{_since(d['shown'], success)};"
        f" harm: {'upper' if side == 'lower' else 'lower'} bound {number(d['harm']['bound'], sign=True)},"
        f" p {p_text(d['harm']['p_value'])}{_since(d['harm']['shown'], 'worse')}"
    )
    if d.get("interims") and d["method"] == "fixed-horizon":
        yield f"  decided at its horizon: z {number(d['interims'][-1]['z'])}; estimate and se are those of now"
    elif d.get("interims"):
        last = d["interims"][-1]
        made = f"{len(d['interims'])} interim look{'s' if len(d['interims']) > 1 else ''}"
        yield f"  {made}, the last at {last['information']:.1%} of the maximum: z {number(last['z'])}"
    yield from _exact(d)
    if "waiting" in d:
        yield f"  waiting: {d['waiting']}"
    fixed = d["fixed"]
    if "refused" not in fixed:
        p = f"one-sided p {p_text(fixed['p_value'])}" + (" against the margin" if d["compared_with"] else "")
        yield f"  fixed horizon ({fixed['method']}): two-sided {span(fixed['lower'], fixed['upper'])}, {p}"
        if fixed["warning"] is not None and success == "better":
            yield f"    {fixed['warning']}"
    if len(d["by_phase"]) > 1:
        yield from _over_phases(d)


def _exact(d: Data) -> Iterator[str]:
    """The exact test of a binary metric, where it is what decides."""
    found = d.get("exact")
    if found is not None and found.get("decides"):
        converted = ", ".join(f"{arm} {n}" for arm, n in found["converted"].items())
        yield f"  exact test while few convert ({converted}): p {p_text(found['p_value'])}, harm p {p_text(found['harm_p_value'])}"


def _slice(key: str, parts: Data) -> list[str]:
    """By part and metric the difference with its adjusted p value."""
    rows = []
    for part, metrics in parts.items():
        for metric, arms in metrics.items():
            for arm, cell in arms.items():
                figures = _short(cell.get("refused")) or f"{number(cell['estimate'], sign=True)} {span(cell['lower'], cell['upper'])}"
                units = ":".join(str(n) for n in cell["units"].values())
                rows.append([part, metric, arm, units, figures, p_text(cell["adjusted"])])
    if not rows:
        return [f"slice {key}: no unit has matured yet"]
    head = ["part", "metric", "arm", "units", "difference", "p adjusted"]
    return [f"slice {key} (exploratory: it decides nothing)", *("  " + line for line in grid(head, rows))]


def _short(text: str | None) -> str | None:
    return None if text is None else textwrap.shorten(text, 40, placeholder=" …")


def _over_phases(d: Data) -> Iterator[str]:
    population, spread = d["population"], d["heterogeneity"]
    if population is not None:
        differ = "" if "refused" in spread else f"; phases differ: p {p_text(spread['p_value'])}"
        yield f"  over all units: {number(population['estimate'], sign=True)} (se {number(population['se'])}){differ}"
    for row in d["by_phase"]:
        figures = row.get("refused") or f"{number(row['estimate'], sign=True)} (se {number(row['se'])}), share {row['share']:.1%}"
        yield f"  phase {row['phase']}: {figures}"


def _phases(report: Data) -> list[str]:
    rows = []
    for phase in report["phases"]:
        weights = ", ".join(f"{arm} {weight:.1%}" for arm, weight in phase["weights"].items())
        rows.append([phase["phase"], phase["from"], phase["to"] or "now", weights])
    return grid(["phase", "from", "to", "weights"], rows)


def _checks(report: Data) -> list[str]:
    lines = ["checks"]
    for check in report["checks"]:
        p = "" if check["p_value"] is None else f" (p {p_text(check['p_value'])})"
        lines.append(f"  {check['status']:8}{check['name']}{p}: {check['detail']}")
    return lines


def _counts(report: Data) -> list[str]:
    return [f"{name:9} " + ", ".join(f"{key} {count}" for key, count in report[name].items()) for name in ("outcomes", "excluded")]


def _notes(report: Data) -> list[str]:
    return list(report["notes"])


def _since(shown: Data | None, what: str) -> str:
    return "" if shown is None else f" ({what} since look {shown['look']})"
