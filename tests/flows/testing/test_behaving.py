"""What is said of a check of behaviour that a version cannot be asked."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import Invalid
from core.values import Output
from experiments.batch.figures import Asking
from experiments.batch.suite import Behaviour, Change, Suite
from flows.testing import asking
from flows.testing.behaving import behaviour
from models.package import Loaded
from tests.flows.flow_world import card
from tests.flows.testing.test_asking import Model


@pytest.mark.parametrize("name", ["s", "in", "instances[0]", "age"])
def test_the_feature_may_have_any_name(name: str) -> None:
    """Also one that is part of the words around it: what was expected and what came are told once."""
    one = asking.contestant("m@1", Loaded(card(name), Model(lambda row: Output(value=0.0)), 0.0))
    asked = Suite(invariance=(Behaviour(name, Change(set="red")),))
    with pytest.raises(Invalid) as caught:
        behaviour(one, [[1.0]], asked, None, Asking(0.05, 100, np.random.default_rng(0)))
    said = f"suite: invariance[0]: change: of {name} it makes what the model does not take: expected a number, got"
    assert caught.value.message.startswith(said)
    assert "instances[0]" not in caught.value.message.replace(f"of {name} ", "")
