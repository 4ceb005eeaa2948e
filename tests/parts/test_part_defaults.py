"""The settings that parts have if none are given; figures published for a part depend on them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn

from vaelab.distributions import DiscretizedLogistic, LogisticMixture
from vaelab.parts.autoregressive import Autoregressive, fit_autoregressive
from vaelab.parts.flow_posteriors import InverseAutoregressive
from vaelab.parts.flows import Flow
from vaelab.parts.ladder import ConvBlock
from vaelab.parts.likelihoods import (
    CategoricalLevels,
    FixedGaussian,
    LogisticLevels,
    LogisticMixtureLevels,
)

ZEROS = torch.zeros(1, 3)
DEFAULTS = [
    (Autoregressive, (ZEROS, 2), {"width": 128, "layers": 2}),
    (InverseAutoregressive, (3, 1), {"width": 128}),
    (Flow, (3,), {"flow": "coupling", "layers": 4, "width": 64}),
    (ConvBlock, (2, 4, 0, nn.Identity()), {"gain": 1.0}),
    (FixedGaussian, (), {"sigma": 1.0}),
    (LogisticLevels, (), {"levels": 256}),
    (LogisticMixtureLevels, (), {"levels": 256, "components": 5}),
    (CategoricalLevels, (), {"levels": 256}),
    (DiscretizedLogistic, (ZEROS, ZEROS), {"levels": 256}),
    (LogisticMixture, (ZEROS, ZEROS, ZEROS), {"levels": 256}),
]


def defaults(function: Any) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters
    return {k: p.default for k, p in parameters.items() if type(p.default) in (int, float, str)}


@pytest.mark.parametrize(("part", "arguments", "expected"), DEFAULTS)
def test_a_part_has_its_stated_defaults(part: Any, arguments: Any, expected: Any) -> None:
    part(*arguments)
    assert defaults(part) == expected


def test_fit_autoregressive_has_its_stated_defaults() -> None:
    assert defaults(fit_autoregressive) == {"steps": 2000, "batch": 128, "lr": 1e-3}
