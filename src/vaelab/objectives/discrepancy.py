r"""Kernel discrepancy between the aggregate posterior and the prior.

    MMD²(q(z), p(z)) = E k(z, z') + E k(p, p') − 2 E k(z, p)       (Gretton et al. 2012)

with z the codes of a batch and p as many draws of the prior; the unbiased estimate, which omits
each draw's kernel with itself and may be negative. The Wasserstein autoencoder (1711.01558) uses it
instead of a rate, the InfoVAE (1706.02262) besides one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vaelab.core import Trace
from vaelab.objectives.aggregate import only_site
from vaelab.objectives.terms import Loss, Objective

Kernel = Callable[[Tensor, Tensor], Tensor]
"""Positive definite kernel: (N, L), (M, L) ↦ k (N, M)."""

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def multiscale(a: Tensor, b: Tensor) -> Tensor:
    """Multiscale kernel of the Wasserstein autoencoder, Σ_s C s / (C s + ‖a − b‖²), C = 2 L.

    s ranges from 0.1 to 10. 2 L is the expected squared distance of two draws of N(0, I) in L
    dimensions; the heavy tails of these seven inverse multiquadratics detect outliers that a
    Gaussian kernel misses. The kernel lies between 0 and 7.

    Reference: Wasserstein Auto-Encoders, Tolstikhin et al., 2017, arXiv:1711.01558.
    """
    squares, C = distances(a, b), 2.0 * a.shape[1]
    return torch.stack([C * s / (C * s + squares) for s in SCALES]).sum(0)


def gaussian(a: Tensor, b: Tensor) -> Tensor:
    """Gaussian kernel exp(−‖a − b‖² / 2 L), with the bandwidth of N(0, I) in L dimensions."""
    return torch.exp(-distances(a, b) / (2 * a.shape[1]))


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances ‖a_i − b_j‖²: (N, L), (M, L) → (N, M)."""
    squares = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
    return squares.clamp(min=0)


class MMD(Objective):
    """Maximum mean discrepancy MMD² between a batch's codes and the prior, the same per example.

    The first of K draws of each example is taken. A single example has no distribution to compare
    and adds nothing.

    Reference: A Kernel Two-Sample Test, Gretton et al., 2012.

    >>> from vaelab.objectives import Distortion
    >>> (Distortion() + 10.0 * MMD()).formula
    'D + 10 MMD²'

    Args:
        kernel: positive definite kernel.
    """

    symbol = "MMD²"
    batch_coupled = True

    def __init__(self, kernel: Kernel = multiscale) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        """Return the loss of x.

        Raises:
            ValueError: if there are several latents.
        """
        site = only_site(trace)
        z, p = (trace.unfold(t.flatten(1))[0] for t in (site.z, site.prior.sample()))
        value = mmd(z, p, self.kernel).expand(len(x))
        return Loss(value, {"mmd": value}, frozenset({"mmd"}))


def mmd(a: Tensor, b: Tensor, kernel: Kernel) -> Tensor:
    """Unbiased MMD² of two samples (N, L): (); 0 for single draws."""
    n = len(a)
    if n == 1:
        return 0.0 * (a - b).sum()
    within = kernel(a, a) + kernel(b, b)
    others = (within.sum() - within.diagonal().sum()) / (n * (n - 1))
    return others - 2 * kernel(a, b).mean()
