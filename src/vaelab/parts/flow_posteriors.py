r"""Flow posteriors: a diagonal normal, transformed by maps that depend on x.

planar          z ← z + v tanh(w·z + b),  log det = log(1 + (1 − tanh²) w·v)         (1505.05770)
autoregressive  z ← σ z + (1 − σ) m,      log det = Σ_i log σ_i,   (m, σ)_i of z_<i  (1606.04934)

Sampling takes one pass and returns the density of its own draw (`distributions.TransformedNormal`).
The rate has no closed form: it is estimated from the draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from vaelab.core import full_precision
from vaelab.distributions import TransformedNormal
from vaelab.parts.posteriors import Posterior, bounded, split

BISECTIONS = 50
SOFTPLUS_ONE = 0.5413248546129181
"""Inverse softplus of 1."""


@dataclass(frozen=True, eq=False)
class PlanarFlow(TransformedNormal):
    """Planar flow z = f_F ∘ … ∘ f_1(u), each map a step along v that depends on w·z alone.

    Attributes:
        weight: w of every map, (B, F, D).
        step: unconstrained v, (B, F, D): its component along w is changed to keep w·v above −1,
            beyond which the map is not invertible.
        bias: b of every map, (B, F).
    """

    weight: Tensor
    step: Tensor
    bias: Tensor

    def push(self, u: Tensor) -> tuple[Tensor, Tensor]:
        z, log_det = u, torch.zeros_like(u[:, 0])
        for w, v, gain, b in self._maps():
            height = torch.tanh((w * z).sum(1) + b)
            z = z + v * height[:, None]
            log_det = log_det + torch.log1p((1 - height**2) * gain)
        return z, log_det

    def pull(self, z: Tensor) -> Tensor:
        for w, v, gain, b in reversed(list(self._maps())):
            along = _solve((w * z).sum(1), gain, b)
            z = z - v * torch.tanh(along + b)[:, None]
        return z

    def _maps(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Return w, v, w·v and b of each map; (B, D) or (B,)."""
        along = (self.weight * self.step).sum(2)
        # 0 at 0, so that v stays near `step` if w vanishes; and always well above −1.
        gain = F.softplus(bounded(along) + SOFTPLUS_ONE) - 1
        size = (self.weight**2).sum(2).clamp(min=torch.finfo(along.dtype).tiny)
        v = self.step + ((gain - along) / size)[..., None] * self.weight
        return zip(*(t.unbind(1) for t in (self.weight, v, gain, self.bias)), strict=True)


def _solve(target: Tensor, gain: Tensor, b: Tensor) -> Tensor:
    """Solve a + gain · tanh(a + b) = target for a, all (B,), with a gain above −1."""
    with torch.no_grad():
        low, high = target - gain.abs(), target + gain.abs()
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            under = middle + gain * torch.tanh(middle + b) < target
            low, high = torch.where(under, middle, low), torch.where(under, high, middle)
        a = (low + high) / 2
        slope = 1 + gain * (1 - torch.tanh(a + b) ** 2)
    # One step of Newton's: it carries the gradient.
    return a - (a + gain * torch.tanh(a + b) - target) / slope


class Planar(Posterior):
    """Planar flow posterior: a diagonal normal and F planar maps, all parameters from the network.

        z ← z + v tanh(w·z + b),  log det = log(1 + (1 − tanh²) w·v)

    Reference: Variational Inference with Normalizing Flows, Rezende & Mohamed, 2015,
    arXiv:1505.05770.

    >>> q = Planar(flows=2)
    >>> q(torch.randn(5, q.outputs(latent=3))).sample().shape
    torch.Size([5, 3])

    Args:
        flows: number of maps F, at least 1.

    Raises:
        ValueError: if `flows` is below 1.
    """

    def __init__(self, flows: int) -> None:
        super().__init__()
        self.flows = _at_least_one(flows)

    def outputs(self, latent: int) -> int:
        return 2 * latent + self.flows * (2 * latent + 1)

    def zeros(self, latent: int) -> Sequence[int]:
        # Log-scales, and the steps of all maps, which then start as the identity.
        steps = (2 + self.flows) * latent
        return (*range(latent, 2 * latent), *range(steps, steps + self.flows * latent))

    def forward(self, *given: Tensor) -> PlanarFlow:
        h = full_precision(given[0])
        vectors, bias = h[:, : -self.flows], h[:, -self.flows :]
        mu, log_sigma, *maps = split(vectors, 2 + 2 * self.flows)
        weight, step = torch.stack(maps, 1).chunk(2, 1)
        return PlanarFlow(mu, bounded(log_sigma), weight, step, bias)


