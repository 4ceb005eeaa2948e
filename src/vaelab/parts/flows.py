r"""Normalizing flows: a chain of invertible maps f from z to noise u ~ N(0, I).

z = shift + scale · f⁻¹(u)        log p(z) = log N(u) + log |det ∂u/∂z|,  u = f((z − shift) / scale)

Every map shifts and scales each number by functions of others (1705.07057). In a *coupling*, one
half depends on the other half (RealNVP, 1605.08803), so that a sample takes hardly longer than a
density; *autoregressive*, each number depends on all before it, so that a density takes one pass
and a sample as many as there are numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from vaelab.core import Conditional
from vaelab.distributions import Distribution, Normal

FlowName = Literal["coupling", "autoregressive"]


class Chain(nn.Module):
    """Invertible map of D numbers, f = f_n ∘ … ∘ f_1, with maps from zuko.

    Args:
        size: number of dimensions D, at least 2, since a single number has no other to depend on.
        flow: coupling or autoregressive.
        layers: number of maps n, at least 1.
        width: width of the two hidden layers of every map.

    Raises:
        ValueError: if D is 1, or `layers` or `width` is below 1.
    """

    def __init__(self, size: int, flow: FlowName, layers: int, width: int) -> None:
        super().__init__()
        if size < 2:
            raise ValueError(
                "a flow of a single number is just a normal; use a mixture prior instead"
            )
        for name, value in (("layers", layers), ("width", width)):
            if value < 1:
                raise ValueError(f"{name} is {value}; a flow needs at least 1")
        # Late: importing zuko switches off the checks of torch.distributions everywhere.
        from zuko.flows.autoregressive import MaskedAutoregressiveTransform

        up = torch.arange(size)
        # A coupling is the autoregressive map of two groups: every second number, then the others.
        # Each map changes the half that the previous one left, or reverses the order, so that in
        # the end each number depends on all.
        passes = {"coupling": 2, "autoregressive": size}[flow]
        orders = {
            "coupling": [(size + 1) // 2 * ((up + i) % 2) for i in range(2)],
            "autoregressive": [up, up.flip(0)],
        }[flow]
        self.maps = nn.ModuleList(
            MaskedAutoregressiveTransform(
                size, order=orders[i % 2], passes=passes, hidden_features=(width, width)
            )
            for i in range(layers)
        )

    def forward(self, t: Tensor, back: bool = False) -> tuple[Tensor, Tensor]:
        """Return u = f(z) and log |det ∂u/∂z|, (B, D) and (B,); with `back`, those of z = f⁻¹(u).

        Both directions share one method, since `functional_call` calls no other.
        """
        log_det = torch.zeros_like(t[:, 0])
        maps = [cast(Any, each)() for each in self.maps]
        for each in reversed(maps) if back else maps:
            t, change = (each.inv if back else each).call_and_ladj(t)
            log_det = log_det + change
        return t, log_det


@dataclass(frozen=True, eq=False)
class Flowed(Distribution):
    """Distribution of z = shift + scale · f⁻¹(u) for u ~ N(0, I).

    Temperature scales u; at 0 the sample is the image of the noise's centre, which is neither the
    mean of z nor its mode.

    Attributes:
        shift: location, (B, …).
        log_scale: logarithm of the scale, (B, …).
        chain: f, on as many numbers as an example has.
        weights: weights of the chain by name, as they were when z was drawn: if others stood in
            their place, as in a population, later densities use the same ones.
    """

    shift: Tensor
    log_scale: Tensor
    chain: Chain
    weights: dict[str, Tensor]

    @property
    def mean(self) -> Tensor:
        raise TypeError(
            "the mean of a flow has no closed form; average draws of sample() instead. "
            "sample(temperature=0) is the image of the centre of its noise, which is another point"
        )

    def log_prob(self, x: Tensor) -> Tensor:
        standard = (x - self.shift) * torch.exp(-self.log_scale)
        u, log_det = functional_call(self.chain, self.weights, (standard.flatten(1),))
        noise = Normal(torch.zeros_like(u), torch.zeros_like(u))
        return noise.log_prob(u) + log_det - self.log_scale.flatten(1).sum(1)

    def sample(self, temperature: float = 1.0) -> Tensor:
        u = temperature * torch.randn_like(self.shift).flatten(1)
        standard, _ = functional_call(self.chain, self.weights, (u, True))
        return self.shift + self.log_scale.exp() * standard.view_as(self.shift)


class Flow(Conditional):
    """Flow prior, learned with the model or fitted to its codes afterwards.

    References: Density estimation using Real NVP, Dinh et al., 2016, arXiv:1605.08803 (coupling).
    Masked Autoregressive Flow for Density Estimation, Papamakarios et al., 2017, arXiv:1705.07057.

    >>> prior = Flow(4, flow="coupling", layers=2, width=16)
    >>> p = prior().expand(5)
    >>> p.log_prob(p.sample()).shape
    torch.Size([5])

    Args:
        shape: shape of the latents.
        flow: coupling or autoregressive.
        layers: number of maps in the chain, at least 1.
        width: width of the two hidden layers of every map.

    Raises:
        ValueError: if the latents are a single number, or `layers` or `width` is below 1.
    """

    shift: Tensor
    log_scale: Tensor

    def __init__(
        self, *shape: int, flow: FlowName = "coupling", layers: int = 4, width: int = 64
    ) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(1, *shape))
        self.register_buffer("log_scale", torch.zeros(1, *shape))
        self.chain = Chain(self.shift.numel(), flow, layers, width)

    def forward(self, *given: Tensor) -> Flowed:
        weights = {**dict(self.chain.named_parameters()), **dict(self.chain.named_buffers())}
        return Flowed(self.shift, self.log_scale, self.chain, weights)
