"""One latent and a standard normal prior, with the basic objectives: D, R, and their bound."""

from __future__ import annotations

from vaelab.data import DataSpec
from vaelab.objectives import Distortion, ImportanceWeighted, Rate
from vaelab.parts.posteriors import DiagonalNormal, Point
from vaelab.recipes.building import shallow, weighed
from vaelab.recipes.design import Design
from vaelab.recipes.registry import Built, recipe


@recipe
def vae(data: DataSpec, latent: int = 16, beta: float = 1.0, design: Design = Design()) -> Built:
    """The variational autoencoder: −ELBO = distortion + rate (Kingma & Welling 1312.6114).

    Good for a first model, and for every comparison.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        beta: weight of the rate in nats against nats, at least 0; 1 is the ELBO.
        design: networks and likelihood.
    """
    return shallow(data, latent, DiagonalNormal(), weighed(beta), design)


@recipe
def beta_vae(
    data: DataSpec, latent: int = 16, beta: float = 4.0, design: Design = Design()
) -> Built:
    """The VAE with its rate weighed by β (Higgins et al. 2017).

    Good for codes that are smoother and carry less information than the ELBO's.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        beta: weight of the rate in nats against nats, at least 0; 1 is the ELBO.
        design: networks and likelihood.
    """
    return shallow(data, latent, DiagonalNormal(), weighed(beta), design)


@recipe
def ae(data: DataSpec, latent: int = 16, design: Design = Design()) -> Built:
    """The plain autoencoder: deterministic codes, the distortion alone.

    Good for studying the role of the rate, and for codes whose density does not matter.

    Args:
        data: data to model.
        latent: dimensions of the code, at least 1.
        design: networks and likelihood.
    """
    return shallow(data, latent, Point(), Distortion(), design)


@recipe
def kl_only(data: DataSpec, latent: int = 16, design: Design = Design()) -> Built:
    """The rate alone: every posterior becomes the prior, and z carries no information.

    Good for studying the rate alone.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        design: networks and likelihood.
    """
    return shallow(data, latent, DiagonalNormal(), Rate(), design)


@recipe
def reconstruction_only(data: DataSpec, latent: int = 16, design: Design = Design()) -> Built:
    """A stochastic encoder without a rate: its regions shrink to points and drift apart.

    Good for studying the distortion alone.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        design: networks and likelihood.
    """
    return shallow(data, latent, DiagonalNormal(), Distortion(), design)


@recipe
def iwae(data: DataSpec, latent: int = 16, samples: int = 10, design: Design = Design()) -> Built:
    """The importance-weighted autoencoder: a bound tightened by K samples (Burda 1509.00519).

    Good for a better likelihood from the same networks, at K times the decoding.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        samples: K, at least 1; time a step grows with it.
        design: networks and likelihood.
    """
    return shallow(data, latent, DiagonalNormal(), ImportanceWeighted(samples), design)
