r"""Normalizing flows: a chain of invertible maps f takes z to noise u ~ N(0, I).

z = shift + scale · f⁻¹(u)        log p(z) = log N(u) + log |det ∂u/∂z|,  u = f((z − shift) / scale)

Every map shifts and scales each number by what follows from others
(1705.07057): in a *coupling*, one half from the other half (RealNVP, 1605.08803), so that a sample
takes hardly longer than a density; *autoregressive*, each from all before it, so that a density
takes one pass and a sample as many as there are numbers.
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
    """An invertible map of D numbers, f = f_n ∘ … ∘ f_1, each map zuko's.

    Args:
        size: D, at least 2: one number alone has no other to follow from.
        flow: coupling or autoregressive.
        layers: n, at least 1.
        width: of the two hidden layers behind every map.

    Raises:
        ValueError: where D is 1, or `layers` or `width` is below 1.
    """

    def __init__(self, size: int, flow: FlowName, layers: int, width: int) -> None:
        super().__init__()
        if size < 2:
            raise ValueError(
                "a flow of a single number is no more than a normal; take a mixture as its prior"
            )
        for name, value in (("layers", layers), ("width", width)):
            if value < 1:
                raise ValueError(f"{name} is {value}; a flow needs at least 1")
        # Late: importing zuko switches off the checks of torch.distributions everywhere.
        from zuko.flows.autoregressive import MaskedAutoregressiveTransform

        up = torch.arange(size)
        # A coupling is the autoregressive map of two groups: every second number, then the others.
        # Each map changes what the one before it left, or goes through the numbers backwards, so
        # that in the end each depends on all.
        passes = {"coupling": 2, "autoregressive": size}[flow]
        orders = {
            "coupling": [(size + 1) // 2 * ((up + i) % 2) for i in range(layers)],
            "autoregressive": [up.flip(0) if i % 2 else up for i in range(layers)],
        }[flow]
        self.maps = nn.ModuleList(
            MaskedAutoregressiveTransform(
                size, order=order, passes=passes, hidden_features=(width, width)
            )
            for order in orders
        )

    def forward(self, t: Tensor, back: bool = False) -> tuple[Tensor, Tensor]:
        """u = f(z) and log |det ∂u/∂z|, (B, D) and (B,), or `back`: z = f⁻¹(u) and log |det ∂z/∂u|.

        One method for both ways, as `functional_call` knows no other.
        """
        log_det = torch.zeros_like(t[:, 0])
        maps = [cast(Any, each)() for each in self.maps]
        for each in reversed(maps) if back else maps:
            t, change = (each.inv if back else each).call_and_ladj(t)
            log_det = log_det + change
        return t, log_det


@dataclass(frozen=True, eq=False)
class Flowed(Distribution):
    """What a chain makes of N(0, I): z = shift + scale · f⁻¹(u).

    Temperature scales u; at 0 the sample is the image of the centre of the noise, which is neither
    the mean of z nor its mode.

    Attributes:
        shift: (B, …).
        log_scale: (B, …).
        chain: f, of as many numbers as an example has.
        weights: of the chain, by name, as they were on the walk: where it was made with others in
            their place, as a population's are, it is judged with the same ones later.
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
    """A prior that is a flow, learned with the model or fitted to what it left.

    Args:
        shape: of the latents.
        flow: coupling or autoregressive.
        layers: maps in the chain, at least 1.
        width: of the two hidden layers behind every map.
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
