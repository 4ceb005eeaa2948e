"""What recipes are made with: one latent between a chosen prior and posterior, and checks."""

from __future__ import annotations

from vaelab.core import VAE, Conditional, Shallow
from vaelab.data import DataSpec
from vaelab.objectives import Distortion, Objective, Rate
from vaelab.parts.posteriors import Posterior
from vaelab.parts.priors import Standard
from vaelab.recipes.design import Design, fit_likelihood, networks, told
from vaelab.recipes.registry import Built


def shallow(
    data: DataSpec,
    latent: int,
    posterior: Posterior,
    objective: Objective,
    design: Design,
    prior: Conditional | None = None,
) -> Built:
    """A model of one latent: z ~ prior, x ~ likelihood(decoder(z)).

    Args:
        data: what it is to model.
        latent: dimensions of z, at least 1.
        posterior: of z; the encoder gives it the numbers it needs.
        objective: what it is trained for.
        design: networks and likelihood.
        prior: of z; the standard normal if not given.
    """
    check_latent(latent)
    likelihood, data, reason = fit_likelihood(design, data)
    pair = networks(design, data)
    encoder = pair.encoder(data.shape, posterior.outputs(latent))
    decoder = told(data, lambda n: pair.decoder(n, data.shape, likelihood.params), latent)
    generator = Shallow(prior or Standard(latent), posterior, decoder, likelihood)
    return Built(VAE(encoder, generator), objective, data, reason)


def weighed(beta: float) -> Objective:
    """D + β R, for a β of 0 or more."""
    check_weights(beta=beta)
    return Distortion() + beta * Rate()


def check_latent(latent: int) -> None:
    """Refuses a model without latent dimensions."""
    if latent < 1:
        raise ValueError(f"latent is {latent}; a model needs at least 1 latent dimension")


def check_weights(**weights: float) -> None:
    """Refuses to reward what is to be small."""
    for name, weight in weights.items():
        if weight < 0:
            raise ValueError(f"{name} is {weight}; a weight must be 0 or more")
