r"""Terms that a VAE loss may be made of, so that a foreign loss can be recognised.

reconstruction   BCE(x, r) · BCE(x, σ(r)) · (x − r)² · |x − r| · …
KL(q‖p)          ½ (μ² + σ² − 1 − log σ²)            σ from s: e^{s/2}, e^s, s, √s, softplus(s)
KL(p‖q)          ½ (log σ² + (1 + μ²)/σ² − 1)        the arguments exchanged
noise            ½ ((x − r)²/σ² + log σ²)            σ of the likelihood, learned or a number
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Elementwise = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Reconstruction:
    """A term of x and its reconstruction r, element by element.

    Attributes:
        title: name in prose.
        term: (x, r) ↦ value, elementwise.
        nats: nats of a likelihood with σ = 1 (or b = 1) that one unit of the term stands for.
        expects: assumptions about data and reconstruction.
        bernoulli: the term is a likelihood of {0, 1} data.
        logits: r is a logit.
    """

    title: str
    term: Elementwise
    nats: float
    expects: str
    bernoulli: bool = False
    logits: bool = False


def _bce(x: Tensor, p: Tensor) -> Tensor:
    return -x * p.log() - (1 - x) * (-p).log1p()


def _log_cosh(x: Tensor, r: Tensor) -> Tensor:
    return (x - r).cosh().log()


UNIT = "data in [0, 1], and a reconstruction in (0, 1), after a sigmoid"
LOGITS = "data in [0, 1], and logits: a reconstruction before any sigmoid"
FREE = "data of any range, near a scale of 1"

RECONSTRUCTIONS = {
    "bce": Reconstruction("binary cross-entropy", _bce, 1.0, UNIT, bernoulli=True),
    "bce-logits": Reconstruction(
        "binary cross-entropy with logits",
        lambda x, r: F.softplus(r) - x * r,
        1.0,
        LOGITS,
        bernoulli=True,
        logits=True,
    ),
    "bce-double": Reconstruction(
        "binary cross-entropy after two sigmoids",
        lambda x, r: F.softplus(r.sigmoid()) - x * r.sigmoid(),
        1.0,
        LOGITS,
        bernoulli=True,
        logits=True,
    ),
    "bce-swapped": Reconstruction(
        "binary cross-entropy of the reconstruction given the data",
        lambda x, r: _bce(r, x),
        1.0,
        UNIT,
        bernoulli=True,
    ),
    "bce-half": Reconstruction(
        "−x log r alone", lambda x, r: -x * r.log(), 1.0, UNIT, bernoulli=True
    ),
    "squared": Reconstruction("squared error", lambda x, r: (x - r).square(), 0.5, FREE),
    "absolute": Reconstruction("absolute error", lambda x, r: (x - r).abs(), 1.0, FREE),
    "squared-logits": Reconstruction(
        "squared error after a sigmoid",
        lambda x, r: (x - r.sigmoid()).square(),
        0.5,
        LOGITS,
        logits=True,
    ),
    "log-cosh": Reconstruction("log-cosh error", _log_cosh, 1.0, FREE),
}


@dataclass(frozen=True)
class Scale:
    """A reading of the number s beside μ.

    Attributes:
        title: name in prose.
        log_variance: s ↦ log σ².
        neutral: the s of σ = 1.
        extremes: values of s that occur in training.
        kl: the closed form per element, as a line of code with {mu} and {s}.
        signed: s may be negative.
    """

    title: str
    log_variance: Callable[[Tensor], Tensor]
    neutral: float
    extremes: tuple[float, float]
    kl: str
    signed: bool = True

    def closed(self, mu: Tensor, s: Tensor) -> Tensor:
        """KL(q‖p) = ½ (μ² + σ² − 1 − log σ²), elementwise."""
        log_variance = self.log_variance(s)
        return 0.5 * (mu.square() + log_variance.exp() - 1 - log_variance)

    def reversed(self, mu: Tensor, s: Tensor) -> Tensor:
        """KL(p‖q) = ½ (log σ² + (1 + μ²)/σ² − 1), elementwise."""
        log_variance = self.log_variance(s)
        return 0.5 * (log_variance + (1 + mu.square()) * (-log_variance).exp() - 1)


def _log_softplus(s: Tensor) -> Tensor:
    return F.softplus(s).log()


ONE = 0.5413248546129181
"""softplus(ONE) = 1."""

SCALES = {
    "logvar": Scale(
        "log-variance", lambda s: s, 0.0, (-20.0, 20.0), "{mu}**2 + {s}.exp() - 1 - {s}"
    ),
    "logstd": Scale(
        "log standard deviation",
        lambda s: 2 * s,
        0.0,
        (-10.0, 10.0),
        "{mu}**2 + (2 * {s}).exp() - 1 - 2 * {s}",
    ),
    "std": Scale(
        "standard deviation",
        lambda s: 2 * s.abs().log(),
        1.0,
        (1e-4, 1e4),
        "{mu}**2 + {s}**2 - 1 - 2 * {s}.log()",
        signed=False,
    ),
    "var": Scale(
        "variance",
        lambda s: s.log(),
        1.0,
        (1e-8, 1e8),
        "{mu}**2 + {s} - 1 - {s}.log()",
        signed=False,
    ),
    "softplus": Scale(
        "standard deviation before a softplus",
        lambda s: 2 * _log_softplus(s),
        ONE,
        (-20.0, 20.0),
        "{mu}**2 + F.softplus({s})**2 - 1 - 2 * F.softplus({s}).log()",
    ),
    "softplus-var": Scale(
        "variance before a softplus",
        _log_softplus,
        ONE,
        (-20.0, 20.0),
        "{mu}**2 + F.softplus({s}) - 1 - F.softplus({s}).log()",
    ),
}

RAW = ("softplus", "softplus-var")
"""Readings of a network's raw output, which a name such as `std` does not contradict."""

