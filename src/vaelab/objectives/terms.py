r"""Objectives as sums of terms, in nats per example.

    distortion  D = −E_q log p(x|z)          rate  R = KL(q(z|x) ‖ p(z))          −ELBO = D + R

Terms add and scale: `Distortion() + 4.0 * Rate()` is the β-VAE's objective with β = 4 (Higgins et
al. 2017). Every term is (B,), summed over dimensions; the mean over the batch is taken once, in
`Loss.mean`, so that β is absolute and no result depends on the batch size.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from vaelab.core import Trace
from vaelab.core.schedule import Schedule, as_schedule


@dataclass(frozen=True, eq=False)
class Loss:
    """Loss of a batch.

    Attributes:
        total: nats of each example, (B,).
        parts: unweighted terms by name, each (B,).
        estimated: names of the parts that are Monte Carlo estimates for lack of a closed form.
    """

    total: Tensor
    parts: dict[str, Tensor]
    estimated: frozenset[str] = frozenset()

    @property
    def mean(self) -> Tensor:
        """Mean over the batch, taken nowhere else."""
        return self.total.mean()


class Objective(nn.Module, ABC):
    """Objective: maps a trace and its data to a loss for the model to minimise.

    Parameters of an objective belong to a critic: they minimise `critic_loss`, in a separate step
    after the model's. State without a gradient changes in `update_buffers`.

    >>> (Distortion() + 4.0 * Rate()).formula
    'D + 4 R'

    Attributes:
        samples: number of draws per example K.
        batch_coupled: True if an example's nats depend on the others in its batch, as when a term
            compares the batch's codes with draws from the prior.
        symbol: symbol in a formula.
        monitorable: True if losses of different epochs are comparable. With a learning critic they
            are not, and the last weights are kept.
    """

    samples: int = 1
    batch_coupled: bool = False
    monitorable: bool = True
    symbol: str = ""

    @abstractmethod
    def forward(self, trace: Trace, x: Tensor) -> Loss:
        """Return the loss of x (B, …) under a trace with batch K·B."""

    def critic_loss(self, trace: Trace, x: Tensor) -> Loss | None:
        """Loss of the objective's own parameters on the same trace, or None without any."""
        return None

    def update_buffers(self, trace: Trace, x: Tensor) -> None:
        """Update state that has no gradient, after a step and without gradients."""

    @property
    def formula(self) -> str:
        """Objective in one line, such as D + 4 R; a term without a symbol appears by name."""
        return self.symbol or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(self).__name__).lower()

    def __add__(self, other: Objective) -> Objective:
        return Sum([self, other])

    def __rmul__(self, weight: float | Schedule) -> Objective:
        return Scaled(self, weight)

    __mul__ = __rmul__

    if TYPE_CHECKING:

        def __call__(self, trace: Trace, x: Tensor) -> Loss: ...


class Scaled(Objective):
    """Term times a weight, which may follow a schedule; its part keeps its unweighted nats.

    >>> Scaled(Rate(), 4.0).formula
    '4 R'
    """

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
    """Sum of terms; several parts of one name are numbered.

    >>> Sum([Distortion(), Rate()]).formula
    'D + R'

    Raises:
        ValueError: if terms require different numbers of samples above 1.
    """

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
                f"the terms require different numbers of samples, {counts}; use a single number"
            )
        self.samples = counts[0] if counts else 1
        self.batch_coupled = any(t.batch_coupled for t in flat)
        self.monitorable = all(t.monitorable for t in flat)

    @property
    def formula(self) -> str:
        return " + ".join(term.formula for term in self.each())

    def each(self) -> Iterator[Objective]:
        """Terms, in order."""
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
    """Sum of at least one loss, with all their parts."""
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
    """Distortion D = −E_q log p(x|z), averaged over the K samples.

    >>> Distortion().formula
    'D'
    """

    symbol = "D"

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        nats = -trace.unfold(trace.log_likelihood(x)).mean(0)
        return Loss(nats, {"distortion": nats})


class Rate(Objective):
    """Rate R = Σ_sites KL(q ‖ p), in closed form if registered, else log q(z) − log p(z).

    >>> Rate().formula, Rate(layer=2).formula
    ('R', 'R_2')

    Args:
        layer: number of the only layer to include, counted from 1 in the order of the program; all
            layers if not given.

    Raises:
        TypeError: if the posterior is a point, which has no rate.
        ValueError: if there is no such layer.
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
                f"the rate of layer {self.layer} was requested; this model has "
                f"{len(trace.sites)} of latents"
            )
        nats = trace.unfold(rate).mean(0)
        return Loss(nats, {self.name: nats}, frozenset() if exact else frozenset({self.name}))


class FunctionObjective(Objective):
    """Plain function of a trace and x as an objective.

    >>> objective = FunctionObjective(lambda trace, x: -trace.log_weights(x).mean(0))
    >>> objective.formula
    'function'

    Args:
        function: maps a trace and x (B, …) to nats of each example, (B,).
    """

    def __init__(self, function: Callable[[Trace, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        name = getattr(function, "__name__", "")
        self.symbol = name if name.isidentifier() else "function"

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        nats = self.function(trace, x)
        if not isinstance(nats, Tensor) or nats.shape != (len(x),):
            shape = tuple(nats.shape) if isinstance(nats, Tensor) else type(nats).__name__
            raise ValueError(
                f"the objective {self.symbol} gives {shape} for {len(x)} examples; expected a "
                f"tensor of shape ({len(x)},): nats of each example, not their mean"
            )
        return Loss(nats, {self.symbol: nats})
