"""One latent and a standard normal prior, trained against a critic.

A critic's loss does not measure the model, so the weights of the last epoch are kept.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from vaelab.data import DataSpec
from vaelab.nets import MLPEncoder, perceptron
from vaelab.objectives import Distortion, Rate
from vaelab.objectives.adversary import (
    Critic,
    CriticFeatures,
    CriticPriorMatch,
    CriticTotalCorrelation,
)
from vaelab.parts.posteriors import DiagonalNormal, Point
from vaelab.recipes.building import check_latent, check_weights, shallow
from vaelab.recipes.design import Design, shown
from vaelab.recipes.registry import Built, recipe

FEATURES = 256
"""Number of features of a critic of data."""

NOISE = 0.3
"""Noise on a critic's inputs, next to codes of deviation 1 and data in [0, 1] or standardised."""

SIGMA = 0.3
"""Deviation of a critic's features, in deviations of the data, as most vary together."""


@recipe
def factor_vae(
    data: DataSpec, latent: int = 16, gamma: float = 10.0, design: Design = Design()
) -> Built:
    """The VAE whose latents are made independent by a critic (FactorVAE, 1802.05983).

    Good for latents that vary one thing each, at less loss of detail than a higher β.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        gamma: weight of the total correlation, at least 0; 0 is the VAE.
        design: networks and likelihood; its width is the critic's too.
    """
    check_weights(gamma=gamma)
    against = gamma * CriticTotalCorrelation(_logit_of(latent, design))
    return shallow(data, latent, DiagonalNormal(), Distortion() + Rate() + against, design)


@recipe
def wae_gan(
    data: DataSpec, latent: int = 16, weight: float = 1.0, design: Design = Design()
) -> Built:
    """An autoencoder whose codes pass for draws from the prior, by a critic (1711.01558).

    Good for sharp reconstructions with a prior that still generates.

    Args:
        data: data to model.
        latent: dimensions of the code, at least 1.
        weight: weight of the critic's term in nats, at least 0; 0 is the autoencoder.
        design: networks and likelihood; its width is the critic's too.
    """
    check_weights(weight=weight)
    against = weight * CriticPriorMatch(_logit_of(latent, design), NOISE)
    return shallow(data, latent, Point(), Distortion() + against, design)


@recipe
def vae_gan(
    data: DataSpec,
    latent: int = 16,
    beta: float = 1.0,
    weight: float = 1.0,
    design: Design = Design(),
) -> Built:
    """The VAE with a critic's features as likelihood, whose images pass as real (1512.09300).

    Good for images that look real rather than blurred, if no likelihood is needed.

    The features are those of the critic's first layer, a perceptron for any choice of networks.

    Only the mean of the pixels is used, so the default likelihood has nothing to learn.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        beta: weight of the rate in nats against nats, at least 0.
        weight: weight of the realism in nats, at least 0.
        design: networks and likelihood; its width is the critic's too.
    """
    check_weights(beta=beta, weight=weight)
    if data.domain == "mixed":
        raise ValueError(
            "vae_gan compares means of numbers of one kind, but the columns of this data differ; "
            "use another recipe, such as vae"
        )
    if data.missing:
        raise ValueError(
            "vae_gan compares features of whole rows, but rows of this data have missing cells; "
            "use another recipe, such as vae"
        )
    if design.likelihood == "auto" and data.domain != "binary":
        design = replace(design, likelihood="gaussian-fixed")
    built = shallow(data, latent, DiagonalNormal(), Rate(), design)
    unconditional = replace(built.data, condition="none")  # the critic takes no condition
    # The first layer: deeper ones keep little of x beyond true against false.
    first = shown(unconditional, lambda shape: MLPEncoder(shape, FEATURES, hidden=()))
    critic = Critic(first, FEATURES, _logit_of(FEATURES, design))
    generator = built.model.generator
    features = CriticFeatures(critic, lambda draw: generator(draw), weight, NOISE, SIGMA)
    return built._replace(objective=features + beta * Rate())


def _logit_of(latent: int, design: Design) -> nn.Sequential:
    check_latent(latent)
    width = design.width or 512
    return perceptron([latent, width, width, width, 1])
