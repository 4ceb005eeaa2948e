r"""Autoregressive prior over codes, fitted to those of a trained model.

log p(z) = Σ_n log p(k_n | k_1, …, k_(n−1))

Unlike a uniform prior it exploits uneven usage of the codes and dependence between positions. Its
log-probability is exact, so that D − log p(z) still bounds −log p(x).

Reference: Neural Discrete Representation Learning, van den Oord et al., 2017, arXiv:1711.00937;
here with attention.
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
    """Autoregressive distribution over P positions, each one of K codes.

    Attributes:
        table: codes, (B, K, D).
        positions: number of positions P; z is (B, P, D).
        logits: function from indices (B, n) to logits (B, n, K), each given the indices before it.
    """

    table: Tensor
    positions: int
    logits: Callable[[Tensor], Tensor]

    @property
    def mean(self) -> Tensor:
        """Most probable code at each position in turn; E[z] has no closed form."""
        return self.sample(0.0)

    def log_prob(self, x: Tensor) -> Tensor:
        index = nearest(x, self.table[0])
        log_p = torch.log_softmax(self.logits(index), -1)
        return log_p.gather(-1, index[..., None]).flatten(1).sum(1)

    def sample(self, temperature: float = 1.0) -> Tensor:
        index = torch.zeros(len(self.table), 0, dtype=torch.long, device=self.table.device)
        for n in range(self.positions):
            # The padding at the position to predict is masked.
            logits = self.logits(torch.nn.functional.pad(index, (0, 1)))[:, n]
            drawn = (logits + temperature * gumbel_like(logits)).argmax(-1, keepdim=True)
            index = torch.cat([index, drawn], 1)
        return torch.take_along_dim(self.table, index[..., None], 1)


class Autoregressive(Conditional):
    """Causal transformer prior over the positions of a code.

    log p(z) = Σ_n log p(k_n | k_1, …, k_(n−1))

    >>> prior = Autoregressive(torch.randn(8, 2), positions=3, width=16)
    >>> prior().log_prob(prior().sample()).shape
    torch.Size([1])

    Args:
        table: codes, (K, D).
        positions: number of positions P, at least 1.
        width: width of the layers, a multiple of 4.
        layers: number of attention layers.
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
    """Codes (K, D) that each position of a latent may take, from its own prior.

    Raises:
        ValueError: if the latent does not consist of codes.
    """
    if isinstance(prior, UniformCodes):
        return prior.table[0]
    if isinstance(prior, OneHotCategorical):
        return torch.eye(prior.logits.shape[-1]).to(prior.logits)
    raise ValueError(
        f"the latent is not a code (its prior is {type(prior).__name__}) and has no positions; an "
        "autoregressive prior over codes is for models such as vq, fsq or gumbel"
    )


def fit_autoregressive(
    prior: Autoregressive,
    codes: Tensor,
    held_out: Tensor,
    *,
    steps: int = 2000,
    batch: int = 128,
    lr: float = 1e-3,
    progress: Callable[[int, int, float], None] = lambda done, total, nats: None,
) -> list[float]:
    """Fit a prior by maximum likelihood; it ends with the weights of the lowest held-out cost.

    Draws come from torch's global generator.

    Args:
        prior: prior to fit, changed in place.
        codes: codes of training data, (N, P, D).
        held_out: codes of other data, (M, P, D), for early stopping.
        steps: number of gradient steps.
        batch: codes per step.
        lr: largest learning rate; it falls to 0 along a cosine.
        progress: called with the steps done, their total and the latest held-out −log p(code).

    Returns:
        −log p of a held-out code in nats, at the start and after each tenth of the steps.

    Raises:
        ValueError: if the codes have another shape.
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
        progress(step, steps, costs[-1])
    prior.load_state_dict(best)
    return costs


@torch.no_grad()
def _cost(prior: Autoregressive, codes: Tensor) -> float:
    parts = [-prior().log_prob(rows).double() for rows in codes.split(1024)]
    return float(torch.cat(parts).mean())