TERMS: dict[str, Elementwise] = {
    "{mu}²": lambda mu, s: mu.square(),
    "{mu}": lambda mu, s: mu,
    "|{mu}|": lambda mu, s: mu.abs(),
    "{s}": lambda mu, s: s,
    "{s}²": lambda mu, s: s.square(),
    "exp({s})": lambda mu, s: s.exp(),
    "exp(2 {s})": lambda mu, s: (2 * s).exp(),
    "exp({s}/2)": lambda mu, s: (s / 2).exp(),
    "exp(−{s})": lambda mu, s: (-s).exp(),
    "{mu}² exp(−{s})": lambda mu, s: mu.square() * (-s).exp(),
    "log {s}": lambda mu, s: s.log(),
    "1/{s}": lambda mu, s: 1 / s,
    "1/{s}²": lambda mu, s: s.square().reciprocal(),
}


def fitted(features: Tensor, values: Tensor, size: Tensor) -> tuple[Tensor, float, float]:
    """Weighted least squares of values (P,) on features (P, F) and a constant.

    Args:
        features: (P, F).
        values: (P,).
        size: magnitude (P,) that an error at each point is measured against.

    Returns:
        Coefficients (F,), the constant, and the largest error relative to `size` and to the
        coefficients' own magnitude.
    """
    x = torch.cat([features, torch.ones_like(values)[:, None]], 1) / size[:, None]
    y = values / size
    scale = x.norm(dim=0).clamp(min=1e-300)
    solution = torch.linalg.lstsq(x / scale, y[:, None], driver="gelsd").solution[:, 0]
    error = (y - (x / scale) @ solution).abs().max()
    spread = (y[:, None] - solution[-1] / scale[-1] * x[:, -1:]).abs().max().clamp(min=1e-300)
    coefficients = solution / scale
    return coefficients[:-1], float(coefficients[-1]), float(error / spread)
