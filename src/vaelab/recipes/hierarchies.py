"""Hierarchies: latents from the top down, each posterior meeting the decoder's state."""

from __future__ import annotations

from vaelab.data import DataSpec
from vaelab.design import Design, fit_likelihood
from vaelab.nets import MLPDecoder, MLPPyramid
from vaelab.objectives import Distortion, Rate
from vaelab.parts.ladder import DenseBlock, Root
from vaelab.recipe import Built, recipe
from vaelab.recipes.compose import check_latent
from vaelab.walk import VAE, Ladder


@recipe
def ladder(
    data: DataSpec,
    latent: int = 8,
    levels: int = 2,
    design: Design = Design(),
) -> Built:
    """A hierarchy of perceptrons whose posteriors meet the decoder's state (1602.02282).

    Args:
        data: what it is to model.
        latent: dimensions of z at every level, at least 1.
        levels: how many, at least 1.
        design: width and likelihood; its networks are perceptrons.
    """
    if levels < 1:
        raise ValueError(f"levels is {levels}; a ladder needs at least 1")
    if design.net != "mlp":
        raise ValueError(f"net is {design.net}; the ladder is made of perceptrons (net mlp)")
    check_latent(latent)
    width = design.width or 512
    likelihood, data, reason = fit_likelihood(design, data)
    generator = Ladder(
        Root(width),
        [DenseBlock(latent, width, level) for level in range(levels)],
        MLPDecoder(width, data.shape, likelihood.params, (width,)),
        likelihood,
    )
    encoder = MLPPyramid(data.shape, width, levels)
    return Built(VAE(encoder, generator), Distortion() + Rate(), data, reason)
