"""What any family can be built with: the networks, and the likelihood that fits the data.

The default likelihood follows from the data, and says why:

    binary                     Bernoulli
    grey, nearly two-toned     Bernoulli, binarized afresh at every visit
    integer levels             discretised logistic
    anything continuous        Gaussian with one learned σ
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

from torch import nn

from vaelab.data import DataSpec
from vaelab.nets import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder, Shape, residual
from vaelab.parts import likelihoods as parts

Net = Literal["mlp", "conv", "resconv"]
LikelihoodName = Literal[
    "auto",
    "bernoulli",
    "continuous-bernoulli",
    "gaussian",
    "gaussian-fixed",
    "gaussian-pixel",
    "laplace",
    "logistic",
    "categorical",
]
Binarize = Literal["auto", "dynamic", "threshold"]

TWO_TONED = 0.5
"""Contrast from which grey values count as ink rather than shades (MNIST 0.84, faces 0.1)."""


@dataclass(frozen=True)
class Design:
    """The networks and the likelihood of a model.

    Attributes:
        net: mlp (any data), conv or resconv (images of any size).
        width: of the hidden layers: 512 units for mlp, 32 channels for conv and resconv.
        likelihood: of the data given z; auto follows from the data and is printed with the reason.
        binarize: of grey data under a Bernoulli: dynamic draws anew at every visit in training and
            once in evaluation, threshold cuts at one half.
        sigma: standard deviation of the gaussian-fixed likelihood, at the model's scale.
        seed: of the initial weights.
    """

    net: Net = "mlp"
    width: int | None = None
    likelihood: LikelihoodName = "auto"
    binarize: Binarize = "auto"
    sigma: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.width is not None and self.width < 1:
            raise ValueError(f"width is {self.width}; a hidden layer needs at least 1 unit")
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"sigma is {self.sigma}; a standard deviation is finite and above 0")


class Pair(NamedTuple):
    """Makers of two networks: `encoder(shape, outputs)` and `decoder(inputs, shape, params)`."""

    encoder: Callable[[Shape, int], nn.Module]
    decoder: Callable[[int, Shape, int], nn.Module]


def networks(design: Design) -> Pair:
    """The encoder and decoder makers a design asks for."""
    width = design.width
    hidden, channels = (width or 512,) * 2, width or 32
    pairs: dict[str, Pair] = {
        "mlp": Pair(partial(MLPEncoder, hidden=hidden), partial(MLPDecoder, hidden=hidden)),
        "conv": Pair(partial(ConvEncoder, width=channels), partial(ConvDecoder, width=channels)),
        "resconv": Pair(
            partial(ConvEncoder, width=channels, stage=residual),
            partial(ConvDecoder, width=channels, stage=residual),
        ),
    }
    return pairs[design.net]


class Fitted(NamedTuple):
    """A likelihood, the data as it will see them, and why it was chosen."""

    likelihood: parts.Likelihood
    data: DataSpec
    reason: str


def fit_likelihood(design: Design, data: DataSpec) -> Fitted:
    """The likelihood a design asks for, checked against the data it is to explain.

    Raises:
        ValueError: where the likelihood does not accept the data's domain, with the range seen.
    """
    data = replace(data, binarize="no")  # what another recipe made of it does not carry over
    levels = data.levels or 256
    makers: dict[str, Callable[[], parts.Likelihood]] = {
        "bernoulli": parts.BernoulliLikelihood,
        "continuous-bernoulli": parts.ContinuousBernoulliLikelihood,
        "gaussian": parts.LearnedGaussian,
        "gaussian-fixed": partial(parts.FixedGaussian, design.sigma),
        "gaussian-pixel": parts.PixelGaussian,
        "laplace": parts.LaplaceLikelihood,
        "logistic": partial(parts.LogisticLevels, levels),
        "categorical": partial(parts.CategoricalLevels, levels),
    }
    name: str = design.likelihood
    reason = "as asked"
    if name == "auto":
        name, reason = _default(data)
    likelihood = makers[name]()
    grey = data.domain in ("levels", "unit")
    if grey and likelihood.accepts == parts.BINARY:
        how = "dynamic" if design.binarize == "auto" else design.binarize
        data = replace(data, binarize=how)
        reason += f"; grey values are binarized ({how})"
    elif design.binarize != "auto":
        raise ValueError(
            f"binarize={design.binarize} was asked for, but only grey data under a bernoulli "
            f"likelihood is binarized; here the data is {data.domain} and the likelihood {name}"
        )
    elif data.domain not in likelihood.accepts:
        fitting = [key for key, make in makers.items() if data.domain in make().accepts]
        raise ValueError(
            f"the {name} likelihood is for {' or '.join(sorted(likelihood.accepts))} data, but "
            f"this data is {data.domain}: values from {data.low:g} to {data.high:g}. "
            f"Use one of: {', '.join(fitting)}."
        )
    return Fitted(likelihood, data, f"{name}: {reason}")


def _default(data: DataSpec) -> tuple[str, str]:
    if data.domain == "binary":
        return "bernoulli", "the data has two values"
    if data.domain != "real" and data.contrast >= TWO_TONED:
        return "bernoulli", f"the data is nearly two-toned (contrast {data.contrast:.2f} of 1)"
    if data.domain == "levels":
        return "logistic", f"the data has {data.levels} levels (contrast {data.contrast:.2f} of 1)"
    return "gaussian", f"the data is continuous, {data.low:g} to {data.high:g}; one σ is learned"
