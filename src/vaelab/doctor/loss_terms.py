"""Terms of a loss as the doctor measures them: form, weight, and dependence on the sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from vaelab.doctor.loss_forms import RECONSTRUCTIONS, SCALES
from vaelab.doctor.loss_subject import Subject
from vaelab.utils.messages import Message

SHAPES = ((784,), (3, 20, 28), (1, 28, 28), (3, 32, 32), (3, 64, 64), (1, 64, 64), (1, 32, 32))
LATENTS = ((5,), (4, 3, 2))
BATCH = 6
USUAL = 0.7
"""A scale that every reading can take."""
AXES = (
    Message("part.channels", "channels"),
    Message("part.height", "height"),
    Message("part.width", "width"),
)
OTHER = "other"
"""The form of a KL of μ² and of a scale that is no known function of s, but rises with it."""


@dataclass(frozen=True)
class Size:
    """Sizes of planted inputs: batch, shape of an example, shape of its latents."""

    batch: int = BATCH
    shape: tuple[int, ...] = SHAPES[0]
    latents: tuple[int, ...] = LATENTS[0]

    @property
    def dims(self) -> int:
        """Numbers in one example."""
        return math.prod(self.shape)

    @property
    def latent(self) -> int:
        """Numbers in its latents."""
        return math.prod(self.latents)


class Powers(NamedTuple):
    """Exponents of a weight in each size; None if that size could not be varied.

    Attributes:
        batch: exponent of B.
        data: exponents of the axes of the data.
        latent: exponents of the axes of the latents.
    """

    batch: int | None = None
    data: tuple[int | None, ...] = ()
    latent: tuple[int | None, ...] = ()


@dataclass(frozen=True)
class Term:
    """One of the two terms of a loss.

    Attributes:
        form: name among the candidates; empty if none fits.
        weight: coefficient of the sum over batch and elements.
        left: largest relative error of the nearest form.
        powers: exponents of the sizes in the weight.
        coupled: elements are combined before the form is taken: "rows", "elements" or "".
    """

    form: str
    weight: float
    left: float
    powers: Powers = field(default_factory=Powers)
    coupled: str = ""


@dataclass(frozen=True)
class KL(Term):
    """The term of μ and s.

    Attributes:
        exchanged: it is KL(p‖q).
        clamp: values of s beyond which it no longer depends on s, infinite if there are none.
        floor: nats of KL below which it no longer falls (free bits, a capacity); None if none.
        cap: nats of KL above which it no longer rises; None if none.
        pieces: coefficients of known terms that explain it instead, times the batch.
        offset: nats per latent dimension if the posterior is the prior.
    """

    exchanged: bool = False
    clamp: tuple[float, float] = (-math.inf, math.inf)
    floor: float | None = None
    cap: float | None = None
    pieces: tuple[tuple[str, float], ...] = ()
    offset: float = 0.0


class Noise(NamedTuple):
    """The scale of the likelihood, if it is an argument.

    Attributes:
        form: reading of it; empty if none fits.
        power: p in a weight of the squared error of σ^−2p; 1 is right.
        cost: weight of log σ² over what −log N asks for; 1 is right, 0 is none.
    """

    form: str
    power: float
    cost: float

    @property
    def variance(self) -> float:
        """The divisor of a squared error, for the noise of the other measurements."""
        if not self.form:
            return 1.0
        usual = torch.tensor(USUAL, dtype=torch.float64)
        return float((self.power * SCALES[self.form].log_variance(usual)).exp())


class Constant(NamedTuple):
    """A number that a loss uses, and the powers with which it enters the weights of both terms.

    Attributes:
        name: name of the parameter or global variable.
        value: present value.
        reconstruction: exponent in the weight of the reconstruction.
        kl: exponent in the weight of the KL.
        log: the exponents are those of exp(value).
    """

    name: str
    value: float
    reconstruction: float
    kl: float
    log: bool


@dataclass(frozen=True)
class Probe:
    """Measurements of a loss.

    Attributes:
        subject: the loss.
        size: sizes of the inputs it was measured with.
        reconstruction: term of x and r; None without such arguments.
        kl: term of μ and s; None likewise.
        noise: scale of the likelihood; None if it is no argument.
        constants: numbers that weigh its terms.
        gradients: norm of the gradient by role; None if there is no gradient.
        shape: shape of the returned tensor.
        chosen: rule by which the loss was chosen among several values.
        random: two calls return different numbers.
        broken: inputs, in words, for which value or gradient is not finite.
        elsewhere: axes that another accepted shape averages the reconstruction over.
    """

    subject: Subject
    size: Size
    reconstruction: Term | None
    kl: KL | None
    noise: Noise | None
    constants: tuple[Constant, ...]
    gradients: dict[str, float | None]
    shape: tuple[int, ...]
    chosen: str
    random: bool
    broken: tuple[str, ...]
    elsewhere: str = ""

    @property
    def beta(self) -> float | None:
        """Weight of the KL against the reconstruction of σ = 1, in nats; None if unknown."""
        d, k = self.reconstruction, self.kl
        if d is None or k is None or not d.form or not k.form or d.weight == 0:
            return None
        beta = k.weight / d.weight * RECONSTRUCTIONS[d.form].nats
        return beta if self.noise is None else beta / self.noise.variance

    @property
    def declared(self) -> float:
        """The part of β that the loss's own named numbers account for."""
        factors = (
            (math.exp(c.value) if c.log else c.value) ** (c.kl - c.reconstruction)
            for c in self.constants
        )
        return math.prod(factors)


def listed(parts: Sequence[str]) -> str:
    """Parts of a sentence with the word "and" between them.

    >>> listed(["height", "width"])
    'height and width'
    """
    found = parts[0]
    for part in parts[1:]:
        found = Message("part.and", "{first} and {last}", first=found, last=part)
    return found


def named_axes(axes: tuple[int, ...], sizes: tuple[int, ...]) -> str:
    """The names of some axes of data of these sizes."""
    if len(axes) == len(sizes):
        return Message("part.dimensions", "dimensions")
    return listed(
        [
            AXES[i]
            if len(sizes) == len(AXES)
            else Message("part.axis", "axis {number}", number=i + 1)
            for i in axes
        ]
    )


def averaged(own: tuple[int | None, ...], other: tuple[int | None, ...]) -> tuple[int, ...]:
    """Axes that one term is averaged over and the other is not."""
    return tuple(
        i for i, (a, b) in enumerate(zip(own, other, strict=True)) if (a or 0) - (b or 0) == -1
    )
