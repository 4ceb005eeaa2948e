"""The settings that objectives have if none are given: those of their papers."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from torch import nn

from vaelab.objectives import Rate
from vaelab.objectives.adversary import Critic, CriticFeatures, CriticPriorMatch
from vaelab.objectives.aggregate import SplitRate
from vaelab.objectives.bounds import (
    CombinedBound,
    DoublyReparameterised,
    ImportanceWeighted,
    MultiplyImportanceWeighted,
    PartiallyImportanceWeighted,
)
from vaelab.objectives.constraint import Constraint
from vaelab.objectives.perceptual import FeatureDistortion, StructuralDistortion

FEATURES = (Critic(nn.Identity(), 2), lambda draw: None, 1.0)
DEFAULTS = [
    (CriticPriorMatch, (nn.Identity(),), {"noise": 0.0}),
    (CriticFeatures, FEATURES, {"noise": 0.0, "sigma": 1.0}),
    (SplitRate, (9,), {"index_code": 1.0, "total_correlation": 1.0, "dimension_wise": 1.0}),
    (ImportanceWeighted, (), {"samples": 50}),
    (DoublyReparameterised, (), {"samples": 50}),
    (MultiplyImportanceWeighted, (), {"bounds": 5, "samples_each": 10}),
    (PartiallyImportanceWeighted, (), {"bounds": 5, "samples_each": 10}),
    (CombinedBound, (), {"samples": 50, "share": 0.05}),
    (Constraint, (Rate(), 3.0), {"speed": 0.02, "memory": 0.9}),
    (StructuralDistortion, (), {"data_range": 1.0}),
    (FeatureDistortion, (nn.Identity(),), {"sigma": 1.0}),
]


@pytest.mark.parametrize(("objective", "arguments", "expected"), DEFAULTS)
def test_an_objective_has_its_stated_defaults(
    objective: Any, arguments: Any, expected: dict[str, float]
) -> None:
    objective(*arguments)
    parameters = inspect.signature(objective).parameters
    assert {k: p.default for k, p in parameters.items() if p.default is not p.empty} == expected
