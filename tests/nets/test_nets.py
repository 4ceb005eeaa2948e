"""Networks: any size, any number of channels, both ways."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vaelab.nets import (
    ConvDecoder,
    ConvEncoder,
    MLPDecoder,
    MLPEncoder,
    MLPPyramid,
    perceptron,
    plain,
    residual,
)
from vaelab.nets.shapes import halvings, image_shape, useful_levels

STAGES: list[Callable[[int], nn.Module]] = [plain, residual]
shapes = st.tuples(st.integers(1, 4), st.integers(1, 37), st.integers(1, 37))


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@given(shapes, st.integers(1, 3), st.integers(1, 12), st.sampled_from(STAGES))
@settings(max_examples=25)
def test_convolutions_take_images_of_any_size(
    shape: tuple[int, ...], params: int, width: int, stage: Any
) -> None:
    x = torch.randn(2, *shape)
    code = ConvEncoder(shape, 5, width, stage)(x)
    assert code.shape == (2, 5)
    back = ConvDecoder(5, shape, params, width, stage)(code)
    assert back.shape == (2, params * shape[0], *shape[1:])
    assert back.isfinite().all()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 37, 23), (2, 1, 40), (1, 4, 4)], ids=str)
def test_every_pixel_is_seen_and_every_code_is_used(shape: tuple[int, ...], stage: Any) -> None:
    x = torch.randn(1, *shape, requires_grad=True)
    code = ConvEncoder(shape, 3, 4, stage)(x)
    (seen,) = torch.autograd.grad(code.square().sum(), x)
    assert (seen != 0).all()
    z = torch.randn(1, 3, requires_grad=True)
    (used,) = torch.autograd.grad(ConvDecoder(3, shape, 1, 4, stage)(z).square().sum(), z)
    assert (used != 0).all()


@given(st.one_of(shapes, st.tuples(st.integers(1, 50))), st.integers(1, 3))
@settings(max_examples=20)
def test_perceptrons_take_data_of_any_shape(shape: tuple[int, ...], params: int) -> None:
    x = torch.randn(2, *shape)
    code = MLPEncoder(shape, 4, (6, 5))(x)
    assert code.shape == (2, 4)
    assert MLPDecoder(4, shape, params, (6, 5))(code).shape == (2, params * shape[0], *shape[1:])
    evidence = MLPPyramid(shape, 7, 3)(x)
    assert [e.shape for e in evidence] == [(2, 7)] * 3


def test_an_example_is_answered_whatever_its_company() -> None:
    shape = (2, 9, 7)
    for encoder in (MLPEncoder(shape, 3, (8,)), ConvEncoder(shape, 3, 8, residual)):
        x = torch.randn(5, *shape)
        alone = torch.cat([encoder(row[None]) for row in x])
        torch.testing.assert_close(encoder(x), alone, rtol=1e-4, atol=1e-5)


def test_the_top_level_of_a_pyramid_is_first_and_sees_through_the_others() -> None:
    pyramid = MLPPyramid((6,), 4, 2)
    x = torch.randn(1, 6)
    top, bottom = pyramid(x)
    torch.testing.assert_close(bottom, pyramid.stages[0](x))
    torch.testing.assert_close(top, pyramid.stages[1](bottom))


def test_sizes_of_networks() -> None:
    assert parameters(perceptron([10, 20, 3])) == 10 * 20 + 20 + 20 * 3 + 3
    assert parameters(MLPEncoder((1, 28, 28), 32)) == 784 * 512 + 512 + 512 * 513 + 513 * 32
    # Layers are mirrored: encoder and decoder of one design are of one size, nearly.
    for shape in [(1, 28, 28), (3, 64, 64), (3, 37, 23)]:
        up, down = ConvEncoder(shape, 32), ConvDecoder(16, shape)
        assert 0.5 < parameters(up) / parameters(down) < 2.5
        assert parameters(up) < 2_000_000


def test_a_hidden_layer_order_is_mirrored() -> None:
    encoder, decoder = MLPEncoder((9,), 2, (7, 5)), MLPDecoder(2, (9,), 1, (7, 5))
    up = [m.in_features for m in encoder.net if isinstance(m, nn.Linear)]
    down = [m.out_features for m in decoder.net if isinstance(m, nn.Linear)]
    assert up == [9, 7, 5]
    assert down == [5, 7, 9]
    assert not isinstance(decoder.net[-1], nn.GELU)  # the likelihood owns the activation


@given(st.integers(1, 300), st.integers(1, 300))
def test_halvings_end_at_a_small_image(height: int, width: int) -> None:
    levels = useful_levels(height, width)
    sizes = halvings(height, width, levels)
    assert len(sizes) == levels + 1
    assert sizes[0] == (height, width)
    assert all(b == (math.ceil(h / 2), math.ceil(w / 2)) for (h, w), b in pairwise(sizes))
    assert levels == 4 or max(sizes[-1]) <= 4
    assert levels == 0 or max(sizes[-2]) > 4


def test_a_table_is_no_image() -> None:
    with pytest.raises(ValueError, match=r"shape \(5,\).*net mlp"):
        image_shape((5,))


def test_first_layer_of_a_perceptron_on_vectors_starts_small() -> None:
    torch.manual_seed(3)
    for net, inputs in ((MLPEncoder((2, 90), 7), 180), (MLPDecoder(24, (1, 5)), 24)):
        first, second = [m for m in net.modules() if type(m) is nn.Linear][:2]
        assert first.weight.var().item() == pytest.approx(2 / inputs / 16, rel=0.1)
        assert second.weight.var().item() == pytest.approx(2 / 512, rel=0.1)
        assert not first.bias.any()
