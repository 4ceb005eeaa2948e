r"""Adversarial terms: a critic f that discriminates two classes of inputs by its logit.

    critic    ½ E softplus(−f(true)) + ½ E softplus(f(false))      log 2 if it cannot discriminate
    model     softplus(−f(false)): false inputs should pass as true

The optimal critic is f = log p_true − log p_false, so that its logits estimate a density ratio. The
inputs of a learning critic are constants, so that its loss reaches no part of the model.

With noise, a critic learns on true and false inputs under the same normal noise (1610.04490). The
two then overlap however far apart they are, and its logits stay smooth instead of forming a step;
the noisy distributions still agree only if the original ones do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaelab.core import Draw, FromPrior, Given, Trace, join, tile
from vaelab.distributions import Distribution, Normal
from vaelab.objectives.terms import Loss, Objective

PACE, LEAST = 0.1, 1e-3
"""Rate of the running average of a feature's deviation, and the smallest deviation."""


class CriticTotalCorrelation(Objective):
    """Total correlation TC = KL(q(z) ‖ Π_j q(z_j)), estimated by a critic.

    Codes whose dimensions are permuted independently across the batch are draws from the product of
    the marginals; the logit that discriminates the two is the integrand of TC.

    Reference: Disentangling by Factorising, Kim & Mnih, 2018, arXiv:1802.05983.

    >>> CriticTotalCorrelation(nn.Linear(2, 1)).formula
    'critic total correlation'

    Args:
        critic: module from codes (B, L) to logits (B, 1).
    """

    monitorable = False

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        nats = trace.unfold(_logits(self.critic, codes(trace))).mean(0)
        name = "total_correlation"
        return Loss(nats, {name: nats}, frozenset({name}))

    def critic_loss(self, trace: Trace, x: Tensor) -> Loss:
        z = codes(trace).detach()
        loss = logistic_loss(_logits(self.critic, z), _logits(self.critic, permuted(z)))
        return _of_critic(trace, loss)


class CriticPriorMatch(Objective):
    """Adversarial match of the aggregate posterior to the prior: codes that pass as prior draws.

    No posterior needs a density.

    References: Adversarial Autoencoders, Makhzani et al., 2015, arXiv:1511.05644. Wasserstein
    Auto-Encoders, Tolstikhin et al., 2017, arXiv:1711.01558.

    Args:
        critic: module from codes (B, L) to logits (B, 1).
        noise: standard deviation of the noise on the critic's inputs, in the units of z.
    """

    monitorable = False

    def __init__(self, critic: nn.Module, noise: float = 0.0) -> None:
        super().__init__()
        self.critic, self.noise = critic, noise

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        nats = trace.unfold(F.softplus(-_logits(self.critic, codes(trace)))).mean(0)
        return Loss(nats, {"prior_match": nats})

    def critic_loss(self, trace: Trace, x: Tensor) -> Loss:
        if len(trace.sites) > 1:
            # The prior of a lower site depends on the codes under comparison.
            raise ValueError(
                "codes are compared with the prior of a single latent; this model has "
                f"{len(trace.sites)}"
            )
        drawn = blurred(trace.sites[0].prior.sample().flatten(1).detach(), self.noise)
        z = blurred(codes(trace).detach(), self.noise)
        return _of_critic(
            trace, logistic_loss(_logits(self.critic, drawn), _logits(self.critic, z))
        )


