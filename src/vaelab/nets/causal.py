"""A network over sequences in which no place sees itself or what comes after it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CausalBlock(nn.Module):
    """h + attention(norm h) over the places up to each, then h + perceptron(norm h)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3 * width))
        self.from_heads = nn.Linear(width, width)
        self.net = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, h: Tensor) -> Tensor:
        q, k, v = self.to_qkv(h).unflatten(2, (3, self.heads, -1)).movedim(1, 3).unbind(1)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + self.from_heads(seen.movedim(1, 2).flatten(2))
        return h + self.net(h)


class CausalTransformer(nn.Module):
    """Indices (B, n ≤ P) of K classes ↦ logits (B, n, K), each given the indices before it.

    Args:
        classes: K.
        positions: P.
        width: width of every layer, a multiple of `heads`.
        layers: number of attention layers.
        heads: number of attention heads.
    """

    def __init__(
        self, classes: int, positions: int, width: int = 128, layers: int = 2, heads: int = 4
    ) -> None:
        super().__init__()
        if width < 1 or width % heads:
            raise ValueError(f"width is {width}; expected a multiple of the {heads} heads")
        self.symbols = nn.Embedding(classes, width)
        self.start = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, positions, width))
        self.blocks = nn.Sequential(*(CausalBlock(width, heads) for _ in range(layers)))
        self.to_logits = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, index: Tensor) -> Tensor:
        # Moved on by one: what is predicted at a place has been told nothing of it.
        told = torch.cat([self.start.expand(len(index), -1, -1), self.symbols(index[:, :-1])], 1)
        return self.to_logits(self.blocks(told + self.places[:, : index.shape[1]]))
