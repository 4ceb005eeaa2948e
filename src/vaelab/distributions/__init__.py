"""Distributions: frozen dataclasses of tensors, batch first, densities in nats."""

from vaelab.distributions.base import (
    Bernoulli,
    ContinuousBernoulli,
    Dirac,
    Distribution,
    Laplace,
    LogNormal,
    Normal,
    kl,
    kl_by_dimension,
    register_kl,
    sum_dims,
)
from vaelab.distributions.columns import CategoricalIndex, Joint
from vaelab.distributions.counts import NegativeBinomial, Poisson, ZeroInflated
from vaelab.distributions.discrete import Concrete, OneHotCategorical, Quantized, UniformCodes
from vaelab.distributions.from_torch import FromTorch
from vaelab.distributions.gaussian import FullNormal
from vaelab.distributions.levels import Categorical, DiscretizedLogistic
from vaelab.distributions.mixture import Mixture, take
from vaelab.distributions.mixture_logistic import LogisticMixture
from vaelab.distributions.sphere import SphereUniform, VonMisesFisher
from vaelab.distributions.student import StudentT
from vaelab.distributions.transformed import TransformedNormal

__all__ = [
    "Bernoulli",
    "Categorical",
    "CategoricalIndex",
    "Concrete",
    "ContinuousBernoulli",
    "Dirac",
    "DiscretizedLogistic",
    "Distribution",
    "FromTorch",
    "FullNormal",
    "Joint",
    "Laplace",
    "LogNormal",
    "LogisticMixture",
    "Mixture",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "Poisson",
    "Quantized",
    "SphereUniform",
    "StudentT",
    "TransformedNormal",
    "UniformCodes",
    "VonMisesFisher",
    "ZeroInflated",
    "kl",
    "kl_by_dimension",
    "register_kl",
    "sum_dims",
    "take",
]
