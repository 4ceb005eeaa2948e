r"""Importance-weighted bounds on the evidence, and estimators of their gradients.

log p(x) ≥ L_K = E log (1/K) Σ_k w_k,   w_k = p(x, z_k) / q(z_k|x)        (Burda 1509.00519)

With w̃_k = w_k / Σ_j w_j, ∇ L_K = E Σ_k w̃_k ∇ log w_k. As K grows, the signal-to-noise ratio of
the encoder's gradient falls (Rainforth 1802.04537). Remedies:

    MIWAE(M, K)   (1/M) Σ_m L_K^(m)              M bounds of K draws each: looser and less noisy
    CIWAE(K, β)   β ELBO + (1 − β) L_K
    PIWAE(M, K)   the decoder follows L_MK, the encoder MIWAE(M, K)
    DReG          Σ_k w̃_k² ∂_z log w_k ∂_φ z_k   the same gradient of L_K for the encoder, with a
                  variance that falls with K (Tucker 1810.04152); for K = 1, sticking the landing
                  (Roeder 1703.09194)

The reported value is always the bound itself, whatever the estimator of its gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaelab.core import Trace
from vaelab.objectives.steered import detached, steer
from vaelab.objectives.terms import Loss, Objective


class ImportanceWeighted(Objective):
    """Importance-weighted bound −L_K; K = 1 is −ELBO with an estimated rate.

    Reference: Importance Weighted Autoencoders, Burda et al., 2015, arXiv:1509.00519.

    >>> ImportanceWeighted(samples=5).formula
    '−L_K'

    Args:
        samples: number of draws K ≥ 1.
    """

    symbol = "−L_K"

    def __init__(self, samples: int = 50) -> None:
        super().__init__()
        self.samples = counted(samples)

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        nats = -log_mean_exp(trace.log_weights(x))
        return Loss(nats, {"importance_weighted": nats})


class MultiplyImportanceWeighted(Objective):
    """Mean of M importance-weighted bounds, −(1/M) Σ_m L_K^(m) (MIWAE).

    Reference: Tighter Variational Bounds are Not Necessarily Better, Rainforth et al., 2018,
    arXiv:1802.04537.

    >>> MultiplyImportanceWeighted(bounds=2, samples_each=5).samples
    10

    Args:
        bounds: number of bounds M ≥ 1.
        samples_each: draws per bound K ≥ 1; an example takes M·K draws.
    """

    def __init__(self, bounds: int = 5, samples_each: int = 10) -> None:
        super().__init__()
        self.bounds = counted(bounds, "bounds")
        self.samples = self.bounds * counted(samples_each, "samples_each")

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        log_w = trace.log_weights(x).unflatten(0, (self.bounds, -1))
        nats = -log_mean_exp(log_w, 1).mean(0)
        return Loss(nats, {"multiply_importance_weighted": nats})


class CombinedBound(Objective):
    """Convex combination −[β ELBO + (1 − β) L_K], both from the same K draws (CIWAE).

    Reference: Tighter Variational Bounds are Not Necessarily Better, Rainforth et al., 2018,
    arXiv:1802.04537.

    >>> CombinedBound(samples=5, share=0.5).samples
    5

    Args:
        samples: number of draws K ≥ 1.
        share: share β ∈ [0, 1] of the ELBO; 0 gives L_K.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(self, samples: int = 50, share: float = 0.05) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"share is {share}; the ELBO's share of the bound lies in [0, 1]")
        self.samples, self.share = counted(samples), share

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        log_w = trace.log_weights(x)
        nats = -(self.share * log_w.mean(0) + (1 - self.share) * log_mean_exp(log_w))
        return Loss(nats, {"combined_bound": nats})


class PartiallyImportanceWeighted(Objective):
    """Bound −L_MK whose encoder follows the gradient of MIWAE(M, K) instead (PIWAE).

    The model needs a `ReweightedPosterior`.

    Reference: Tighter Variational Bounds are Not Necessarily Better, Rainforth et al., 2018,
    arXiv:1802.04537.

    >>> PartiallyImportanceWeighted(bounds=2, samples_each=5).samples
    10

    Args:
        bounds: number of bounds M ≥ 1.
        samples_each: draws per bound K ≥ 1; an example takes M·K draws.
    """

    def __init__(self, bounds: int = 5, samples_each: int = 10) -> None:
        super().__init__()
        self.bounds = counted(bounds, "bounds")
        self.samples = self.bounds * counted(samples_each, "samples_each")

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        log_w = trace.log_weights(x)
        apart = torch.softmax(log_w.unflatten(0, (self.bounds, -1)), 1).flatten(0, 1) / self.bounds
        nats = steer(trace, log_w, -log_mean_exp(log_w), torch.softmax(log_w, 0), apart)
        return Loss(nats, {"importance_weighted": nats})


class DoublyReparameterised(Objective):
    """Bound −L_K with the doubly reparameterized gradient for the encoder (DReG).

    The decoder and the prior receive their gradient under `ImportanceWeighted`. The model needs a
    `ReweightedPosterior`.

    Reference: Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives, Tucker et al.,
    2018, arXiv:1810.04152.

    >>> DoublyReparameterised(samples=5).samples
    5

    Args:
        samples: number of draws K ≥ 1.
    """

    def __init__(self, samples: int = 50) -> None:
        super().__init__()
        self.samples = counted(samples)

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        log_w = trace.log_likelihood(x)
        for site in trace.sites:
            # The score of log q is dropped: in expectation it equals the path gradient through z.
            log_w = log_w + site.prior.log_prob(site.z) - detached(site.posterior).log_prob(site.z)
        log_w = trace.unfold(log_w)
        share = torch.softmax(log_w, 0)
        nats = steer(trace, log_w, -log_mean_exp(log_w), share, share**2)
        return Loss(nats, {"importance_weighted": nats})


def log_mean_exp(log_w: Tensor, dim: int = 0) -> Tensor:
    """Return log (1/K) Σ_k exp(log_w) over one axis: (K, B) → (B,).

    >>> log_mean_exp(torch.tensor([[0.0], [0.0]]))
    tensor([0.])
    """
    return torch.logsumexp(log_w, dim) - math.log(log_w.shape[dim])


def counted(n: int, name: str = "samples") -> int:
    """Validate a number of draws or bounds: at least 1."""
    if n < 1:
        raise ValueError(f"{name} is {n}; the bound needs at least 1")
    return n
