r"""A mixture of normals with full covariances, fitted to codes by expectation–maximisation.

p(z) = Σ_k π_k N(z; μ_k, Σ_k)                (after an autoencoder: Ghosh et al. 1903.12436)
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from vaelab.core import Conditional, Site
from vaelab.distributions import Distribution, Mixture
from vaelab.distributions.base import LOG_2PI
from vaelab.fitted.base import PriorEstimator, kind, nats, standardizer
from vaelab.utils.progress import ProgressCallback, no_progress
from vaelab.utils.validation import Count, check_fields

RIDGE = 1e-4
"""Added to every variance, for codes of variance 1: no component shrinks to a point."""

ROUNDS, AT_ONCE = 200, 20

TRIED = (1, 2, 5, 10, 20, 50)
"""Numbers of components to choose from: the first is a single normal, so that none is worse."""


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
class FittedMixture(PriorEstimator):
    """A mixture of normals with full covariances: quick, and good in a few dozen dimensions.

    Attributes:
        components: how many, at least 1; more follow finer detail and need more codes. By default
            1, 2, 5, 10, 20 and 50 are tried, as far as there are two codes for each, and those
            under which held-out codes cost least are kept.
    """

    name: ClassVar[str] = "mixture"
    components: Count | None = None

    def __post_init__(self) -> None:
        check_fields(self)

    def build(self, site: Site) -> FullMixture:
        if self.components is None:
            raise ValueError("components is not set; a mixture is built of a number of them")
        return FullMixture(self.components, *site.z.shape[1:])

    def fit(
        self, site: Site, codes: Tensor, held_out: Tensor, progress: ProgressCallback = no_progress
    ) -> tuple[FittedMixture, FullMixture]:
        least = self.components or TRIED[0]
        if len(codes) < 2 * least:
            raise ValueError(
                f"components is {least}, but there are only {len(codes)} codes to fit them to, and "
                f"each needs two; ask for at most {len(codes) // 2}"
            )
        codes, held_out = codes.cpu(), held_out.cpu()  # scikit-learn's
        seed = int(torch.randint(2**31 - 1, ()))
        tried = [self.components] if self.components else [k for k in TRIED if 2 * k <= len(codes)]
        found = []
        for before, components in enumerate(tried):
            prior = FullMixture(components, *site.z.shape[1:])
            _fit(prior, codes, seed, partial(_in_turn, progress, before, len(tried)))
            found.append((nats(prior(), held_out), components, prior))
        _, components, prior = min(found, key=lambda one: one[:2])
        return FittedMixture(components), prior


def _in_turn(progress: ProgressCallback, before: int, fits: int, done: int) -> None:
    progress("rounds", before * ROUNDS + done, fits * ROUNDS)


def _fit(prior: FullMixture, codes: Tensor, seed: int, progress: Callable[[int], None]) -> None:
    """Fits all of a mixture to codes (N, …) by expectation–maximisation."""
    # Late: scikit-learn takes a while to import.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    shift, log_scale = standardizer(codes.double())
    standard = (codes - shift) * torch.exp(-log_scale)
    # It goes on from where it was, so that it can tell how far it is.
    fitted = GaussianMixture(
        len(prior.mu), reg_covar=RIDGE, max_iter=AT_ONCE, random_state=seed, warm_start=True
    )
    with warnings.catch_warnings():
        # Where all rounds are not enough it is a little less than the best, and its held-out
        # nats say how good.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for done in range(AT_ONCE, ROUNDS + 1, AT_ONCE):
            fitted.fit(standard.flatten(1).numpy())
            progress(done)
            if fitted.converged_:
                break
    centres = torch.from_numpy(fitted.means_).view(-1, *codes.shape[1:])
    # scikit-learn's factor multiplies from the right, and for codes of spread 1.
    whitener = torch.from_numpy(fitted.precisions_cholesky_).mT * torch.exp(-log_scale.flatten())
    prior.log_weights.copy_(torch.from_numpy(fitted.weights_).log())
    prior.mu.copy_(shift + log_scale.exp() * centres)
    prior.whitener.copy_(whitener)
