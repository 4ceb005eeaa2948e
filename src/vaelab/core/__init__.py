"""The core: the draw, the generative program, schedules and seeded random numbers."""

from vaelab.core.draw import Condition, Draw, Evidence, FromPosterior, FromPrior, Given, Site, tile
from vaelab.core.model import (
    VAE,
    Block,
    Conditional,
    Generator,
    Ladder,
    Shallow,
    Trace,
    cut,
    full_precision,
    join,
)
from vaelab.core.random import (
    NOISE,
    ORDER,
    derive_seed,
    fork_rng,
    map_chunks,
    permutation,
    seed_draws,
)
from vaelab.core.schedule import Schedule

__all__ = [
    "NOISE",
    "ORDER",
    "VAE",
    "Block",
    "Condition",
    "Conditional",
    "Draw",
    "Evidence",
    "FromPosterior",
    "FromPrior",
    "Generator",
    "Given",
    "Ladder",
    "Schedule",
    "Shallow",
    "Site",
    "Trace",
    "cut",
    "derive_seed",
    "fork_rng",
    "full_precision",
    "join",
    "map_chunks",
    "permutation",
    "seed_draws",
    "tile",
]
