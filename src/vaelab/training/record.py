"""Results of a fit: a row of figures an epoch, and the best weights so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

from vaelab.core import VAE
from vaelab.objectives import Objective
from vaelab.training.checkpoint import Snapshot, restore

Row = dict[str, float]
Ending = Literal["finished", "early", "interrupted"]


class Listener(Protocol):
    """Callback of a fit."""

    def on_step(self, step: int, steps: int, row: Row) -> None:
        """After a step, now and then: the running means of this epoch in nats per example."""

    def on_epoch(self, row: Row, best: Snapshot | None) -> None:
        """After an epoch: its row of figures, and the weights if they are the best so far."""


@dataclass
class Fit:
    """Result of a fit.

    Attributes:
        history: one row of figures an epoch.
        ending: finished, early (patience ran out) or interrupted (Ctrl-C).
        best_epoch: epoch of the model's present weights; 0 if no epoch was completed.
        optimizer: the optimizer's tensors that belong to those weights.
    """

    history: list[Row] = field(default_factory=list)
    ending: Ending = "finished"
    best_epoch: int = 0
    optimizer: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Record:
    """A fit as it goes on.

    Attributes:
        listener: callback for every epoch.
        patience: epochs without a better validation loss before it should stop; none if not set.
        monitorable: whether the losses of different epochs may be compared; else the last is best.
        fit: its result so far.
        best: the best weights so far.
    """

    listener: Listener | None = None
    patience: int | None = None
    monitorable: bool = True
    fit: Fit = field(default_factory=Fit)
    best: Snapshot | None = None
    best_loss: float = math.inf

    def ends_epoch(self, row: Row, take: Callable[[], Snapshot]) -> bool:
        """Append a row, and keep the weights if they are the best; returns True to stop."""
        self.fit.history.append(row)
        better = not self.monitorable or row["valid_loss"] < self.best_loss
        if better:
            self.best, self.best_loss = take(), row["valid_loss"]
            self.fit.best_epoch = int(row["epoch"])
        if self.listener is not None:
            self.listener.on_epoch(row, self.best if better else None)
        return self.exhausted()

    def exhausted(self) -> bool:
        """True if patience has run out; the fit then ends early."""
        waited = len(self.fit.history) - self.fit.best_epoch
        if self.patience is not None and waited >= self.patience:
            self.fit.ending = "early"
        return self.fit.ending == "early"

    def finish(self, model: VAE, objective: Objective) -> Fit:
        """Give model and objective their best state; returns the result of the fit."""
        if self.best is not None:
            restore(model, objective, self.best)
            self.fit.optimizer = self.best.optimizer
        return self.fit


def widest(t: Tensor) -> Tensor:
    """In float64, or float32 on the one device that has nothing wider."""
    return t.float() if t.device.type == "mps" else t.double()


class Sums:
    """Running sums of figures, kept on the device; reading them is the only synchronisation."""

    unguarded = frozenset({"read_at"})  # of no interest to a compiled step

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.sums = torch.zeros(())
        self.read_at = 0.0

    def clear(self) -> None:
        """Begin anew, with the same figures."""
        self.sums.zero_()

    def add(self, found: dict[str, Tensor]) -> None:
        """Add the sums over a batch.

        Raises:
            ValueError: if they are not the figures of the batches before.
        """
        names = tuple(found)
        if self.names and names != self.names:
            raise ValueError(
                f"the figures of a batch are {', '.join(names)}, of those before "
                f"{', '.join(self.names)}; an objective has the same parts at every batch, 0 where "
                "there is nothing to tell"
            )
        stacked = widest(torch.stack([*found.values()]))
        if self.names:
            self.sums.add_(stacked)  # in place, as a program that a step is made into must do
        else:
            self.names, self.sums = names, stacked

    def means(self, seen: int) -> Row:
        """Nats per example over the examples seen."""
        return dict(zip(self.names, (self.sums / seen).tolist(), strict=True))

    def due(self, interval: float = 0.2) -> bool:
        """Return True if the interval since the last reading has passed."""
        now = time.perf_counter()
        if now - self.read_at < interval:
            return False
        self.read_at = now
        return True


class Moments:
    """Mean and variance over the rows of batches of any size, in float64."""

    def __init__(self) -> None:
        self.n, self.sum, self.squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, rows: Tensor) -> None:
        """Add rows (B, L)."""
        rows = widest(rows)
        self.n += len(rows)
        self.sum = self.sum.to(rows) + rows.sum(0)
        self.squares = self.squares.to(rows) + (rows**2).sum(0)

    @property
    def variance(self) -> Tensor:
        """Var over all rows, (L,)."""
        return self.squares / self.n - (self.sum / self.n) ** 2


NAMES: tuple[str, ...] = ("loss", "rate", "distortion")


USED = {"active_units": "active", "perplexity": "codes"}
"""Figures of latent usage, and the short word for each."""


def layers(row: Row, name: str) -> dict[str, str]:
    """The figures of each layer that are of one name, with their labels.

    >>> layers({"rate": 5.0, "rate_layer_1": 2.0, "rate_layer_2": 3.0}, "rate")
    {'rate_layer_1': 'layer 1', 'rate_layer_2': 'layer 2'}
    """
    start = f"{name}_layer_"
    return {key: f"layer {key.removeprefix(start)}" for key in row if key.startswith(start)}


def figures(row: Row, decimals: int = 2) -> str:
    """Loss, rate and distortion in nats, those that there are.

    >>> figures({"loss": 3.0, "distortion": 3.0})
    'loss 3.00 · distortion 3.00'
    """
    return " · ".join(f"{name} {row[name]:.{decimals}f}" for name in NAMES if name in row)
