"""The zoo: one short typed function per family, each a composition of parts and an objective.

model = VAE(encoder, Shallow(prior, posterior, decoder, likelihood))      objective = D + β R

The functions register themselves on import. Files group them by the part that differs from the VAE:
none (basic), the prior, the posterior, the latents themselves (discrete), the objective, a critic
(adversarial), or the number of latents (hierarchies).
"""

from vaelab.recipes.basic import ae, beta_vae, iwae, kl_only, reconstruction_only, vae
from vaelab.utils.callable_package import make_listed
from vaelab.utils.hints import missing_from

# isort: split
from vaelab.recipes.adversarial import factor_vae, vae_gan, wae_gan
from vaelab.recipes.discrete import concrete, fsq, gumbel, joint, rvq, vq, vq2
from vaelab.recipes.hierarchies import deep_ladder, ladder
from vaelab.recipes.objectives import (
    annealed,
    beta_tc,
    capacity,
    ciwae,
    dip,
    dreg,
    free_bits,
    geco,
    info_vae,
    miwae,
    ms_ssim,
    piwae,
    rae,
    wae_mmd,
)
from vaelab.recipes.posteriors import full_covariance, hyperspherical, iaf, planar
from vaelab.recipes.priors import flow_prior, learned_prior, mixture_prior, vamp

__all__ = [
    "ae",
    "annealed",
    "beta_tc",
    "beta_vae",
    "capacity",
    "ciwae",
    "concrete",
    "deep_ladder",
    "dip",
    "dreg",
    "factor_vae",
    "flow_prior",
    "free_bits",
    "fsq",
    "full_covariance",
    "geco",
    "gumbel",
    "hyperspherical",
    "iaf",
    "info_vae",
    "iwae",
    "joint",
    "kl_only",
    "ladder",
    "learned_prior",
    "miwae",
    "mixture_prior",
    "ms_ssim",
    "piwae",
    "planar",
    "rae",
    "reconstruction_only",
    "rvq",
    "vae",
    "vae_gan",
    "vamp",
    "vq",
    "vq2",
    "wae_gan",
    "wae_mmd",
]

__getattr__ = missing_from(__name__, __all__)
make_listed(__name__)
