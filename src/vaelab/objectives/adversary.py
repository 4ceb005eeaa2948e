r"""Terms with an opponent: a critic f that tells two sorts of things apart by its logit.

    the critic     ½ E softplus(−f(true)) + ½ E softplus(f(false))      log 2 where it cannot tell
    the model      softplus(−f(false)): what is false should pass for true

At the critic's best f = log p_true − log p_false, so that its logits estimate a density ratio. A
critic is fed nothing but constants when it learns, so that its loss reaches no part of the model.

With noise, a critic learns on what is true and what is false under the same normal noise
(1610.04490). The two then overlap however far they are apart, and its logits stay smooth, where
they would else be a step; they still agree only where what is true and what is false do.
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
"""By which share of the way a feature's deviation is followed at a step, and the least of it."""


class CriticTotalCorrelation(Objective):
    """TC = KL(q(z) ‖ Π_j q(z_j)), by a critic of codes and permuted codes (FactorVAE, 1802.05983).

    Codes whose dimensions are permuted independently across the batch are draws from the product of
    the marginals; the logit that tells the two apart is the integrand of TC.

    Args:
        critic: codes (B, L) ↦ logits (B, 1).
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
        loss = told_apart(_logits(self.critic, z), _logits(self.critic, permuted(z)))
        return _of_critic(trace, loss)


class CriticPriorMatch(Objective):
    """Codes that pass for draws from the prior (AAE 1511.05644, WAE-GAN 1711.01558).

    It is the aggregate posterior that is held to the prior; no posterior needs a density.

    Args:
        critic: codes (B, L) ↦ logits (B, 1).
        noise: its deviation where the critic learns, in the units of z.
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
            # Below others, a site's prior depends on the very codes that are judged.
            raise ValueError(
                f"codes are held to the prior of one latent; this model has {len(trace.sites)}"
            )
        drawn = blurred(trace.sites[0].prior.sample().flatten(1).detach(), self.noise)
        z = blurred(codes(trace).detach(), self.noise)
        return _of_critic(trace, told_apart(_logits(self.critic, drawn), _logits(self.critic, z)))


class Critic(nn.Module):
    """A critic of data, in two halves: what it sees of x, and what it makes of that.

    Args:
        features: x (B, …) ↦ (B, F).
        width: F.
        head: what is made of these, (B, F) ↦ (B, 1); one layer if not given.
    """

    def __init__(self, features: nn.Module, width: int, head: nn.Module | None = None) -> None:
        super().__init__()
        self.features, self.width = features, width
        self.head = nn.Sequential(nn.GELU(), head or nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class CriticFeatures(Objective):
    r"""The critic's features as the likelihood, and images that pass for real (1512.09300).

    features    −log N(φ(x)/s; φ(x̂)/s, σ² I)                      x̂ = E[x|z], z ~ q(z|x)
    realism     ½ softplus(−f(x̂')) + ½ softplus(−f(x_p))          x_p = E[x|z], z ~ p(z)

    with s the deviation of each feature over the data, followed as the critic learns: their scale,
    and with it the weight of the term, would else be the critic's to change (the paper's features
    are batch-normalised). x̂' is the image of the same z, decoded as a constant: of realism only the
    generator learns, as in the paper; the encoder does of the features and of the rate.

    Args:
        critic: of data.
        generate: the model's generator, as a function that refers to it: a module would be taken
            for a part of the objective, and be copied and stored with it.
        weight: of the realism, at least 0; 1/γ in the paper.
        noise: its deviation where the critic learns, in the units of x.
        sigma: of the features under their normal, in deviations of the data.
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
        seen = self.critic.features(trace.likelihood.mean) / self.spread
        near = -Normal(seen, torch.full_like(seen, math.log(self.sigma))).log_prob(real)
        again = self._generate(Given([z.detach() for z in trace.latents], given=trace.given)).mean
        imagined = self._generate(FromPrior(len(seen), given=trace.given)).mean
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
        seen = blurred(x.detach(), self.noise)
        true = cast(Tensor, tile(_logits(self.critic, seen), trace.samples))
        loss = told_apart(true, false[0]) + told_apart(true, false[1])
        return _of_critic(trace, 0.5 * loss)


def codes(trace: Trace) -> Tensor:
    """The latents of all sites side by side, (K·B, L)."""
    return join(trace.latents)


def permuted(z: Tensor) -> Tensor:
    """z (B, L) with each column in an order of its own: draws from the product of the marginals."""
    return z.gather(0, torch.rand_like(z).argsort(0))


def blurred(x: Tensor, noise: float) -> Tensor:
    """x and normal noise of this deviation, independent in every number."""
    return x + noise * torch.randn_like(x)


def told_apart(true: Tensor, false: Tensor) -> Tensor:
    """½ softplus(−f(true)) + ½ softplus(f(false)) of logits (B,): (B,)."""
    return 0.5 * (F.softplus(-true) + F.softplus(false))


def _logits(critic: nn.Module, x: Tensor) -> Tensor:
    return critic(x).flatten()


def _of_critic(trace: Trace, nats: Tensor) -> Loss:
    nats = trace.unfold(nats).mean(0)
    return Loss(nats, {"critic": nats})
