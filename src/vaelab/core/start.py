"""Initial outputs of a decoder: an untrained model starts at the marginal of its data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import Tensor

from vaelab.core.model import VAE


@runtime_checkable
class StartsAtMarginal(Protocol):
    """Likelihood with a decoder output h that gives about the marginal of given rows."""

    def marginal(self, x: Tensor) -> Tensor:
        """Set learned scales from rows x (N, C, …), and return h, (params · C, …)."""


@runtime_checkable
class OutputLayer(Protocol):
    """Last layer of a decoder, whose bias is its output for an example without features."""

    def start_at(self, marginal: Callable[[Tensor], Tensor], x: Tensor) -> None:
        """Set the bias to `marginal` of rows x (N, C, …), unless it has been trained."""


def start_at_marginal(model: VAE, x: Tensor) -> None:
    """Start an untrained model at the marginal distribution of its data.

    A network then learns how examples differ from their mean, without spending its first epochs on
    the mean itself. Models whose decoder has no `OutputLayer`, whose likelihood has no `marginal`,
    or which have been trained before stay as they are.

    Args:
        model: model, changed in place.
        x: training rows (N, C, …) at the model's scale.
    """
    likelihood = getattr(model.generator, "likelihood", None)
    if isinstance(likelihood, StartsAtMarginal):
        for layer in model.generator.modules():
            if isinstance(layer, OutputLayer):
                layer.start_at(likelihood.marginal, x)
