r"""What a loss may be made of, so that a foreign one can be recognised: sums over every element.

reconstruction    BCE(x, r) · BCE(x, σ(r)) · (x − r)² · |x − r| · …
KL, closed form   ½ (μ² + σ² − 1 − log σ²)  with σ from s: e^{s/2}, e^s, s or √s
KL, its terms     μ², s, e^s, …, each with a coefficient of its own
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
        title: in words.
        term: (x, r) ↦ its value, elementwise.
        nats: of a likelihood with σ = 1 (or b = 1) that one unit of the term is.
        expects: what it assumes of data and reconstruction.
        bernoulli: whether it is one of {0, 1} data.
        logits: whether r is a logit.
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
    """What the number s beside μ stands for.

    Attributes:
        title: in words.
        log_variance: s ↦ log σ².
        neutral: the s of σ = 1.
        extremes: s that training comes across.
        kl: the closed form per element, as a line of code with {mu} and {s}.
    """

    title: str
    log_variance: Callable[[Tensor], Tensor]
    neutral: float
    extremes: tuple[float, float]
    kl: str

    def closed(self, mu: Tensor, s: Tensor) -> Tensor:
        """½ (μ² + σ² − 1 − log σ²), elementwise."""
        log_variance = self.log_variance(s)
        return 0.5 * (mu.square() + log_variance.exp() - 1 - log_variance)


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
        lambda s: 2 * s.log(),
        1.0,
        (1e-4, 1e4),
        "{mu}**2 + {s}**2 - 1 - 2 * {s}.log()",
    ),
    "var": Scale("variance", lambda s: s.log(), 1.0, (1e-8, 1e8), "{mu}**2 + {s} - 1 - {s}.log()"),
}

TERMS: dict[str, Elementwise] = {
    "{mu}²": lambda mu, s: mu.square(),
    "{mu}": lambda mu, s: mu,
    "|{mu}|": lambda mu, s: mu.abs(),
    "{s}": lambda mu, s: s,
    "{s}²": lambda mu, s: s.square(),
    "exp({s})": lambda mu, s: s.exp(),
    "exp(2 {s})": lambda mu, s: (2 * s).exp(),
    "log {s}": lambda mu, s: s.log(),
}


def fitted(features: Tensor, values: Tensor) -> tuple[Tensor, float]:
    """Least squares of values (P,) on features (P, F) and a constant.

    Returns:
        Coefficients (F,), and what is left unexplained: residual over spread, 0 to 1.
    """
    x = features - features.mean(0)
    y = values - values.mean()
    size = x.norm(dim=0).clamp(min=1e-300)
    solution = torch.linalg.lstsq(x / size, y[:, None], driver="gelsd").solution[:, 0]
    left = (y - (x / size) @ solution).norm() / y.norm().clamp(min=1e-300)
    return solution / size, float(left)
