r"""Bounds on the evidence tighter than the ELBO.

log p(x) ≥ L_K = E log (1/K) Σ_k p(x, z_k) / q(z_k|x)        (Burda et al., 1509.00519)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaelab.objectives.terms import Loss, Objective
from vaelab.walk import Trace


class ImportanceWeighted(Objective):
    """−L_K, the importance-weighted bound; K = 1 is −ELBO with the rate estimated.

    Args:
        samples: K ≥ 1.
    """

    def __init__(self, samples: int = 50) -> None:
        super().__init__()
        if samples < 1:
            raise ValueError(f"samples is {samples}; the bound needs at least 1")
        self.samples = samples

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        nats = -log_mean_exp(trace.log_weights(x))
        return Loss(nats, {"importance_weighted": nats})


def log_mean_exp(log_w: Tensor) -> Tensor:
    """log (1/K) Σ_k exp(log_w): (K, B) → (B,)."""
    return torch.logsumexp(log_w, 0) - math.log(log_w.shape[0])
