"""Decoding of posterior means beside that of posterior draws.

A decoder is trained on draws of q(z|x). In many dimensions these lie on a shell around the mean,
and a short training leaves it open what the mean itself decodes to: reconstructions, which decode
the mean, may then be far worse than what was trained.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vaelab.core import VAE, Condition
from vaelab.distributions import Distribution

DRAWS = 4
ASTRAY = 0.1
"""Share of the data's variance by which the error at the mean may exceed that of draws."""


@torch.no_grad()
def excess_at_mean(
    model: VAE,
    x: Tensor,
    condition: Condition,
    decoded: Callable[[Distribution], Tensor],
    target: Tensor,
) -> Tensor:
    """Squared error of decode(mean) less that of decode(draw), for each row, (N,).

    The unit is the mean squared deviation of the rows from their centre. Negative for a trained
    model, as a draw adds noise to its mean.

    Args:
        model: the model, on the device of `x`.
        x: rows at model scale, (N, …).
        condition: conditions of the rows.
        decoded: from a likelihood to the decoded rows, (N, …), of the shape of `target`.
        target: the rows that decoded ones are compared with, (N, …).
    """

    def error(temperature: float) -> Tensor:
        made = decoded(model(x, 1, temperature, condition).likelihood)
        return (made - target).flatten(1).square().sum(1)

    draws = torch.stack([error(1.0) for _ in range(DRAWS)]).mean(0)
    deviation = (target - target.mean(0)).flatten(1).square().sum(1).mean()
    return (error(0.0) - draws) / deviation.clamp(min=1e-12)
