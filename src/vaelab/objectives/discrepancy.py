r"""The aggregate posterior against the prior by a kernel: are the codes draws of p(z)?

    MMD²(q(z), p(z)) = E k(z, z') + E k(p, p') − 2 E k(z, p)       (Gretton et al. 2012)

with z the codes of a batch and p as many draws of the prior; the unbiased estimate, which leaves
out each draw's kernel with itself and may be negative. It is what the Wasserstein autoencoder
(1711.01558) and the InfoVAE (1706.02262) have in the place of a rate, or beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vaelab.core import Trace
from vaelab.objectives.aggregate import only_site
from vaelab.objectives.terms import Loss, Objective

Kernel = Callable[[Tensor, Tensor], Tensor]
"""(N, L), (M, L) ↦ k (N, M), positive definite."""

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def multiscale(a: Tensor, b: Tensor) -> Tensor:
    """Σ_s C s / (C s + ‖a − b‖²), C = 2 L, s from 0.1 to 10: the Wasserstein autoencoder's own.

    2 L is the expected squared distance of two draws of N(0, I) in L dimensions, and the heavy
    tails of these seven inverse multiquadratics see outliers that a Gaussian cannot. It lies
    between 0 and 7.
    """
    squares, C = distances(a, b), 2.0 * a.shape[1]
    return torch.stack([C * s / (C * s + squares) for s in SCALES]).sum(0)


def gaussian(a: Tensor, b: Tensor) -> Tensor:
    """exp(−‖a − b‖² / 2 L), as wide as N(0, I) in L dimensions is."""
    return torch.exp(-distances(a, b) / (2 * a.shape[1]))


def distances(a: Tensor, b: Tensor) -> Tensor:
    """‖a_i − b_j‖²: (N, L), (M, L) → (N, M)."""
    squares = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
    return squares.clamp(min=0)


class MMD(Objective):
    """MMD² between the codes of a batch and the prior, the same for every example.

    Of K draws for each example the first is taken. A single example has no distribution to compare
    and adds nothing.

    Args:
        kernel: positive definite.
    """

    symbol = "MMD²"
    batch_coupled = True

    def __init__(self, kernel: Kernel = multiscale) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        """The loss of x.

        Raises:
            ValueError: where there are several latents.
        """
        site = only_site(trace)
        z, p = (trace.unfold(t.flatten(1))[0] for t in (site.z, site.prior.sample()))
        value = mmd(z, p, self.kernel).expand(len(x))
        return Loss(value, {"mmd": value}, frozenset({"mmd"}))


def mmd(a: Tensor, b: Tensor, kernel: Kernel) -> Tensor:
    """MMD² of two samples (N, L), without bias: (). Of single draws, 0."""
    n = len(a)
    if n == 1:
        return 0.0 * (a - b).sum()
    within = kernel(a, a) + kernel(b, b)
    others = (within.sum() - within.diagonal().sum()) / (n * (n - 1))
    return others - 2 * kernel(a, b).mean()
