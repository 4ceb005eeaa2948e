"""The heart: distributions, the draw, and the program that is walked with it."""

from vaelab.walk.columns import Nominal, SideBySide
from vaelab.walk.counts import NegativeBinomial, Poisson, ZeroInflated
from vaelab.walk.discrete import Concrete, OneHot, Quantized, UniformCodes
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
from vaelab.walk.pushed import Pushed
from vaelab.walk.schedule import Schedule
from vaelab.walk.seeds import in_parts, seeded, shuffled
from vaelab.walk.sphere import SphereUniform, VonMisesFisher
from vaelab.walk.student import StudentT

__all__ = [
    "VAE",
    "Bernoulli",
    "Block",
    "Categorical",
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
    "Ladder",
    "Laplace",
    "LogNormal",
    "LogisticMixture",
    "Mixture",
    "NegativeBinomial",
    "Nominal",
    "Normal",
    "OneHot",
    "Poisson",
    "Pushed",
    "Quantized",
    "Schedule",
    "Shallow",
    "SideBySide",
    "Site",
    "SphereUniform",
    "StudentT",
    "Trace",
    "UniformCodes",
    "VonMisesFisher",
    "ZeroInflated",
    "cut",
    "full_precision",
    "in_parts",
    "join",
    "kl",
    "kl_by_dimension",
    "register_kl",
    "seeded",
    "shuffled",
    "sum_dims",
    "take",
    "tile",
]
