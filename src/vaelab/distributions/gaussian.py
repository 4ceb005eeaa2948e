r"""Normal distribution with a full covariance, by its Cholesky factor.

z = μ + L ε,  ε ~ N(0, I),  Σ = L Lᵀ          L = diag(e^log_scale) + lower

KL(q ‖ N(m, diag s²)) = ½ (‖diag(1/s) L‖² + ‖(μ − m)/s‖² − D) − Σ_i (log L_ii − log s_i)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.distributions.base import LOG_2PI, Distribution, Normal, register_kl


@dataclass(frozen=True, eq=False)
class FullNormal(Distribution):
    """Normal distribution N(mu, L Lᵀ) over vectors.

    >>> lower = torch.tensor([[[0.0, 0.0], [0.5, 0.0]]])
    >>> q = FullNormal(torch.zeros(1, 2), torch.zeros(1, 2), lower)
    >>> q.factor @ q.factor.mT
    tensor([[[1.0000, 0.5000],
             [0.5000, 1.2500]]])

    Attributes:
        mu: means, (B, D).
        log_scale: logarithms of L's diagonal, (B, D).
        lower: entries of L below its diagonal, (B, D, D); zero elsewhere.
    """

    mu: Tensor
    log_scale: Tensor
    lower: Tensor

    @property
    def factor(self) -> Tensor:
        """Cholesky factor L, (B, D, D)."""
        identity = torch.eye(self.mu.shape[1], dtype=self.mu.dtype, device=self.mu.device)
        return self.lower + identity * self.log_scale.exp()[..., None]

    @property
    def mean(self) -> Tensor:
        return self.mu

    def log_prob(self, x: Tensor) -> Tensor:
        off = (x - self.mu)[..., None]
        standard = torch.linalg.solve_triangular(self.factor, off, upper=False)[..., 0]
        return (-0.5 * (standard**2 + LOG_2PI) - self.log_scale).sum(1)

    def sample(self, temperature: float = 1.0) -> Tensor:
        noise = torch.randn_like(self.mu)[..., None]
        return self.mu + temperature * (self.factor @ noise)[..., 0]


@register_kl(FullNormal, Normal)
def _full_diagonal(q: FullNormal, p: Normal) -> Tensor:
    # Covariances couple the dimensions: only their total exists.
    precision = torch.exp(-p.log_sigma)
    log_ratio = q.log_scale - p.log_sigma
    spread = ((q.lower * precision[..., None]) ** 2).sum(2)
    difference = (q.mu - p.mu) * precision
    return (0.5 * (torch.expm1(2 * log_ratio) + spread + difference**2) - log_ratio).sum(1)
