r"""Codebooks: an encoder's output is replaced by the nearest of K codes.

    z = c_k,  k = argmin_j ‖e − c_j‖          R = P log K for P positions and a uniform prior

The gradient passes straight through to the encoder. The codes themselves follow a gradient (van den
Oord et al., 1711.00937), running averages of the vectors they encode (its appendix A.1), or are
fixed (finite scalars, 2309.15505). Each level of a `Ladder` owns its codebook, which its prior and
posterior share: one level is the VQ-VAE, several on each other's residuals are residual
quantization, and several with networks in between are VQ-VAE-2.
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
from vaelab.nets.init import conv
from vaelab.nets.pyramid import bottleneck

DECAY = 0.99
"""Decay of every running average of a codebook: it covers about the last hundred batches."""

DEAD = 0.05
"""Share of its fair usage below which a code is dead: some 300 batches without a single use."""


class Codebook(nn.Module, ABC):
    """Codebook of K codes of D numbers; `prior` and `quantize` are the two ends of a latent.

    Attributes:
        table: codes, (K, D).
        usage: running average of each code's share of all uses, (K,).
    """

    table: Tensor
    usage: Tensor

    def __init__(self, codes: int) -> None:
        super().__init__()
        if codes < 2:
            raise ValueError(f"codes is {codes}; a code needs at least 2 to carry information")
        self.register_buffer("usage", torch.zeros(codes))

    def prior(self, positions: int) -> UniformCodes:
        """Uniform prior over the codes at each of P positions, batch 1."""
        return UniformCodes(self.table.detach()[None], self.usage[None], positions)

    @abstractmethod
    def quantize(self, e: Tensor) -> Quantized:
        """Quantize an encoder's output e (B, P, D) in float32 or better."""

    @abstractmethod
    def update_buffers(self, q: Quantized) -> None:
        """Update state that has no gradient after a step that quantized q; without gradients."""

    def count(self, index: Tensor) -> None:
        """Move the running usage towards the usage of codes with these indices (B, P)."""
        uses = torch.ones_like(index, dtype=self.usage.dtype).flatten()
        observed = torch.zeros_like(self.usage).index_add(0, index.flatten(), uses)
        self.usage.lerp_(observed / uses.numel(), 1 - DECAY)

    def revive(self, e: Tensor) -> tuple[Tensor, Tensor]:
        """Find dead codes, (K, 1), and encoder outputs at random, (K, D), to replace them.

        Codes that have never been used are dead too, so that the first step spreads the codebook
        over the encoder's outputs. Revived codes count as used at their fair share.
        """
        K, rows = len(self.usage), e.flatten(0, 1)
        dead = self.usage < DEAD / K
        self.usage.copy_(torch.where(dead, 1 / K, self.usage))
        return dead[:, None], rows[torch.randint(len(rows), (K,), device=rows.device)]


def nearest(e: Tensor, table: Tensor) -> Tensor:
    """Index of the code in `table` (K, D) nearest to each vector of e (…, D).

    >>> nearest(torch.tensor([[0.9], [-2.0]]), torch.tensor([[0.0], [1.0]]))
    tensor([1, 0])
    """
    with torch.no_grad(), torch.autocast(e.device.type, enabled=False):
        return (table.square().sum(-1) - 2 * e @ table.mT).argmin(-1)


