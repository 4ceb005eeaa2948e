r"""Objectives as sums of terms, in nats per example.

    distortion  D = −E_q log p(x|z)          rate  R = KL(q(z|x) ‖ p(z))          −ELBO = D + R

Terms add and scale: `Distortion() + 4.0 * Rate()` is the β-VAE's objective with β = 4 (Higgins et
al. 2017). Every term is (B,), summed over dimensions; the mean over the batch is taken once, in
`Loss.mean`, so that β is absolute and no figure depends on the batch size.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from vaelab.core import Trace
from vaelab.core.schedule import Schedule, as_schedule


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
    """Maps a trace and its data to a loss to be minimised by the model.

    Parameters of an objective belong to a critic: `critic_loss` is what *they* minimise, in a step
    of their own after the model's. State that is no gradient's changes in `update_buffers`.

    Attributes:
        samples: K, the draws an example needs on the walk.
        batch_coupled: whether an example's nats depend on the others in its batch, as where a term
            compares the batch's codes with draws from the prior.
        symbol: what it is called in a formula.
        monitorable: whether losses of different epochs may be compared. Against an opponent that
            learns they may not; the last weights are then the ones that are kept.
    """

    samples: int = 1
    batch_coupled: bool = False
    monitorable: bool = True
    symbol: str = ""

    @abstractmethod
    def forward(self, trace: Trace, x: Tensor) -> Loss:
        """The loss of x (B, …) under a trace with batch K·B."""

    def critic_loss(self, trace: Trace, x: Tensor) -> Loss | None:
        """What the objective's own parameters minimise on the same walk; None without any."""
        return None

    def update_buffers(self, trace: Trace, x: Tensor) -> None:
        """Changes state that is no gradient's, after a step and without gradients."""

    @property
    def formula(self) -> str:
        """The objective in a line, as in D + 4 R; a term without a symbol is called by its name."""
        return self.symbol or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(self).__name__).lower()

    def __add__(self, other: Objective) -> Objective:
        return Sum([self, other])

    def __rmul__(self, weight: float | Schedule) -> Objective:
        return Scaled(self, weight)

    __mul__ = __rmul__

    if TYPE_CHECKING:

        def __call__(self, trace: Trace, x: Tensor) -> Loss: ...


class Scaled(Objective):
    """A term times a weight, which may follow a schedule; its part keeps its unweighted nats."""

    def __init__(self, term: Objective, weight: float | Schedule) -> None:
        super().__init__()
        self.term, self.weight = term, as_schedule(weight)
        self.samples, self.batch_coupled, self.monitorable = (
            term.samples,
            term.batch_coupled,
            term.monitorable,
        )

    @property
    def formula(self) -> str:
        weight = str(self.weight)
        return self.term.formula if weight == "1" else f"{weight} {self.term.formula}"

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        loss = self.term(trace, x)
        return Loss(self.weight() * loss.total, loss.parts, loss.estimated)

    def critic_loss(self, trace: Trace, x: Tensor) -> Loss | None:
        return self.term.critic_loss(trace, x)

    def update_buffers(self, trace: Trace, x: Tensor) -> None:
        self.term.update_buffers(trace, x)


class Sum(Objective):
    """Terms added up; two parts of one name are told apart by a number."""

    def __init__(self, terms: Sequence[Objective]) -> None:
        super().__init__()
        flat: list[Objective] = []
        for term in terms:
            flat += list(term.each()) if isinstance(term, Sum) else [term]
        self.terms = nn.ModuleList(flat)
        # A term that asks for one sample averages over however many there are.
        counts = sorted({t.samples for t in flat if t.samples > 1})
        if len(counts) > 1:
            raise ValueError(
                f"the terms ask for different numbers of samples, {counts}; give them the same"
            )
        self.samples = counts[0] if counts else 1
        self.batch_coupled = any(t.batch_coupled for t in flat)
        self.monitorable = all(t.monitorable for t in flat)

    @property
    def formula(self) -> str:
        return " + ".join(term.formula for term in self.each())

    def each(self) -> Iterator[Objective]:
        """The terms, in order."""
        return iter(cast("Iterable[Objective]", self.terms))

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        return total([term(trace, x) for term in self.each()])

    def critic_loss(self, trace: Trace, x: Tensor) -> Loss | None:
        against = [term.critic_loss(trace, x) for term in self.each()]
        there = [loss for loss in against if loss is not None]
        return total(there) if there else None

    def update_buffers(self, trace: Trace, x: Tensor) -> None:
        for term in self.each():
            term.update_buffers(trace, x)


def total(losses: Sequence[Loss]) -> Loss:
    """The sum of at least one loss, with all their parts."""
    parts: dict[str, Tensor] = {}
    estimated: set[str] = set()
    for loss in losses:
        for name, nats in loss.parts.items():
            stem = name.split("#")[0]
            twins = sum(part.split("#")[0] == stem for part in parts)
            new = f"{stem}#{twins + 1}" if twins else stem
            parts[new] = nats
            estimated |= {new} if name in loss.estimated else set()
    return Loss(torch.stack([loss.total for loss in losses]).sum(0), parts, frozenset(estimated))


class Distortion(Objective):
    """D = −E_q log p(x|z), averaged over the K samples."""

    symbol = "D"

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        nats = -trace.unfold(trace.log_likelihood(x)).mean(0)
        return Loss(nats, {"distortion": nats})


class Rate(Objective):
    """R = Σ_sites KL(q ‖ p); closed form where one is registered, else log q(z) − log p(z).

    Args:
        layer: whose rate alone it is, counted from 1 in the order of the walk; of all if not given.

    Raises:
        TypeError: where the posterior is a point, which has no rate.
        ValueError: where there is no such layer.
    """

    def __init__(self, layer: int | None = None) -> None:
        super().__init__()
        if layer is not None and layer < 1:
            raise ValueError(f"layer is {layer}; the layers of latents are counted from 1")
        self.layer = layer
        self.name, self.symbol = "rate", "R"
        if layer is not None:
            self.name, self.symbol = f"rate_layer_{layer}", f"R_{layer}"

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        if self.layer is None:
            rate, exact = trace.rate()
        elif self.layer <= len(trace.sites):
            rate, exact = trace.sites[self.layer - 1].rate()
        else:
            raise ValueError(
                f"the rate of layer {self.layer} was asked for; this model has "
                f"{len(trace.sites)} of latents"
            )
        nats = trace.unfold(rate).mean(0)
        return Loss(nats, {self.name: nats}, frozenset() if exact else frozenset({self.name}))
