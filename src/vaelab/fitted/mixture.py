r"""A mixture of normals with full covariances, fitted to codes by expectation–maximisation.

p(z) = Σ_k π_k N(z; μ_k, Σ_k)                (after an autoencoder: Ghosh et al. 1903.12436)
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vaelab.fitted.kind import Kind, Told, at_least, kind, standardizer, unheard
from vaelab.typed import check_fields
from vaelab.walk import Conditional, Distribution, Mixture, Site
from vaelab.walk.distributions import LOG_2PI

RIDGE = 1e-4
"""Added to every variance, for codes of variance 1: no component shrinks to a point."""

ROUNDS, AT_ONCE = 200, 20


@dataclass(frozen=True, eq=False)
class Whitened(Distribution):
    """N(mu, Σ) with a full covariance, held by what whitens it: W (z − mu) ~ N(0, I).

    As a mixture meets each example with every component, products with W are many times faster
    than solving for them.

    Attributes:
        mu: (B, …).
        whitener: W, lower triangular with a positive diagonal, (B, D, D) for z of D numbers.
    """

    mu: Tensor
    whitener: Tensor

    @property
    def mean(self) -> Tensor:
        return self.mu

    def log_prob(self, x: Tensor) -> Tensor:
        standard = (self.whitener @ (x - self.mu).flatten(1)[..., None])[..., 0]
        log_det = torch.diagonal(self.whitener, dim1=-2, dim2=-1).log()
        return (log_det - 0.5 * (standard**2 + LOG_2PI)).sum(1)

    def sample(self, temperature: float = 1.0) -> Tensor:
        noise = torch.randn_like(self.mu).flatten(1)[..., None]
        off = torch.linalg.solve_triangular(self.whitener, noise, upper=False)
        return self.mu + temperature * off.view_as(self.mu)


class FullMixture(Conditional):
    """The mixture as buffers: nothing in it is learned by gradients.

    Args:
        components: K.
        shape: of the latents.
    """

    log_weights: Tensor
    mu: Tensor
    whitener: Tensor

    def __init__(self, components: int, *shape: int) -> None:
        super().__init__()
        even = torch.full((1, components), -math.log(components))
        self.register_buffer("log_weights", even)
        self.register_buffer("mu", torch.zeros(components, *shape))
        self.register_buffer("whitener", torch.eye(math.prod(shape)).repeat(components, 1, 1))

    def forward(self, *given: Tensor) -> Mixture:
        return Mixture(self.log_weights, Whitened(self.mu, self.whitener))


@kind
@dataclass(frozen=True)
class FittedMixture(Kind):
    """A mixture of normals with full covariances: quick, and good in a few dozen dimensions.

    Attributes:
        components: how many, at least 1; more follow finer detail and need more codes.
    """

    name: ClassVar[str] = "mixture"
    components: int = 50

    def __post_init__(self) -> None:
        check_fields(self)
        at_least(1, components=self.components)

    def build(self, site: Site) -> FullMixture:
        return FullMixture(self.components, *site.z.shape[1:])

    def fit(self, site: Site, codes: Tensor, held_out: Tensor, told: Told = unheard) -> FullMixture:
        # Late: scikit-learn takes a while to import.
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        if len(codes) < 2 * self.components:
            raise ValueError(
                f"components is {self.components}, but there are only {len(codes)} codes to fit "
                f"them to; ask for at most {len(codes) // 2}"
            )
        codes = codes.cpu()  # scikit-learn's
        shift, log_scale = standardizer(codes.double())
        standard = (codes - shift) * torch.exp(-log_scale)
        seed = int(torch.randint(2**31 - 1, ()))
        # It goes on from where it was, so that it can tell how far it is.
        fitted = GaussianMixture(
            self.components, reg_covar=RIDGE, max_iter=AT_ONCE, random_state=seed, warm_start=True
        )
        with warnings.catch_warnings():
            # Where all rounds are not enough it is a little less than the best, and its held-out
            # nats say how good.
            warnings.simplefilter("ignore", ConvergenceWarning)
            for done in range(AT_ONCE, ROUNDS + 1, AT_ONCE):
                fitted.fit(standard.flatten(1).numpy())
                told("rounds", done, ROUNDS)
                if fitted.converged_:
                    break
        prior = self.build(site)
        centres = torch.from_numpy(fitted.means_).view(-1, *codes.shape[1:])
        # scikit-learn's factor multiplies from the right, and for codes of spread 1.
        whitener = torch.from_numpy(fitted.precisions_cholesky_).mT * torch.exp(
            -log_scale.flatten()
        )
        prior.log_weights.copy_(torch.from_numpy(fitted.weights_).log())
        prior.mu.copy_(shift + log_scale.exp() * centres)
        prior.whitener.copy_(whitener)
        return prior
