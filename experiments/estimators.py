"""From the summaries of a metric to estimates: what each kind does with its values, covariate or denominator.

A kind is a summary whose mean is the estimate of an arm and whose variance / n is the square of its standard error (Lin's regression, of
both arms at once, gives the difference). Phases, sequential tests and intervals are then the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import Refused
from experiments.methods import covariate, ratio
from experiments.methods.joint import Joint, merge
from experiments.methods.strata import Strata, compare
from experiments.methods.summary import EMPTY, LARGEST, Summary, stack
from experiments.metric import Metric


def level(metric: Metric, joint: Joint) -> Summary:
    """One arm, or all together, without adjustment. Raises Refused where a ratio has no denominator."""
    return ratio.linearised(joint) if metric.kind == "ratio" else joint.y


def blinded(metric: Metric, pooled: Joint) -> Summary:
    """All arms together, with the variance that the test will have: less where a covariate explains some of it. Raises Refused."""
    if metric.covariate is None:
        return level(metric, pooled)
    return covariate.adjusted(pooled, covariate.theta([pooled]), pooled.x.mean)


def levels(metric: Metric, control: Joint, treatment: Joint) -> tuple[Summary, Summary]:
    """Both arms of one phase, adjusted to the mean covariate of both; EMPTY where the phase allows no estimate.

    Values whose squares overflow are kept as what they are: every statistic of them is refused, where a phase left out would go unseen.
    """
    try:
        return _levels(metric, control, treatment)
    except Refused:
        if any(max(joint.y.m2, joint.x.m2) >= LARGEST for joint in (control, treatment)):
            return Summary(control.n, 0.0, LARGEST), Summary(treatment.n, 0.0, LARGEST)
        return EMPTY, EMPTY


def strata(metric: Metric, control: Sequence[Joint], treatment: Sequence[Joint]) -> Strata:
    """The comparison of both arms inside each phase."""
    if metric.covariate is not None and metric.estimator == "lin":
        return covariate.lin_strata(control, treatment)
    pairs = [levels(metric, *joints) for joints in zip(control, treatment, strict=True)]
    return compare(stack([left for left, _ in pairs]), stack([right for _, right in pairs]))


def obstacle(metric: Metric, control: Joint, treatment: Joint) -> str | None:
    """Why a phase with 2 units or more in both arms weighs nothing; None where it has fewer, or weighs something."""
    if min(control.n, treatment.n) < 2:
        return None
    try:
        if metric.covariate is not None and metric.estimator == "lin":
            covariate.lin(control, treatment)
        else:
            _levels(metric, control, treatment)
    except Refused as refusal:
        return refusal.message
    return None


def refusal(metric: Metric, control: Sequence[Joint], treatment: Sequence[Joint]) -> str:
    """Why there is no estimate where every phase weighs nothing: the first obstacle, else the want of units."""
    found = (obstacle(metric, *joints) for joints in zip(control, treatment, strict=True))
    return next(filter(None, found), "no phase has 2 matured units in both arms")


def _levels(metric: Metric, control: Joint, treatment: Joint) -> tuple[Summary, Summary]:
    if metric.covariate is None:
        return level(metric, control), level(metric, treatment)
    theta, centre = covariate.theta([control, treatment]), merge(control, treatment).x.mean
    return covariate.adjusted(control, theta, centre), covariate.adjusted(treatment, theta, centre)