class Critic(nn.Module):
    """Critic of data in two parts: features of x, and a head that maps them to a logit.

    >>> Critic(nn.Linear(6, 4), width=4)(torch.randn(5, 6)).shape
    torch.Size([5, 1])

    Args:
        features: module from x (B, …) to (B, F).
        width: number of features F.
        head: module from (B, F) to (B, 1); one layer if not given.
    """

    def __init__(self, features: nn.Module, width: int, head: nn.Module | None = None) -> None:
        super().__init__()
        self.features, self.width = features, width
        self.head = nn.Sequential(nn.GELU(), head or nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class CriticFeatures(Objective):
    r"""Likelihood of a critic's features, and images that pass as real (VAE-GAN).

        features    −log N(φ(x)/s; φ(x̂)/s, σ² I)                      x̂ = E[x|z], z ~ q(z|x)
        realism     ½ softplus(−f(x̂')) + ½ softplus(−f(x_p))          x_p = E[x|z], z ~ p(z)

    with s the standard deviation of each feature over the data, tracked as the critic learns:
    otherwise the critic could change the features' scale, and with it the weight of the term (the
    paper's features are batch-normalised). x̂' is the image of the same z, decoded as a constant:
    realism trains the generator alone, as in the paper; the encoder learns from the features and
    the rate.

    Reference: Autoencoding beyond pixels using a learned similarity metric, Larsen et al., 2015,
    arXiv:1512.09300.

    Args:
        critic: critic of data.
        generate: function that calls the model's generator; a module would become part of the
            objective, and be copied and stored with it.
        weight: weight of the realism, at least 0; 1/γ in the paper.
        noise: standard deviation of the noise on the critic's inputs, in the units of x.
        sigma: standard deviation of the features under their normal, in deviations of the data.

    Raises:
        ValueError: if the weight is negative or not finite.
    """

    monitorable, batch_coupled = False, True

    spread: Tensor

    def __init__(
        self,
        critic: Critic,
        generate: Callable[[Draw], Distribution],
        weight: float,
        noise: float = 0.0,
        sigma: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 <= weight < math.inf:
            raise ValueError(f"the weight of realism is {weight}; expected 0 or more")
        self.critic, self.weight = critic, weight
        self.noise, self.sigma = noise, sigma
        self._generate = generate
        self.register_buffer("spread", torch.ones(critic.width))

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        real = cast(Tensor, tile(self.critic.features(x), trace.samples)) / self.spread
        decoded = self.critic.features(trace.likelihood.mean) / self.spread
        near = -Normal(decoded, torch.full_like(decoded, math.log(self.sigma))).log_prob(real)
        again = self._generate(Given([z.detach() for z in trace.latents], given=trace.given)).mean
        imagined = self._generate(FromPrior(len(decoded), given=trace.given)).mean
        passing = sum(F.softplus(-_logits(self.critic, fake)) for fake in (again, imagined))
        parts = {"features": near, "realism": 0.5 * cast(Tensor, passing)}
        parts = {name: trace.unfold(nats).mean(0) for name, nats in parts.items()}
        return Loss(parts["features"] + self.weight * parts["realism"], parts)

    def update_buffers(self, trace: Trace, x: Tensor) -> None:
        deviation = self.critic.features(x).std(0, correction=0)
        self.spread.lerp_(deviation.clamp(min=LEAST), PACE)

    def critic_loss(self, trace: Trace, x: Tensor) -> Loss:
        again = trace.likelihood.mean.detach()
        with torch.no_grad():
            imagined = self._generate(FromPrior(len(again), given=trace.given)).mean
        fake = blurred(torch.cat([again, imagined]), self.noise)
        false = _logits(self.critic, fake).unflatten(0, (2, -1))
        noisy = blurred(x.detach(), self.noise)
        true = cast(Tensor, tile(_logits(self.critic, noisy), trace.samples))
        loss = logistic_loss(true, false[0]) + logistic_loss(true, false[1])
        return _of_critic(trace, 0.5 * loss)


def codes(trace: Trace) -> Tensor:
    """Concatenated latents of all sites, (K·B, L)."""
    return join(trace.latents)


def permuted(z: Tensor) -> Tensor:
    """Permute each column of z (B, L) independently: draws from the product of the marginals."""
    return z.gather(0, torch.rand_like(z).argsort(0))


def blurred(x: Tensor, noise: float) -> Tensor:
    """Add independent normal noise of this standard deviation to x."""
    return x + noise * torch.randn_like(x)


def logistic_loss(true: Tensor, false: Tensor) -> Tensor:
    """Return ½ softplus(−f(true)) + ½ softplus(f(false)) of logits (B,): (B,)."""
    return 0.5 * (F.softplus(-true) + F.softplus(false))


def _logits(critic: nn.Module, x: Tensor) -> Tensor:
    return critic(x).flatten()


def _of_critic(trace: Trace, nats: Tensor) -> Loss:
    nats = trace.unfold(nats).mean(0)
    return Loss(nats, {"critic": nats})
