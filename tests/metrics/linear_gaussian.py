"""z ~ N(0, I), x|z ~ N(W z + b, σ² I), with a posterior that is wrong on purpose; all in float64.

log p(x) = log N(x; b, W Wᵀ + σ² I);  the exact posterior is N(M⁻¹ Wᵀ(x − b)/σ², M⁻¹) with
M = I + WᵀW/σ², and the columns of W are orthogonal, so that M is diagonal.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from vaelab.core import VAE, Conditional, Shallow
from vaelab.distributions import Normal
from vaelab.parts.likelihoods import FixedGaussian
from vaelab.parts.priors import Standard

D, L, SIGMA = 5, 2, 0.7
COLUMNS = torch.linalg.qr(
    torch.randn(D, L, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
).Q
W = COLUMNS * torch.tensor([0.8, 1.6], dtype=torch.float64)
BIAS = torch.linspace(-1, 1, D, dtype=torch.float64)
PRECISION = 1 + (W**2).sum(0) / SIGMA**2
EVIDENCE = MultivariateNormal(BIAS, W @ W.T + SIGMA**2 * torch.eye(D, dtype=torch.float64))


class Posterior(Conditional):
    """The exact posterior, moved by `shift` and widened by `factor`."""

    def __init__(self, shift: float = 0.2, factor: float = 1.3) -> None:
        super().__init__()
        self.shift, self.factor = shift, factor

    def forward(self, *given: Tensor) -> Normal:
        mu = (given[0] - BIAS) @ W / SIGMA**2 / PRECISION + self.shift
        log_sigma = math.log(self.factor) - 0.5 * PRECISION.log()
        return Normal(mu, log_sigma.expand_as(mu))

    def gap(self) -> float:
        """KL to the exact posterior, the same for every x."""
        f = self.factor
        shifted = self.shift**2 * float(PRECISION.sum())
        return 0.5 * (L * (f**2 - 1 - 2 * math.log(f)) + shifted)


class Gaussian(FixedGaussian):
    """The library's own, in float64."""

    def __init__(self) -> None:
        super().__init__(SIGMA)
        self.log_sigma = torch.tensor(math.log(SIGMA), dtype=torch.float64)


def model(posterior: Posterior | None = None) -> VAE:
    decoder = nn.Linear(L, D, dtype=torch.float64)
    with torch.no_grad():
        decoder.weight.copy_(W)
        decoder.bias.copy_(BIAS)
    program = Shallow(Standard(L).double(), posterior or Posterior(), decoder, Gaussian())
    return VAE(nn.Identity(), program)


def data(n: int) -> Tensor:
    return EVIDENCE.sample((n,))


def negative_entropy() -> float:
    """−E log p(x) under the model itself."""
    return float(EVIDENCE.entropy())
