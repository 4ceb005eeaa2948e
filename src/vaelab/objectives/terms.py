r"""Objectives as sums of terms, in nats per example.

    distortion  D = −E_q log p(x|z)          rate  R = KL(q(z|x) ‖ p(z))          −ELBO = D + R

Terms add and scale: `Distortion() + 4.0 * Rate()` is the β-VAE's objective with β = 4 (Higgins et
al. 2017). Every term is (B,), summed over dimensions; the mean over the batch is taken once, in
`Loss.mean`, so that β is absolute and no figure depends on the batch size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from vaelab.walk import Trace


@dataclass(frozen=True, eq=False)
class Loss:
    """What an objective says of a batch.

    Attributes:
        total: nats for each example, (B,).
        parts: the terms by name, unweighted, each (B,).
        estimated: the parts that are Monte-Carlo estimates where no closed form exists.
    """

    total: Tensor
    parts: dict[str, Tensor]
    estimated: frozenset[str] = frozenset()

    @property
    def mean(self) -> Tensor:
        """The mean over the batch: the one place where it is taken."""
        return self.total.mean()


class Objective(nn.Module, ABC):
    """Maps a trace and its data to a loss to be minimised.

    Attributes:
        samples: K, the draws an example needs on the walk.
    """

    samples: int = 1

    @abstractmethod
    def forward(self, trace: Trace, x: Tensor) -> Loss:
        """The loss of x (B, …) under a trace with batch K·B."""

    def __add__(self, other: Objective) -> Objective:
        return Sum([self, other])

    def __rmul__(self, weight: float) -> Objective:
        return Scaled(self, float(weight))

    __mul__ = __rmul__

    if TYPE_CHECKING:

        def __call__(self, trace: Trace, x: Tensor) -> Loss: ...


class Scaled(Objective):
    """A term times a weight; its part keeps its own, unweighted nats."""

    weight: Tensor

    def __init__(self, term: Objective, weight: float) -> None:
        super().__init__()
        self.term, self.samples = term, term.samples
        # A buffer, so that in a population it differs from member to member; a scalar of double
        # precision, so that the weight is the one given whatever the precision of the model.
        self.register_buffer("weight", torch.tensor(weight, dtype=torch.float64))

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        loss = self.term(trace, x)
        return Loss(self.weight * loss.total, loss.parts, loss.estimated)


class Sum(Objective):
    """Terms added up; two parts of one name are told apart by a number."""

    def __init__(self, terms: Sequence[Objective]) -> None:
        super().__init__()
        flat: list[Objective] = []
        for term in terms:
            flat += cast("list[Objective]", term.terms) if isinstance(term, Sum) else [term]
        self.terms: nn.ModuleList = nn.ModuleList(flat)
        # A term that asks for one sample averages over however many there are.
        counts = sorted({t.samples for t in flat if t.samples > 1})
        if len(counts) > 1:
            raise ValueError(
                f"the terms ask for different numbers of samples, {counts}; give them the same"
            )
        self.samples = counts[0] if counts else 1

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        losses: list[Loss] = [term(trace, x) for term in self.terms]
        parts: dict[str, Tensor] = {}
        estimated: set[str] = set()
        for loss in losses:
            for name, nats in loss.parts.items():
                stem = name.split("#")[0]
                twins = sum(part.split("#")[0] == stem for part in parts)
                new = f"{stem}#{twins + 1}" if twins else stem
                parts[new] = nats
                estimated |= {new} if name in loss.estimated else set()
        return Loss(
            torch.stack([loss.total for loss in losses]).sum(0), parts, frozenset(estimated)
        )


class Distortion(Objective):
    """D = −E_q log p(x|z), averaged over the K samples."""

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        nats = -trace.unfold(trace.log_likelihood(x)).mean(0)
        return Loss(nats, {"distortion": nats})


class Rate(Objective):
    """R = Σ_sites KL(q ‖ p); closed form where one is registered, else log q(z) − log p(z).

    Raises:
        TypeError: where the posterior is a point, which has no rate.
    """

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        rate, exact = trace.rate()
        nats = trace.unfold(rate).mean(0)
        return Loss(nats, {"rate": nats}, frozenset() if exact else frozenset({"rate"}))