class LearnedCodebook(Codebook):
    """Codebook whose codes follow the gradient of a codebook loss; dead codes are revived.

        z = c_k,  k = argmin_j ‖e − c_j‖

    Reference: Neural Discrete Representation Learning, van den Oord et al., 2017, arXiv:1711.00937.

    >>> book = LearnedCodebook(codes=8, dim=2)
    >>> book.quantize(torch.randn(5, 3, 2)).index.shape
    torch.Size([5, 3])

    Args:
        codes: number of codes K, at least 2.
        dim: numbers per code D, at least 1.

    Raises:
        ValueError: if there are fewer codes.
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
    """Codebook whose codes are running averages of the vectors they encode; dead codes are revived.

        u_k ← γ u_k + (1 − γ) n_k / M      s_k ← γ s_k + (1 − γ) Σ_{e at k} e / M      c_k = s_k /
        u_k

    for M vectors in a batch, n_k of them nearest to code k, and γ = `DECAY`.

    Reference: Neural Discrete Representation Learning, van den Oord et al., 2017, arXiv:1711.00937,
    appendix A.1.

    >>> book = AveragedCodebook(codes=8, dim=2)
    >>> with torch.no_grad():
    ...     book.update_buffers(book.quantize(torch.randn(5, 3, 2)))
    >>> book.usage.shape
    torch.Size([8])

    Args:
        codes: number of codes K, at least 2.
        dim: numbers per code D, at least 1.

    Raises:
        ValueError: if there are fewer codes.
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
        # A revived code has its fair share of uses now, all of them at its new position.
        self.sums.copy_(torch.where(dead, fresh * self.usage[:, None], self.sums))
        self.table.copy_(self.sums / self.usage[:, None])


class FiniteScalars(Codebook):
    """Finite scalar quantization: each of D numbers is squashed and rounded to its own levels.

        z_d = 2 round((L_d − 1) (tanh e_d + 1) / 2) / (L_d − 1) − 1,  in [−1, 1];  K = Π_d L_d

    The codes are all combinations of levels: nothing is learned, and no extra loss is needed.

    Reference: Finite Scalar Quantization: VQ-VAE Made Simple, Mentzer et al., 2023,
    arXiv:2309.15505.

    >>> FiniteScalars((3, 2)).quantize(torch.tensor([[[0.1, 5.0]]])).code
    tensor([[[0., 1.]]])

    Args:
        levels: numbers of levels L_d, each at least 2.

    Raises:
        ValueError: if there are no levels or one is below 2.
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
    """Level that encodes the residual of the levels above it.

    h is the sum of the codes so far, (B, P, D), from a `Blank` at the top or from the condition;
    the first level alone is the VQ-VAE. The evidence is the encoder's output, (B, P, D).

    Reference: SoundStream: An End-to-End Neural Audio Codec, Zeghidour et al., 2021,
    arXiv:2107.03312.

    Args:
        book: codebook of this level.
        positions: number of positions P, at least 1.
        first: True if no level is above it.
    """

    def __init__(self, book: Codebook, positions: int, first: bool) -> None:
        super().__init__()
        self.book, self.positions, self.first = book, positions, first

    def prior(self, h: Tensor) -> UniformCodes:
        return self.book.prior(self.positions)

    def posterior(self, h: Tensor, evidence: Evidence) -> Quantized:
        return self.book.quantize(full_precision(cast(Tensor, evidence)) - h.detach())

    def merge(self, h: Tensor, z: Tensor) -> Tensor:
        # Only the first level passes the gradient on, so that the encoder receives it just once.
        return h + (z if self.first else z.detach())

    def update_buffers(self, site: Site) -> None:
        self.book.update_buffers(cast(Quantized, site.posterior))


class DenseCodes(Block):
    """Quantized level of perceptrons, P positions on a state vector.

        e = posterior([h, evidence])      z = quantize(e)      h ← h + merge([h, z])

    Reference: Generating Diverse High-Fidelity Images with VQ-VAE-2, Razavi et al., 2019,
    arXiv:1906.00446.

    Args:
        book: codebook of this level.
        positions: number of positions P, at least 1.
        width: width of the decoder's state and of the evidence.
        level: index of its entry of the evidence.
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
    """Quantized level of convolutions, one position per pixel of the state's maps.

    As `DenseCodes`, on a state and evidence (B, width, height, width of the maps).

    Reference: Generating Diverse High-Fidelity Images with VQ-VAE-2, Razavi et al., 2019,
    arXiv:1906.00446.

    Args:
        book: codebook of this level.
        width: channels of the decoder's state and of the evidence.
        level: index of its entry of the evidence.
        below: module applied to the state after z has been merged, on its way to the next level's
            size.
    """

    def __init__(self, book: Codebook, width: int, level: int, below: nn.Module) -> None:
        super().__init__()
        self.book, self.level, self.below = book, level, below
        dim = book.table.shape[1]
        self.to_code = bottleneck(2 * width, dim)
        self.to_state = conv(dim, width, 1)

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
