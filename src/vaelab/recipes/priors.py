"""One latent under a prior that is learned with the model; otherwise the VAE.

R = E_q[log q(z|x) − log p(z)], estimated from the draw of z unless both are diagonal normals.

A learned prior soon agrees with posteriors that carry no information yet, and then keeps them
there. So the rate's weight rises from 0 to β over the first half of training, as in the paper of
the VampPrior (1705.07120).
"""

from __future__ import annotations

from typing import cast

from vaelab.core import Shallow
from vaelab.data import DataSpec, probe_conditions
from vaelab.objectives import Distortion, Objective, Rate, Rise
from vaelab.parts.flows import Flow, FlowName
from vaelab.parts.posteriors import DiagonalNormal
from vaelab.parts.priors import LearnedNormal, NormalMixture, Vamp
from vaelab.recipes.building import check_latent, check_weights, shallow
from vaelab.recipes.design import Design
from vaelab.recipes.registry import Built, recipe


@recipe
def learned_prior(
    data: DataSpec, latent: int = 16, beta: float = 1.0, design: Design = Design()
) -> Built:
    """The VAE under a normal prior whose mean and spread are learned by dimension.

    Good for seeing the latents that use more room than N(0, I) offers.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        beta: weight of the rate in the end, at least 0; 1 is the ELBO.
        design: networks and likelihood.
    """
    check_latent(latent)
    return shallow(data, latent, DiagonalNormal(), _warmed(beta), design, LearnedNormal(latent))


@recipe
def mixture_prior(
    data: DataSpec,
    latent: int = 16,
    clusters: int = 50,
    beta: float = 1.0,
    design: Design = Design(),
) -> Built:
    """The VAE under a learned mixture of diagonal normals (1611.02648 without its labels).

    Good for data in clusters.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        clusters: components of the mixture, at least 1.
        beta: weight of the rate in the end, at least 0; 1 is the ELBO.
        design: networks and likelihood.
    """
    check_latent(latent)
    if clusters < 1:
        raise ValueError(f"clusters is {clusters}; a mixture has at least 1")
    prior = NormalMixture(clusters, latent)
    return shallow(data, latent, DiagonalNormal(), _warmed(beta), design, prior)


@recipe
def vamp(
    data: DataSpec,
    latent: int = 16,
    pseudo_inputs: int = 100,
    beta: float = 1.0,
    design: Design = Design(),
) -> Built:
    """The VAE whose prior is the mixture of its own posteriors at learned inputs (1705.07120).

    Good for a tighter prior in few latents, made of typical inputs.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        pseudo_inputs: number of pseudo-inputs, at least 1; all are encoded at every step.
        beta: weight of the rate in the end, at least 0; 1 is the ELBO.
        design: networks and likelihood.
    """
    if data.columns:
        raise ValueError(
            "the vamp prior learns inputs by their gradient, which counts and categories do not "
            "have; for such a table use mixture_prior or flow_prior"
        )
    if pseudo_inputs < 1:
        raise ValueError(f"pseudo_inputs is {pseudo_inputs}; the prior needs at least 1")
    posterior = DiagonalNormal()
    built = shallow(data, latent, posterior, _warmed(beta), design)
    unit = built.data.bounded
    conditions = probe_conditions(built.data, pseudo_inputs)
    prior = Vamp(built.model.encoder, posterior, pseudo_inputs, data.shape, unit, *conditions)
    cast(Shallow, built.model.generator).prior = prior
    return built


@recipe
def flow_prior(
    data: DataSpec,
    latent: int = 16,
    flow: FlowName = "coupling",
    layers: int = 4,
    flow_width: int = 128,
    beta: float = 1.0,
    design: Design = Design(),
) -> Built:
    """The VAE under a normalizing flow prior, learned with the model (1611.02731).

    Good for the closest prior to the codes, learned with them.

    Args:
        data: data to model.
        latent: dimensions of z, at least 2.
        flow: coupling, which samples fast, or autoregressive, which is finer and samples one
            number after another.
        layers: maps in the flow, at least 1.
        flow_width: width of the flow's hidden layers.
        beta: weight of the rate in the end, at least 0; 1 is the ELBO.
        design: networks and likelihood.
    """
    check_latent(latent)
    prior = Flow(latent, flow=flow, layers=layers, width=flow_width)
    return shallow(data, latent, DiagonalNormal(), _warmed(beta), design, prior)


def _warmed(beta: float) -> Objective:
    check_weights(beta=beta)
    return Distortion() + Rise(0.0, beta) * Rate()
