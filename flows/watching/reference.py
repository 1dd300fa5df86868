"""What rows of a version are compared with: the columns of its profile, as far as they can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from core.values import Label, Output, Row
from experiments import losses
from experiments.drift.decay import DecayLoss
from experiments.drift.judging import LEAST_VALUES
from flows.watching.losses import loss_of, measured
from models.card import Card
from models.drift.columns import Category, Column, column
from models.drift.tally import Layout, Tally
from models.profile import Profile
from models.signature import Signature

PROBABILITY = "probability of "
LEARNS = "it learns while it serves, so what it answers is to change: only its features are compared"
LEARNT = "it has learnt since its sample was answered, so what it answers is not that: only its features are compared"
NO_LABELS = "its labels are not compared: its profile has no target column"


class Reference(NamedTuple):
    """Of one version. `places` are those of the compared features in its rows; after them come the `outputs` by name.

    `labels` has the target and the loss, where they are compared. `repeats` is the probability that two rows of the sample are the
    same. `notes` say what is not compared, and why.
    """

    signature: Signature
    layout: Layout
    places: tuple[int, ...]
    outputs: tuple[str, ...]
    labels: Layout | None
    loss: DecayLoss
    repeats: float
    notes: tuple[str, ...]

    def tally(self, rows: Sequence[Row], outputs: Sequence[Output]) -> Tally:
        """The tally of rows, in the order of the signature, and of what was answered to them."""
        columns = tuple(zip(*rows, strict=True))
        answered = [[answer(name, output) for output in outputs] for name in self.outputs]
        return self.layout.count(len(rows), [*(columns[place] for place in self.places), *answered])

    def tally_labels(self, layout: Layout, rows: Sequence[Row], outputs: Sequence[Output], labels: Sequence[Label]) -> Tally:
        """The tally of labelled rows: of the labels, and of how far the answers were from them. Its keys are those of the rows."""
        target = layout.columns[0]
        classes = self.signature.classes or ()
        truths = [class_name(label, classes) if isinstance(target, Category) else number_of(label) for label in labels]
        found = layout.count(len(rows), [truths, measured(self.loss, outputs, labels)][: len(layout.columns)])
        found.keys = self.tally(rows, outputs).keys
        return found


def reference(card: Card) -> Reference | str:
    """What is compared of a version, or why nothing is."""
    profile = card.profile
    if profile is None:
        return "no reference: it was registered without a sample"
    if profile.rows < LEAST_VALUES:
        return f"no reference: its sample has {profile.rows} rows, {LEAST_VALUES} are needed"
    features = {place: column(name, profile.features[name]) for place, name in enumerate(card.signature.names)}
    known = {place: one for place, one in features.items() if one is not None}
    left = [card.signature.names[place] for place in features if place not in known]
    changed = _changed(card)
    outputs = [] if changed else _outputs(profile)
    labels = None if changed else _labels(card, profile)
    notes = [f"not compared, too little was kept of the sample: {', '.join(left)}"] if left else []
    notes += [changed] if changed else [] if labels else [NO_LABELS]
    return Reference(
        signature=card.signature,
        layout=Layout([*known.values(), *outputs], len(known)),
        places=tuple(known),
        outputs=tuple(one.name for one in outputs),
        labels=labels,
        loss=loss_of(card.signature),
        repeats=profile.repeats,
        notes=tuple(notes),
    )


def _changed(card: Card) -> str | None:
    """Why a version does not answer as it did when its sample was profiled; None where it does."""
    if card.learns:
        return LEARNS
    return LEARNT if card.river is not None and card.river.learnt is not None else None


def _outputs(profile: Profile) -> list[Column]:
    """All that the model answers; of two classes one probability, since the other says the same."""
    probabilities = [name for name in profile.outputs if name.startswith(PROBABILITY)]
    said_already = probabilities[:1] if len(probabilities) == 2 else []
    found = (column(name, one) for name, one in profile.outputs.items() if name not in said_already)
    return [one for one in found if one is not None]


def _labels(card: Card, profile: Profile) -> Layout | None:
    target = None if profile.target is None else column("label", profile.target)
    if target is None:
        return None
    losses_of = profile.losses.get(loss_of(card.signature))
    loss = None if losses_of is None else column("loss", losses_of)
    return Layout([target] if loss is None else [target, loss], 0)


def answer(name: str, output: Output) -> object:
    """What an output says in a column of the profile; None where it says nothing."""
    if name == "value":
        return output.value if isinstance(output.value, float | int) else None
    if name == "label":
        return output.label if isinstance(output.label, str | int | float) else None
    return output.probabilities.get(name.removeprefix(PROBABILITY)) if isinstance(output.probabilities, dict) else None


def class_name(label: Label, classes: Sequence[Label]) -> str:
    """How the sample's target names the class: clients may send 1, 1.0, true or "1" for the class 1."""
    return str(next((one for one in classes if losses.same(one, label)), label))


def number_of(label: Label) -> float | None:
    """A label as a number; None for text that is none."""
    try:
        return float(label)
    except ValueError:
        return None
