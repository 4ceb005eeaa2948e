r"""A prior over codes, fitted to those of a trained model: each position given those before it.

log p(z) = Σ_n log p(k_n | k_1, …, k_(n−1))         (as VQ-VAE's, 1711.00937; here by attention)

It makes up for what a uniform prior wastes: codes that are used unevenly, and positions that tell
of each other. Its log-probability is exact, so D − log p(z) still bounds −log p(x).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.core import Conditional
from vaelab.distributions import Distribution, OneHotCategorical, UniformCodes
from vaelab.distributions.base import gumbel_like
from vaelab.nets.causal import CausalTransformer
from vaelab.parts.quantize import nearest


@dataclass(frozen=True, eq=False)
class CodeSequence(Distribution):
    """P positions, one after another, each one of K codes.

    Attributes:
        table: the codes, (B, K, D).
        positions: P; z is (B, P, D).
        logits: indices (B, n) ↦ logits (B, n, K), each given the indices before it.
    """

    table: Tensor
    positions: int
    logits: Callable[[Tensor], Tensor]

    @property
    def mean(self) -> Tensor:
        """The likeliest code at every position in turn, for E[z] has no closed form."""
        return self.sample(0.0)

    def log_prob(self, x: Tensor) -> Tensor:
        index = nearest(x, self.table[0])
        log_p = torch.log_softmax(self.logits(index), -1)
        return log_p.gather(-1, index[..., None]).flatten(1).sum(1)

    def sample(self, temperature: float = 1.0) -> Tensor:
        index = torch.zeros(len(self.table), 0, dtype=torch.long, device=self.table.device)
        for n in range(self.positions):
            # What stands at the place that is asked for is not seen.
            logits = self.logits(torch.nn.functional.pad(index, (0, 1)))[:, n]
            drawn = (logits + temperature * gumbel_like(logits)).argmax(-1, keepdim=True)
            index = torch.cat([index, drawn], 1)
        return torch.take_along_dim(self.table, index[..., None], 1)


class Autoregressive(Conditional):
    """A causal transformer over the positions of a code.

    Args:
        table: the K codes a position may take, (K, D).
        positions: P, at least 1.
        width: of its layers, a multiple of 4.
        layers: of attention.
    """

    table: Tensor

    def __init__(self, table: Tensor, positions: int, width: int = 128, layers: int = 2) -> None:
        super().__init__()
        self.positions = positions
        self.register_buffer("table", table.detach().clone())
        self.net = CausalTransformer(len(table), positions, width, layers)

    def forward(self, *given: Tensor) -> CodeSequence:
        return CodeSequence(self.table[None], self.positions, self.net)


def alphabet(prior: Distribution) -> Tensor:
    """The codes (K, D) that each position of a latent may take, from its own prior.

    Raises:
        ValueError: where the latent is not made of codes.
    """
    if isinstance(prior, UniformCodes):
        return prior.table[0]
    if isinstance(prior, OneHotCategorical):
        return torch.eye(prior.logits.shape[-1]).to(prior.logits)
    raise ValueError(
        f"the latent is no code (its prior is {type(prior).__name__}), so no position follows "
        "another; an autoregressive prior over codes is for models such as vq, fsq or gumbel"
    )


def fit_autoregressive(
    prior: Autoregressive,
    codes: Tensor,
    held_out: Tensor,
    *,
    steps: int = 2000,
    batch: int = 128,
    lr: float = 1e-3,
    told: Callable[[int, int, float], None] = lambda done, total, nats: None,
) -> list[float]:
    """Fits a prior by maximum likelihood; it ends with the weights that held-out codes liked best.

    Draws come from torch's own generator.

    Args:
        prior: is changed in place.
        codes: of training data, (N, P, D).
        held_out: of other data, (M, P, D), to stop by.
        steps: of gradient descent.
        batch: codes a step.
        lr: the largest learning rate; it falls to 0 along a cosine.
        told: of the steps done, of how many, and what a held-out code cost last.

    Returns:
        Nats a held-out code costs, at the start and after each tenth of the steps.

    Raises:
        ValueError: where the codes are of another shape.
    """
    shape = (prior.positions, prior.table.shape[1])
    if codes.shape[1:] != shape or held_out.shape[1:] != shape:
        raise ValueError(
            f"codes have shapes {tuple(codes.shape)} and {tuple(held_out.shape)}; "
            f"expected (N, {shape[0]}, {shape[1]})"
        )
    optimizer = torch.optim.AdamW(prior.parameters(), lr)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    costs, best = [_cost(prior, held_out)], copy.deepcopy(prior.state_dict())
    for step in range(1, steps + 1):
        rows = codes[torch.randint(len(codes), (batch,))]
        optimizer.zero_grad()
        (-prior().log_prob(rows)).mean().backward()
        optimizer.step()
        fall.step()
        if step % max(1, steps // 10) == 0:
            costs.append(_cost(prior, held_out))
            best = copy.deepcopy(prior.state_dict()) if costs[-1] == min(costs) else best
        told(step, steps, costs[-1])
    prior.load_state_dict(best)
    return costs


@torch.no_grad()
def _cost(prior: Autoregressive, codes: Tensor) -> float:
    parts = [-prior().log_prob(rows).double() for rows in codes.split(1024)]
    return float(torch.cat(parts).mean())
