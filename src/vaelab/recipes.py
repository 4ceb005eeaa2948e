"""The zoo: one short typed function a family, each a composition of parts and an objective.

model = VAE(encoder, Shallow(prior, posterior, decoder, likelihood))      objective = D + β R
"""

from __future__ import annotations

from vaelab.data import DataSpec
from vaelab.design import Design, fit_likelihood, networks
from vaelab.nets import MLPDecoder, MLPPyramid
from vaelab.objectives import Distortion, ImportanceWeighted, Objective, Rate
from vaelab.parts.ladder import DenseBlock, Root
from vaelab.parts.posteriors import DiagonalNormal, Point, Posterior
from vaelab.parts.priors import Standard
from vaelab.recipe import Built, recipe
from vaelab.walk import VAE, Ladder, Shallow


@recipe
def vae(data: DataSpec, latent: int = 16, beta: float = 1.0, design: Design = Design()) -> Built:
    """The variational autoencoder: −ELBO = distortion + rate (Kingma & Welling 1312.6114).

    Args:
        data: what it is to model.
        latent: dimensions of z, at least 1.
        beta: weight of the rate in nats against nats, at least 0; 1 is the ELBO.
        design: networks and likelihood.
    """
    return _shallow(data, latent, DiagonalNormal(), _weighed(beta), design)


@recipe
def beta_vae(
    data: DataSpec, latent: int = 16, beta: float = 4.0, design: Design = Design()
) -> Built:
    """The VAE with its rate weighed by β (Higgins et al. 2017).

    Args:
        data: what it is to model.
        latent: dimensions of z, at least 1.
        beta: weight of the rate in nats against nats, at least 0; 1 is the ELBO.
        design: networks and likelihood.
    """
    return _shallow(data, latent, DiagonalNormal(), _weighed(beta), design)


@recipe
def ae(data: DataSpec, latent: int = 16, design: Design = Design()) -> Built:
    """The plain autoencoder: a point for a code, the distortion alone.

    Args:
        data: what it is to model.
        latent: dimensions of the code, at least 1.
        design: networks and likelihood.
    """
    return _shallow(data, latent, Point(), Distortion(), design)


@recipe
def kl_only(data: DataSpec, latent: int = 16, design: Design = Design()) -> Built:
    """The rate alone: every posterior becomes the prior, and z says nothing of x.

    Args:
        data: what it is to model.
        latent: dimensions of z, at least 1.
        design: networks and likelihood.
    """
    return _shallow(data, latent, DiagonalNormal(), Rate(), design)


@recipe
def reconstruction_only(data: DataSpec, latent: int = 16, design: Design = Design()) -> Built:
    """A stochastic encoder without a rate: its regions shrink to points and drift apart.

    Args:
        data: what it is to model.
        latent: dimensions of z, at least 1.
        design: networks and likelihood.
    """
    return _shallow(data, latent, DiagonalNormal(), Distortion(), design)


@recipe
def iwae(data: DataSpec, latent: int = 16, samples: int = 10, design: Design = Design()) -> Built:
    """The importance-weighted autoencoder: a bound tightened by K samples (Burda 1509.00519).

    Args:
        data: what it is to model.
        latent: dimensions of z, at least 1.
        samples: K, at least 1; time a step grows with it.
        design: networks and likelihood.
    """
    return _shallow(data, latent, DiagonalNormal(), ImportanceWeighted(samples), design)


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
    _check(latent)
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


def _shallow(
    data: DataSpec, latent: int, posterior: Posterior, objective: Objective, design: Design
) -> Built:
    _check(latent)
    pair = networks(design)
    likelihood, data, reason = fit_likelihood(design, data)
    encoder = pair.encoder(data.shape, posterior.params * latent)
    decoder = pair.decoder(latent, data.shape, likelihood.params)
    model = VAE(encoder, Shallow(Standard(latent), posterior, decoder, likelihood))
    return Built(model, objective, data, reason)


def _weighed(beta: float) -> Objective:
    if not beta >= 0:
        raise ValueError(f"beta is {beta}; the weight of the rate must be 0 or more")
    return Distortion() + beta * Rate()


def _check(latent: int) -> None:
    if latent < 1:
        raise ValueError(f"latent is {latent}; a model needs at least 1 latent dimension")
