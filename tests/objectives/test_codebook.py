"""Codebook and commitment losses, by hand."""

from __future__ import annotations

import torch

from vaelab.core import Site, Trace
from vaelab.distributions import Quantized
from vaelab.objectives.codebook import CodebookLoss, Commitment

B, D = 5, 2


def test_codebook_loss_and_commitment_are_squared_distances_by_hand() -> None:
    """Of two quantised latents of unlike sizes, with a gradient on one side each."""
    sites, expected = [], torch.zeros(2, B, dtype=torch.float64)
    leaves = []
    for positions in (2, 3):
        e = torch.randn(2 * B, positions, D, dtype=torch.float64, requires_grad=True)
        c = torch.randn(2 * B, positions, D, dtype=torch.float64, requires_grad=True)
        q = Quantized(e, c, torch.zeros(2 * B, positions, dtype=torch.long))
        sites.append(Site(q.sample(), q, q))
        leaves.append((e, c))
        expected = expected + ((e - c) ** 2).sum((1, 2)).detach().unflatten(0, (2, B))
    trace = Trace(tuple(sites), sites[0].posterior, 2)
    for objective, name, side in ((CodebookLoss(), "codebook", 1), (Commitment(), "commitment", 0)):
        loss = objective(trace, torch.zeros(B, 1))
        torch.testing.assert_close(loss.total.detach(), expected.mean(0))
        assert set(loss.parts) == {name}
        for pair in leaves:
            apart = torch.autograd.grad(
                loss.total.sum(), pair, retain_graph=True, allow_unused=True
            )
            assert apart[1 - side] is None
            torch.testing.assert_close(apart[side], (pair[side] - pair[1 - side]).detach())
