r"""Gradients of the encoder with weights of their own.

A bound on log w(θ, z(φ)) has one weight a_k per draw; backpropagation carries it to the decoder's θ
and through z to the encoder's φ alike. If an estimator requires b_k for φ,

    −Σ_k a_k ∂_θ log w_k   and   −Σ_k b_k ∂_φ log w_k,

the model uses a `ReweightedPosterior`. Its forward pass is that of the posterior it wraps. Its
backward pass multiplies gradients to the encoder by b_k / a_k, which the objective provides. All
other gradients to the encoder through this posterior are reweighted too; without weights from an
objective, gradients pass unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Self, TypeVar, cast

import torch
from torch import Tensor, library

from vaelab.core import Conditional, Trace
from vaelab.distributions import Distribution

# In float32 a share of the weights underflows to 0, and no factor brings a gradient back from 0.
LEAST = 1e-20


@dataclass(frozen=True, eq=False)
class ReweightedDistribution(Distribution):
    """Distribution `q` with the dial (B, 2) that reweights the gradient of its encoder."""

    q: Distribution
    dial: Tensor

    @property
    def mean(self) -> Tensor:
        return self.q.mean

    def log_prob(self, x: Tensor) -> Tensor:
        return self.q.log_prob(x)

    def sample(self, temperature: float = 1.0) -> Tensor:
        return self.q.sample(temperature)

    def tensors(self) -> dict[str, Tensor]:
        return self.q.tensors()

    def expand(self, n: int) -> Self:
        return replace(self, q=self.q.expand(n), dial=self.dial.expand(n, 2))


class ReweightedPosterior(Conditional):
    """Posterior whose encoder's gradient an objective may reweight draw by draw in training.

    >>> from vaelab.parts.posteriors import DiagonalNormal
    >>> ReweightedPosterior(DiagonalNormal())(torch.zeros(5, 4)).sample().shape
    torch.Size([5, 2])

    Args:
        posterior: posterior of one tensor of evidence, and of the condition if there is one; all it
            learns must be in the encoder.

    Raises:
        ValueError: if the posterior has parameters, whose gradients would not be reweighted.
    """

    def __init__(self, posterior: Conditional) -> None:
        super().__init__()
        if any(True for _ in posterior.parameters()):
            raise ValueError(
                f"{type(posterior).__name__} has parameters of its own, whose gradients cannot be "
                "weighed apart from the decoder's; use a posterior without any, as DiagonalNormal"
            )
        self.posterior = posterior

    def forward(self, *given: Tensor) -> Distribution:
        if not self.training:
            return self.posterior(*given)
        evidence, dial = _dialled(given[0], 1)
        return ReweightedDistribution(self.posterior(evidence, *given[1:]), dial)


def steer(trace: Trace, log_w: Tensor, value: Tensor, decoder: Tensor, encoder: Tensor) -> Tensor:
    """Return (B,) with the numbers of `value`, and separate gradients on either side of z.

    Args:
        trace: trace of one latent, inferred by a `ReweightedPosterior`.
        log_w: log-weights (K, B), whose gradients are reweighted.
        value: reported value, (B,).
        decoder: weights a_k ≥ 0 for everything after z, (K, B).
        encoder: weights b_k for everything before z, (K, B).

    Raises:
        ValueError: if there are several latents.
        TypeError: if the posterior needs gradients but is not a `ReweightedPosterior`.
    """
    if len(trace.sites) != 1:
        raise ValueError(f"this objective is for one latent; here there are {len(trace.sites)}")
    site = trace.sites[0]
    if not isinstance(site.posterior, ReweightedDistribution):
        if site.z.requires_grad:
            raise TypeError(
                f"the posterior is a {type(site.posterior).__name__}, whose encoder's gradient "
                "cannot be reweighted; build the model with ReweightedPosterior(posterior) and "
                "keep it in training mode"
            )
        return value
    a, b = decoder.detach().clamp(min=LEAST), encoder.detach()
    carrier = -(a * log_w).sum(0)
    sent = (trace.unfold(site.posterior.dial) * torch.stack([b, a], -1)).sum((0, 2))
    # The dial is 0, and so is this term.
    return value.detach() + (carrier - carrier.detach()) + sent.to(carrier.dtype)


P = TypeVar("P", bound=Distribution)


def detached(p: P) -> P:
    """Return the same distribution, without gradients through its parameters.

    Raises:
        TypeError: if it consists of more than tensors and plain numbers.
    """
    if isinstance(p, ReweightedDistribution):
        return cast(P, detached(p.q))
    named = {f.name: getattr(p, f.name) for f in fields(cast(Any, p))}
    for name, value in named.items():
        if not isinstance(value, Tensor | bool | int | float | None):
            raise TypeError(
                f"{type(p).__name__}.{name} is a {type(value).__name__}, through which a gradient "
                "may pass unseen; use a posterior made of tensors, as DiagonalNormal"
            )
    return replace(cast(Any, p), **{k: t.detach() for k, t in p.tensors().items()})


# An operator of our own rather than a torch.autograd.Function, whose backward torch.compile leaves
# out where it meets it inside of torch.func.vmap.
@library.custom_op("vaelab::dialled", mutates_args=())
def _dialled(h: Tensor, axes: int) -> tuple[Tensor, Tensor]:
    """Return h unchanged, and zeros (…, 2) over its first axes, which carry b and a backwards."""
    return h.clone(), h.new_zeros((*h.shape[:axes], 2), dtype=_precise(h))


def _precise(h: Tensor) -> torch.dtype:
    return torch.promote_types(h.dtype, torch.float32)


def _no_context(ctx: Any, inputs: Any, output: Any) -> None:
    """Save nothing: the backward pass needs nothing of the forward pass."""


def _dialled_backward(ctx: Any, g: Tensor, sent: Tensor) -> tuple[Tensor, None]:
    b, a = sent.unbind(-1)
    # A scale of the loss is in g alone, as a and b share it.
    ratio = torch.where(a == 0, torch.ones_like(a), b / torch.where(a == 0, torch.ones_like(a), a))
    return (g * ratio.reshape(*ratio.shape, *[1] * (g.ndim - ratio.ndim))).to(g.dtype), None


def _dialled_vmap(
    info: Any, in_dims: Any, h: Tensor, axes: int
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    return _dialled(h.movedim(in_dims[0], 0), axes + 1), (0, 0)


@_dialled.register_fake
def _dialled_fake(h: Tensor, axes: int) -> tuple[Tensor, Tensor]:
    return torch.empty_like(h), h.new_empty((*h.shape[:axes], 2), dtype=_precise(h))


_dialled.register_autograd(_dialled_backward, setup_context=_no_context)
_dialled.register_vmap(_dialled_vmap)
