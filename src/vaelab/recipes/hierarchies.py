"""Hierarchies: latents from the top down, with posteriors that read the decoder's state."""

from __future__ import annotations

from torch import nn

from vaelab.core import VAE, Ladder
from vaelab.data import DataSpec
from vaelab.nets import MLPDecoder, MLPPyramid
from vaelab.nets.conv import PixelMajor
from vaelab.nets.init import ConvOutput
from vaelab.nets.pyramid import ConvPyramid, ResidualBottleneck, resolutions
from vaelab.objectives import Distortion, Rate
from vaelab.parts.ladder import ConvBlock, DenseBlock, Root
from vaelab.recipes.building import check_latent
from vaelab.recipes.design import Design, conditional_root, fit_likelihood, shown
from vaelab.recipes.registry import Built, recipe


@recipe
def ladder(
    data: DataSpec,
    latent: int = 8,
    levels: int = 2,
    design: Design = Design(),
) -> Built:
    """A hierarchy of perceptrons, posteriors reading the decoder's state (ladder VAE, 1602.02282).

    Good for tables and small images with structure at several levels.

    Args:
        data: data to model.
        latent: dimensions of z at every level, at least 1.
        levels: number of levels, at least 1.
        design: width and likelihood; its networks are perceptrons.
    """
    if levels < 1:
        raise ValueError(f"levels is {levels}; a ladder needs at least 1")
    if design.net not in ("auto", "mlp"):
        raise ValueError(f"net is {design.net}; the ladder consists of perceptrons (net mlp)")
    design.refuse_own_networks("the ladder")
    check_latent(latent)
    width = design.width or 512
    likelihood, data, reason = fit_likelihood(design, data)
    generator = Ladder(
        conditional_root(data, Root(width), width),
        [DenseBlock(latent, width, level, levels**-0.5) for level in range(levels)],
        MLPDecoder(width, data.shape, likelihood.params, (width,)),
        likelihood,
    )
    encoder = shown(data, lambda shape: MLPPyramid(shape, width, levels), design.hide)
    return Built(VAE(encoder, generator), Distortion() + Rate(), data, reason)


@recipe
def deep_ladder(
    data: DataSpec,
    latent: int = 4,
    layers: tuple[int, ...] = (2, 2, 2, 0),
    design: Design = Design(),
) -> Built:
    """A deep hierarchy of latent maps, from coarse to fine, on residual convolutions (2011.10650).

    Good for the best likelihood on images that time allows.

    Args:
        data: data to model, images of any size.
        latent: channels of z at every layer, at least 1.
        layers: number of layers at each resolution, the coarsest first. The last is the
            image's own, each one before it has half the sides; the first has at least 1 layer,
            another may have 0.
        design: width (32 channels if not set) and likelihood; its convolutions are its own.
    """
    if not data.is_image:
        raise ValueError(
            f"the deep ladder models images (C, H, W); this data has shape {data.shape}. Use the "
            "recipe ladder, which consists of perceptrons (net mlp)"
        )
    if design.net == "conv":
        raise ValueError(
            "net is conv; the deep ladder has residual convolutions of its own. Leave net at "
            "its default (net auto or net mlp), or say net resconv"
        )
    design.refuse_own_networks("the deep ladder")
    check_latent(latent)
    if not layers or min(layers) < 0 or layers[0] < 1:
        raise ValueError(
            f"layers is {layers}; expected a number of layers for each resolution, at least 1 for "
            "the coarsest, which comes first, and 0 or more for the others"
        )
    width = design.width or 32
    sizes = resolutions(data.shape, len(layers))
    likelihood, data, reason = fit_likelihood(design, data)
    levels = [level for level, count in enumerate(layers) for _ in range(count)]
    gain = len(levels) ** -0.5
    blocks = []
    for level, following in zip(levels, [*levels[1:], len(layers) - 1], strict=True):
        below: list[nn.Module] = [ResidualBottleneck(width, gain)]
        if following != level:
            below.append(nn.Upsample(sizes[following]))
        blocks.append(ConvBlock(latent, width, level, nn.Sequential(*below), gain))
    generator = Ladder(
        conditional_root(data, nn.Sequential(Root(width, *sizes[0]), PixelMajor()), width, 1, 1),
        blocks,
        nn.Sequential(
            ResidualBottleneck(width, gain),
            ConvOutput(width, likelihood.params * data.shape[0]),
        ),
        likelihood,
    )
    encoder = shown(data, lambda shape: ConvPyramid(shape, width, layers))
    return Built(VAE(encoder, generator), Distortion() + Rate(), data, reason)
