"""One latent whose posterior is more than a diagonal normal; otherwise the VAE."""

from __future__ import annotations

from typing import cast

from vaelab.core import Shallow
from vaelab.data import DataSpec
from vaelab.nets.conditional import Chain
from vaelab.parts.flow_posteriors import InverseAutoregressive, Planar
from vaelab.parts.posteriors import FullCovariance
from vaelab.parts.sphere import Hyperspherical, Stretch, UniformSphere
from vaelab.recipes.building import check_latent, shallow, weighed
from vaelab.recipes.design import Design
from vaelab.recipes.registry import Built, recipe


@recipe
def full_covariance(
    data: DataSpec, latent: int = 16, beta: float = 1.0, design: Design = Design()
) -> Built:
    """The VAE whose latents may covary given x: a normal with a Cholesky factor for each x.

    It equals a linear flow of a diagonal normal given x.

    Good for few latents that depend on each other given x.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1; the encoder gives D(D + 3)/2 numbers for D of them.
        beta: weight of the rate in nats against nats, at least 0; 1 is the ELBO.
        design: networks and likelihood.
    """
    return shallow(data, latent, FullCovariance(), weighed(beta), design)


@recipe
def planar(
    data: DataSpec,
    latent: int = 16,
    flows: int = 8,
    beta: float = 1.0,
    design: Design = Design(),
) -> Built:
    """The VAE with planar flows behind its posterior (Rezende & Mohamed 1505.05770).

    Good for posteriors with more than one mode, in a few latents.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        flows: planar maps, at least 1.
        beta: weight of the rate in nats against nats, at least 0; 1 is the ELBO.
        design: networks and likelihood.
    """
    return shallow(data, latent, Planar(flows), weighed(beta), design)


@recipe
def iaf(
    data: DataSpec,
    latent: int = 16,
    flows: int = 2,
    beta: float = 1.0,
    design: Design = Design(),
) -> Built:
    """The VAE with inverse autoregressive flows behind its posterior (Kingma 1606.04934).

    Good for posteriors of many latents that are far from normal.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        flows: autoregressive maps, at least 1.
        beta: weight of the rate in nats against nats, at least 0; 1 is the ELBO.
        design: networks and likelihood.
    """
    check_latent(latent)
    return shallow(data, latent, InverseAutoregressive(latent, flows), weighed(beta), design)


@recipe
def hyperspherical(
    data: DataSpec, latent: int = 16, beta: float = 1.0, design: Design = Design()
) -> Built:
    """The VAE on a sphere: von Mises–Fisher posteriors, a uniform prior (Davidson 1804.00891).

    Good for directions: data without a centre to fall into.

    Args:
        data: data to model.
        latent: dimensions of the space around the unit sphere that holds z, at least 2.
        beta: weight of the rate in nats against nats, at least 0; 1 is the ELBO.
        design: networks and likelihood.
    """
    check_latent(latent)
    prior = UniformSphere(latent)
    built = shallow(data, latent, Hyperspherical(), weighed(beta), design, prior)
    generator = cast(Shallow, built.model.generator)
    generator.decoder = Chain(Stretch(), generator.decoder, told=1)
    return built
