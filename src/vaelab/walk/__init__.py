"""The heart: distributions, the draw, and the program that is walked with it."""

from vaelab.walk.columns import CategoricalIndex, Joint
from vaelab.walk.counts import NegativeBinomial, Poisson, ZeroInflated
from vaelab.walk.discrete import Concrete, OneHotCategorical, Quantized, UniformCodes
from vaelab.walk.distributions import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Dirac,
    DiscretizedLogistic,
    Distribution,
    Laplace,
    LogNormal,
    Normal,
    kl,
    kl_by_dimension,
    register_kl,
    sum_dims,
)
from vaelab.walk.draw import Condition, Draw, Evidence, FromPosterior, FromPrior, Given, Site, tile
from vaelab.walk.gaussian import FullNormal
from vaelab.walk.mixture import Mixture, take
from vaelab.walk.mixture_logistic import LogisticMixture
from vaelab.walk.model import (
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
from vaelab.walk.pushed import TransformedNormal
from vaelab.walk.schedule import Schedule
from vaelab.walk.seeds import fork_rng, map_chunks, permutation
from vaelab.walk.sphere import SphereUniform, VonMisesFisher
from vaelab.walk.student import StudentT

__all__ = [
    "VAE",
    "Bernoulli",
    "Block",
    "Categorical",
    "CategoricalIndex",
    "Concrete",
    "Condition",
    "Conditional",
    "ContinuousBernoulli",
    "Dirac",
    "DiscretizedLogistic",
    "Distribution",
    "Draw",
    "Evidence",
    "FromPosterior",
    "FromPrior",
    "FullNormal",
    "Generator",
    "Given",
    "Joint",
    "Ladder",
    "Laplace",
    "LogNormal",
    "LogisticMixture",
    "Mixture",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "Poisson",
    "Quantized",
    "Schedule",
    "Shallow",
    "Site",
    "SphereUniform",
    "StudentT",
    "Trace",
    "TransformedNormal",
    "UniformCodes",
    "VonMisesFisher",
    "ZeroInflated",
    "cut",
    "fork_rng",
    "full_precision",
    "join",
    "kl",
    "kl_by_dimension",
    "map_chunks",
    "permutation",
    "register_kl",
    "sum_dims",
    "take",
    "tile",
]
