"""Networks that stop at a grid: sizes, and that a position is a place."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from vaelab.nets import plain, residual
from vaelab.nets.conv import Stage
from vaelab.nets.feature_grid import GridDecoder, GridEncoder, grids, halvings_for


@pytest.mark.parametrize("stage", [plain, residual])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 7), (2, 1, 5)], ids=str)
@pytest.mark.parametrize("halvings", [0, 1, 2])
def test_there_and_back_for_images_of_any_size(
    shape: tuple[int, int, int], halvings: int, stage: Stage
) -> None:
    encoder = GridEncoder(shape, 5, halvings, 8, stage)
    decoder = GridDecoder(5, shape, 2, halvings, 8, stage)
    z = encoder(torch.randn(2, *shape))
    assert z.shape == (2, math.prod(grids(shape, halvings)[-1]), 5)
    assert decoder(z).shape == (2, 2 * shape[0], *shape[1:])
    assert all(p.requires_grad for net in (encoder, decoder) for p in net.parameters())


@pytest.mark.parametrize("back", [False, True], ids=["encoder", "decoder"])
def test_a_position_is_a_place_of_the_image(back: bool) -> None:
    """Row by row: what is far from a place does not reach it."""
    torch.manual_seed(0)
    shape, n = (1, 32, 24), 2
    height, width = grids(shape, n)[-1]
    row, column = 6, 1
    net: nn.Module = GridDecoder(3, shape, 1, n, 4) if back else GridEncoder(shape, 3, n, 4)
    given = torch.randn(1, height * width, 3) if back else torch.randn(1, *shape)
    changed = given.clone()
    if back:
        changed[0, row * width + column] += 1
    else:
        changed[0, 0, 4 * row + 1, 4 * column + 1] += 1
    differs = ((net(changed) - net(given)).abs() > 1e-7)[0]
    where = differs[0].nonzero() / 4 if back else differs.any(-1).view(height, width).nonzero()
    distance = (where - torch.tensor([row, column])).abs()
    assert len(where)
    assert distance.max() <= 3.5
    assert distance.float().mean() < 2


def test_the_coarsest_grid_that_is_fine_enough() -> None:
    for positions, sides in [(1, (1, 1)), (4, (2, 2)), (16, (4, 4)), (17, (7, 7)), (784, (28, 28))]:
        n = halvings_for((1, 28, 28), positions)
        assert grids((1, 28, 28), n)[-1] == sides
    with pytest.raises(ValueError, match="positions is 65, but an image of 8 × 8 has only 64"):
        halvings_for((1, 8, 8), 65)
    with pytest.raises(ValueError, match="net mlp"):
        halvings_for((5,), 1)
