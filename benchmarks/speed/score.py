r"""The test −ELBO of perceptrons, from their weights alone: one scorer for every contestant.

−ELBO = Σ_d softplus(l_d) − x_d l_d  +  ½ Σ_j (μ_j² + σ_j² − 1 − log σ_j²),   z = μ + σ ε

Independent of both libraries: it knows matrices, an activation, and how log σ is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Affine = tuple[Tensor, Tensor]
Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Perceptrons:
    """Weights (out, in) and biases (out,) in the order they are applied.

    Attributes:
        encoder: hidden layers.
        mu: to the posterior's means.
        spread: to what `log_sigma` turns into the logarithms of its standard deviations.
        decoder: all layers, the last one to the logits.
    """

    encoder: list[Affine]
    mu: Affine
    spread: Affine
    log_sigma: Callable[[Tensor], Tensor]
    decoder: list[Affine]
    activation: Activation


def layers(state: dict[str, Tensor], prefix: str) -> list[Affine]:
    """The affine maps of a state whose names begin so, in its order."""
    names = [name for name, t in state.items() if name.startswith(prefix) and t.ndim == 2]
    return [(state[n].float(), state[n.removesuffix("weight") + "bias"].float()) for n in names]


def of_vaelab(state: dict[str, Tensor], activation: Activation) -> Perceptrons:
    """Weights of a `vaelab` model: the encoder's last layer gives μ, then 10 tanh⁻¹(log σ / 10)."""
    *hidden, (w, b) = layers(state, "encoder.")
    (w_mu, w_spread), (b_mu, b_spread) = w.chunk(2), b.chunk(2)
    decoder = layers(state, "generator.decoder.")
    return Perceptrons(hidden, (w_mu, b_mu), (w_spread, b_spread), _bounded, decoder, activation)


def of_pythae(state: dict[str, Tensor], activation: Activation) -> Perceptrons:
    """Weights of a pythae model: two heads, μ and log σ²."""
    *hidden, mu, spread = layers(state, "encoder.")
    return Perceptrons(hidden, mu, spread, _half, layers(state, "decoder."), activation)


def _bounded(t: Tensor) -> Tensor:
    return 10 * torch.tanh(t / 10)


def _half(t: Tensor) -> Tensor:
    return t / 2


@torch.inference_mode()
def neg_elbo(net: Perceptrons, x: Tensor, seed: int = 0) -> float:
    """−ELBO in nats per example, one draw of z each.

    Args:
        net: the weights.
        x: (N, D), zeros and ones.
        seed: of ε.
    """
    generator, total = torch.Generator().manual_seed(seed), 0.0
    for rows in x.split(1000):
        h = rows
        for affine in net.encoder:
            h = net.activation(F.linear(h, *affine))
        mu, log_sigma = F.linear(h, *net.mu), net.log_sigma(F.linear(h, *net.spread))
        sigma = log_sigma.exp()
        h = mu + sigma * torch.randn(mu.shape, generator=generator)
        for affine in net.decoder[:-1]:
            h = net.activation(F.linear(h, *affine))
        logits = F.linear(h, *net.decoder[-1])
        distortion = (F.softplus(logits) - rows * logits).sum(1)
        rate = 0.5 * (mu**2 + sigma**2 - 1 - 2 * log_sigma).sum(1)
        total += float((distortion + rate).double().sum())
    return total / len(x)
