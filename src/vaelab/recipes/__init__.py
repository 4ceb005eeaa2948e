"""The zoo: one short typed function a family, each a composition of parts and an objective.

model = VAE(encoder, Shallow(prior, posterior, decoder, likelihood))      objective = D + β R

The functions register themselves where they are defined; they are told apart into files by what
they change: nothing (basic), or a hierarchy.
"""

from vaelab.recipes.basic import ae, beta_vae, iwae, kl_only, reconstruction_only, vae
from vaelab.recipes.hierarchies import ladder

__all__ = [
    "ae",
    "beta_vae",
    "iwae",
    "kl_only",
    "ladder",
    "reconstruction_only",
    "vae",
]
