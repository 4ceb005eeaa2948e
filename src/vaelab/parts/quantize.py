r"""Codebooks: what an encoder says becomes the nearest of K codes.

    z = c_k,  k = argmin_j ‖e − c_j‖          R = P log K for P positions and a uniform prior

The gradient reaches the encoder straight through. The codes themselves follow a gradient (van den
Oord et al., 1711.00937), or the running average of what they stand for (its appendix A.1), or do
not move at all (finite scalars, 2309.15505). Each level of a `Ladder` owns its codebook, so prior
and posterior share it: one level is the VQ-VAE, several on each other's rest are residual
quantisation, and several with networks in between are VQ-VAE-2.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from vaelab.core import Block, Evidence, Site, full_precision
from vaelab.distributions import Quantized, UniformCodes
from vaelab.distributions.discrete import one_hot
from vaelab.nets import perceptron
from vaelab.nets.pyramid import bottleneck

DECAY = 0.99
"""Of every running average a codebook keeps: it sees about the last hundred batches."""

DEAD = 0.05
"""Share of its fair use below which a code is dead: some 300 batches without a single use."""


class Codebook(nn.Module, ABC):
    """K codes of D numbers; `prior` and `quantize` are the two ends of a latent.

    Attributes:
        table: the codes, (K, D).
        usage: how often each is used, as a running average of its share of all uses, (K,).
    """

    table: Tensor
    usage: Tensor

    def __init__(self, codes: int) -> None:
        super().__init__()
        if codes < 2:
            raise ValueError(f"codes is {codes}; with fewer than 2 a code says nothing")
        self.register_buffer("usage", torch.zeros(codes))

    def prior(self, positions: int) -> UniformCodes:
        """Every code alike at each of P positions, batch 1."""
        return UniformCodes(self.table.detach()[None], self.usage[None], positions)

    @abstractmethod
    def quantize(self, e: Tensor) -> Quantized:
        """The code for what an encoder said, e (B, P, D) in float32 or better."""

    @abstractmethod
    def update_buffers(self, q: Quantized) -> None:
        """Changes what no gradient changes, after a step that quantised so; without gradients."""

    def count(self, index: Tensor) -> None:
        """Moves the running usage towards that of codes (B, P)."""
        uses = torch.ones_like(index, dtype=self.usage.dtype).flatten()
        seen = torch.zeros_like(self.usage).index_add(0, index.flatten(), uses)
        self.usage.lerp_(seen / uses.numel(), 1 - DECAY)

    def revive(self, e: Tensor) -> tuple[Tensor, Tensor]:
        """Which codes are dead, (K, 1), and what was encoded at random places, (K, D), for them.

        Codes that have never been used are dead too, so that at the first step the codebook is
        laid out over what the encoder says. The revived count as used at their fair share.
        """
        K, rows = len(self.usage), e.flatten(0, 1)
        dead = self.usage < DEAD / K
        self.usage.copy_(torch.where(dead, 1 / K, self.usage))
        return dead[:, None], rows[torch.randint(len(rows), (K,), device=rows.device)]


def nearest(e: Tensor, table: Tensor) -> Tensor:
    """Index of the code of `table` (K, D) nearest to each vector of e (…, D)."""
    with torch.no_grad(), torch.autocast(e.device.type, enabled=False):
        return (table.square().sum(-1) - 2 * e @ table.mT).argmin(-1)


class LearnedCodebook(Codebook):
    """Codes that follow the gradient of a codebook loss; dead ones are revived.

    Args:
        codes: K, at least 2.
        dim: D, at least 1.
    """

    def __init__(self, codes: int, dim: int) -> None:
        super().__init__(codes)
        self.table = nn.Parameter(torch.randn(codes, dim))

    def quantize(self, e: Tensor) -> Quantized:
        index = nearest(e, self.table)
        return Quantized(e, self.table[index], index)

    def update_buffers(self, q: Quantized) -> None:
        self.count(q.index)
        dead, fresh = self.revive(q.encoded)
        self.table.copy_(torch.where(dead, fresh, self.table))


class AveragedCodebook(Codebook):
    """Codes that are the running average of what they stand for; dead ones are revived.

    u_k ← γ u_k + (1 − γ) n_k / M      s_k ← γ s_k + (1 − γ) Σ_{e at k} e / M      c_k = s_k / u_k

    for M vectors in a batch, n_k of them nearest to code k, and γ = `DECAY`.

    Args:
        codes: K, at least 2.
        dim: D, at least 1.
    """

    sums: Tensor

    def __init__(self, codes: int, dim: int) -> None:
        super().__init__(codes)
        self.register_buffer("table", torch.randn(codes, dim))
        self.register_buffer("sums", torch.zeros(codes, dim))

    def quantize(self, e: Tensor) -> Quantized:
        index = nearest(e, self.table)
        return Quantized(e, self.table[index], index)

    def update_buffers(self, q: Quantized) -> None:
        self.count(q.index)
        rows, hits = q.encoded.flatten(0, 1), one_hot(q.index.flatten(), self.usage)
        self.sums.lerp_(hits.mT @ rows / len(rows), 1 - DECAY)
        dead, fresh = self.revive(q.encoded)
        # A revived code has its fair share of uses now, all of them where it was put.
        self.sums.copy_(torch.where(dead, fresh * self.usage[:, None], self.sums))
        self.table.copy_(self.sums / self.usage[:, None])


class FiniteScalars(Codebook):
    """Each of D numbers is squashed and rounded to one of its own levels (2309.15505).

    z_d = 2 round((L_d − 1) (tanh e_d + 1) / 2) / (L_d − 1) − 1,  in [−1, 1];  K = Π_d L_d

    The codes are all combinations of levels: nothing is learned, and no loss is needed for it.

    Args:
        levels: L_d, each at least 2.
    """

    top: Tensor
    radix: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        if not levels or min(levels) < 2:
            raise ValueError(
                f"levels are {tuple(levels)}; expected at least 2 for each number of a code, and "
                "at least one number"
            )
        super().__init__(math.prod(levels))
        steps = torch.cartesian_prod(*(torch.arange(n) for n in levels)).view(-1, len(levels))
        top = torch.tensor(levels) - 1
        radix = [math.prod(levels[d + 1 :]) for d in range(len(levels))]
        self.register_buffer("top", top.float(), persistent=False)
        self.register_buffer("radix", torch.tensor(radix), persistent=False)
        self.register_buffer("table", 2 * steps / top - 1, persistent=False)

    def quantize(self, e: Tensor) -> Quantized:
        inside = torch.tanh(e)
        step = torch.round(self.top * (inside + 1) / 2)
        return Quantized(inside, 2 * step / self.top - 1, (step.long() * self.radix).sum(-1))

    def update_buffers(self, q: Quantized) -> None:
        self.count(q.index)


class ResidualCodes(Block):
    """A level that codes what the levels above it have left over (SoundStream, 2107.03312).

    h is what has been coded so far, (B, P, D), from a `Blank` at the top, or from the condition;
    the first level alone is the VQ-VAE. The evidence is what the encoder said, (B, P, D).

    Args:
        book: of this level.
        positions: P, at least 1.
        first: whether no level is above it.
    """

    def __init__(self, book: Codebook, positions: int, first: bool) -> None:
        super().__init__()
        self.book, self.positions, self.first = book, positions, first

    def prior(self, h: Tensor) -> UniformCodes:
        return self.book.prior(self.positions)

    def posterior(self, h: Tensor, evidence: Evidence) -> Quantized:
        return self.book.quantize(full_precision(cast(Tensor, evidence)) - h.detach())

    def merge(self, h: Tensor, z: Tensor) -> Tensor:
        # Of the levels the first alone passes the gradient on: the encoder gets it just once.
        return h + (z if self.first else z.detach())

    def update_buffers(self, site: Site) -> None:
        self.book.update_buffers(cast(Quantized, site.posterior))


class DenseCodes(Block):
    """A quantised level of perceptrons, P positions on a state of `width` (VQ-VAE-2, 1906.00446).

    e = posterior([h, evidence])      z = quantise(e)      h ← h + merge([h, z])

    Args:
        book: of this level.
        positions: P, at least 1.
        width: of the decoder's state and of the evidence.
        level: which entry of the evidence it reads.
    """

    def __init__(self, book: Codebook, positions: int, width: int, level: int) -> None:
        super().__init__()
        self.book, self.positions, self.level = book, positions, level
        numbers = positions * book.table.shape[1]
        self.to_code = perceptron([2 * width, width, numbers])
        self.to_state = perceptron([width + numbers, width, width])

    def prior(self, h: Tensor) -> UniformCodes:
        return self.book.prior(self.positions)

    def posterior(self, h: Tensor, evidence: Evidence) -> Quantized:
        e = self.to_code(torch.cat([h, evidence[self.level]], 1))
        return self.book.quantize(full_precision(e).unflatten(1, (self.positions, -1)))

    def merge(self, h: Tensor, z: Tensor) -> Tensor:
        return h + self.to_state(torch.cat([h, z.flatten(1).to(h.dtype)], 1))

    def update_buffers(self, site: Site) -> None:
        self.book.update_buffers(cast(Quantized, site.posterior))


class MapCodes(Block):
    """A quantised level of convolutions, one position a pixel of the state's maps (1906.00446).

    As `DenseCodes`, on a state and evidence (B, width, height, width of the maps).

    Args:
        book: of this level.
        width: channels of the decoder's state and of the evidence.
        level: which entry of the evidence it reads.
        below: what becomes of the state once it knows z, on its way to the next level's size.
    """

    def __init__(self, book: Codebook, width: int, level: int, below: nn.Module) -> None:
        super().__init__()
        self.book, self.level, self.below = book, level, below
        dim = book.table.shape[1]
        self.to_code = bottleneck(2 * width, dim, max(1, width // 2))
        self.to_state = nn.Conv2d(dim, width, 1)

    def prior(self, h: Tensor) -> UniformCodes:
        return self.book.prior(math.prod(h.shape[2:]))

    def posterior(self, h: Tensor, evidence: Evidence) -> Quantized:
        e = self.to_code(torch.cat([h, evidence[self.level]], 1))
        return self.book.quantize(full_precision(e).flatten(2).mT)

    def merge(self, h: Tensor, z: Tensor) -> Tensor:
        maps = z.to(h.dtype).mT.unflatten(2, h.shape[2:])
        return self.below(h + self.to_state(maps))

    def update_buffers(self, site: Site) -> None:
        self.book.update_buffers(cast(Quantized, site.posterior))
