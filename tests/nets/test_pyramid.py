"""The pyramid: any size, every resolution, any depth."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call, stack_module_state, vmap

from vaelab.nets.conv import PixelMajor
from vaelab.nets.pyramid import ConvPyramid, ResidualBottleneck, bottleneck, resolutions

shapes = st.tuples(st.integers(1, 4), st.integers(1, 37), st.integers(1, 37))


@given(shapes, st.data())
@settings(max_examples=25, deadline=None)
def test_features_of_every_resolution_for_images_of_any_size(
    shape: tuple[int, ...], data: st.DataObject
) -> None:
    most = (max(shape[1:]) - 1).bit_length() + 1
    depths = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=most))
    features = ConvPyramid(shape, 5, depths)(torch.randn(2, *shape))
    sizes = resolutions(shape, len(depths))
    assert [f.shape for f in features] == [(2, 5, *size) for size in sizes]
    assert sizes[-1] == shape[1:]
    for (h, w), (finer_h, finer_w) in pairwise(sizes):
        assert (h, w) == (-(-finer_h // 2), -(-finer_w // 2))
    assert all(f.isfinite().all() for f in features)


def test_an_image_has_resolutions_down_to_one_pixel() -> None:
    assert resolutions((3, 9, 7), 5) == [(1, 1), (2, 1), (3, 2), (5, 4), (9, 7)]
    assert resolutions((1, 1, 1), 1) == [(1, 1)]
    for shape, count, most in (((3, 9, 7), 6, 5), ((1, 8, 8), 5, 4), ((1, 1, 1), 2, 1)):
        with pytest.raises(
            ValueError, match=rf"^{count} resolutions .* has {most}: .* 1 to {most}"
        ):
            resolutions(shape, count)
    with pytest.raises(ValueError, match="0 resolutions"):
        resolutions((1, 8, 8), 0)
    with pytest.raises(ValueError, match=r"needs images .* has shape \(5,\)"):
        resolutions((5,), 1)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 13, 6), (2, 1, 20), (1, 4, 4)], ids=str)
@pytest.mark.parametrize("depth", [0, 1])
def test_every_pixel_is_seen_at_every_resolution(shape: tuple[int, ...], depth: int) -> None:
    most = (max(shape[1:]) - 1).bit_length() + 1
    x = torch.randn(1, *shape, requires_grad=True)
    for features in ConvPyramid(shape, 4, [depth] * most)(x):
        (seen,) = torch.autograd.grad(features.square().sum(), x, retain_graph=True)
        assert (seen != 0).all()


@torch.no_grad()
def test_the_spread_does_not_grow_with_depth() -> None:
    torch.manual_seed(0)
    nets = [ConvPyramid((3, 16, 16), 32, [depth]) for depth in (1, 64)]
    ends = [net.stages[0].get_submodule("1.net.7").weight for net in nets]
    assert float(ends[1].std() / ends[0].std()) == pytest.approx(1 / 8, rel=0.1)
    one, many = (net(torch.randn(4, 3, 16, 16))[0].std() for net in nets)
    assert float(many / one) == pytest.approx(1.0, abs=0.2)


@torch.no_grad()
def test_a_bottleneck_starts_where_it_is_told() -> None:
    h = torch.randn(2, 6, 5, 3)
    assert (bottleneck(6, 4, 0.0)(h) == 0).all()
    torch.manual_seed(0)
    whole = bottleneck(6, 4)(h)
    torch.manual_seed(0)
    torch.testing.assert_close(bottleneck(6, 4, 0.25)(h), whole / 4)
    assert whole.shape == (2, 4, 5, 3)
    assert torch.equal(ResidualBottleneck(6, 0.0)(h), h)
    assert ResidualBottleneck(1)(h[:, :1]).shape == (2, 1, 5, 3)


def test_layout_changes_and_values_do_not() -> None:
    x = torch.randn(2, 3, 5, 4)
    turned = PixelMajor()(x)
    assert torch.equal(turned, x)
    assert turned.is_contiguous(memory_format=torch.channels_last)
    for features in ConvPyramid((3, 8, 7), 4, [1, 0, 1])(torch.randn(2, 3, 8, 7)):
        assert features.is_contiguous(memory_format=torch.channels_last)


def test_pyramids_run_side_by_side() -> None:
    nets, x = [ConvPyramid((1, 7, 6), 4, [1, 1]) for _ in range(3)], torch.randn(2, 1, 7, 6)
    stacked = stack_module_state(list(nets))
    found = vmap(lambda p, b: functional_call(nets[0], (p, b), (x,)))(*stacked)
    for i, net in enumerate(nets):
        for together, alone in zip(found, net(x), strict=True):
            torch.testing.assert_close(together[i], alone)
