"""Helpers of recipes: a single-latent model for a prior and a posterior, and checks."""

from __future__ import annotations

from vaelab.core import VAE, Conditional, Shallow
from vaelab.data import DataSpec
from vaelab.objectives import Distortion, Objective, Rate
from vaelab.parts.posteriors import Posterior
from vaelab.parts.priors import Standard
from vaelab.recipes.design import Design, fit_likelihood, networks, with_condition
from vaelab.recipes.registry import Built


def shallow(
    data: DataSpec,
    latent: int,
    posterior: Posterior,
    objective: Objective,
    design: Design,
    prior: Conditional | None = None,
) -> Built:
    """Build a single-latent model: z ~ prior, x ~ likelihood(decoder(z)).

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        posterior: posterior of z; the encoder has as many outputs as it needs.
        objective: training objective.
        design: networks and likelihood.
        prior: prior of z; the standard normal if not given.
    """
    check_latent(latent)
    likelihood, data, reason = fit_likelihood(design, data)
    pair = networks(design, data)
    encoder = pair.encoder(data.shape, posterior.outputs(latent), posterior.zeros(latent))
    decoder = with_condition(data, lambda n: pair.decoder(n, data.shape, likelihood.params), latent)
    generator = Shallow(prior or Standard(latent), posterior, decoder, likelihood)
    return Built(VAE(encoder, generator), objective, data, reason)


def weighed(beta: float) -> Objective:
    """Objective D + β R, for β ≥ 0."""
    check_weights(beta=beta)
    return Distortion() + beta * Rate()


def check_latent(latent: int) -> None:
    """Raise ValueError unless there is at least one latent dimension."""
    if latent < 1:
        raise ValueError(f"latent is {latent}; a model needs at least 1 latent dimension")


def check_weights(**weights: float) -> None:
    """Raise ValueError for a negative weight."""
    for name, weight in weights.items():
        if weight < 0:
            raise ValueError(f"{name} is {weight}; a weight must be 0 or more")