class Gates(nn.Module):
    """Sequence of gated autoregressive maps, in alternating order.

    Args:
        latent: number of dimensions D.
        flows: number of maps.
        width: width of the two hidden layers of each map.
    """

    def __init__(self, latent: int, flows: int, width: int) -> None:
        super().__init__()
        # Late: importing zuko switches off the checks of torch.distributions everywhere.
        from zuko.nn import MaskedMLP

        before = torch.ones(latent, latent, dtype=torch.bool).tril(-1)
        context = torch.ones(latent, latent, dtype=torch.bool)
        sees = [torch.cat([before if i % 2 == 0 else before.T, context], 1) for i in range(flows)]
        self.nets = nn.ModuleList(
            MaskedMLP(mask.repeat_interleave(2, 0), (width, width), nn.ELU) for mask in sees
        )

    def forward(self, t: Tensor, context: Tensor, back: bool = False) -> tuple[Tensor, Tensor]:
        """Return f(t) and its log det, (B, D) and (B,); with `back`, f⁻¹(t) and the same log det.

        Both directions share one method, since `functional_call` calls no other.
        """
        log_det = torch.zeros_like(t[:, 0])
        for net in reversed(self.nets) if back else self.nets:
            if back:
                t, log_gate = _ungated(net, t, context)
            else:
                m, log_gate = _gate(net, t, context)
                t = m + log_gate.exp() * (t - m)
            log_det = log_det + log_gate.sum(1)
        return t, log_det


def _gate(net: nn.Module, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
    """Return m and log σ, (B, D) each; open gates at first, so that the map is near identity."""
    m, gate = full_precision(net(torch.cat([z, context], 1))).unflatten(1, (-1, 2)).unbind(2)
    return m, F.logsigmoid(bounded(gate) + 3)


def _ungated(net: nn.Module, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
    """Invert a gated map: its input and log σ. Each pass recovers one more of the D numbers."""
    u = torch.zeros_like(z)
    for _ in range(z.shape[1]):
        m, log_gate = _gate(net, u, context)
        u = m + (z - m) * torch.exp(-log_gate)
    return u, _gate(net, u, context)[1]


@dataclass(frozen=True, eq=False)
class AutoregressiveFlow(TransformedNormal):
    """Inverse autoregressive flow z = f(u): every number is gated by those before it.

    Attributes:
        context: context of x, (B, D).
        gates: f.
        weights: weights of the gates by name, as they were when z was drawn.
    """

    context: Tensor
    gates: Gates
    weights: dict[str, Tensor]

    def push(self, u: Tensor) -> tuple[Tensor, Tensor]:
        return self._map(u, False)

    def pull(self, z: Tensor) -> Tensor:
        return self._map(z, True)[0]

    def _map(self, t: Tensor, back: bool) -> tuple[Tensor, Tensor]:
        result = functional_call(self.gates, self.weights, (t, self.context, back))
        return cast(tuple[Tensor, Tensor], result)


class InverseAutoregressive(Posterior):
    """Inverse autoregressive flow posterior: a diagonal normal and gated autoregressive maps.

        z ← σ z + (1 − σ) m,  log det = Σ_i log σ_i,  (m, σ)_i of z_<i

    Draws take one pass. The network gives a mean, a scale and a context for every dimension; the
    maps have weights of their own.

    Reference: Improved Variational Inference with Inverse Autoregressive Flow, Kingma et al., 2016,
    arXiv:1606.04934.

    >>> q = InverseAutoregressive(latent=3, flows=2, width=16)
    >>> q(torch.randn(5, q.outputs(latent=3))).sample().shape
    torch.Size([5, 3])

    Args:
        latent: number of dimensions D, at least 1.
        flows: number of maps, at least 1.
        width: width of the two hidden layers of each map.

    Raises:
        ValueError: if `flows` is below 1.
    """

    params = 3

    def __init__(self, latent: int, flows: int, width: int = 128) -> None:
        super().__init__()
        self.gates = Gates(latent, _at_least_one(flows), width)

    def zeros(self, latent: int) -> Sequence[int]:
        return range(latent, 3 * latent)  # log-scales, and the context

    def forward(self, *given: Tensor) -> AutoregressiveFlow:
        mu, log_sigma, context = split(given[0], self.params)
        weights = {**dict(self.gates.named_parameters()), **dict(self.gates.named_buffers())}
        return AutoregressiveFlow(mu, bounded(log_sigma), context, self.gates, weights)


def _at_least_one(flows: int) -> int:
    if flows < 1:
        raise ValueError(f"flows is {flows}; a flow posterior has at least 1 map")
    return flows
