r"""The training loop, whole.

for each epoch:  for each batch x:  walk → loss → step;   then judge on the validation split
the best weights by validation loss are the ones that are kept, with their own optimizer state
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Literal, Protocol, cast

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vaelab.data import Batches, Data, DataSpec
from vaelab.objectives import Objective
from vaelab.training.checkpoint import Snapshot, restore, snapshot
from vaelab.training.plan import Plan, compiles, find_device, uses_bf16
from vaelab.training.step import NotFinite, Step, figures, first_not_finite
from vaelab.walk import VAE

Row = dict[str, float]
Ending = Literal["finished", "early", "interrupted"]

ACTIVE = 0.01
"""A unit is active where Var_x(E[z|x]) exceeds this (Burda 1509.00519)."""


class Listener(Protocol):
    """Somebody who watches a fit."""

    def on_step(self, step: int, steps: int, row: Row) -> None:
        """After a step, now and then: the running means of this epoch in nats per example."""

    def on_epoch(self, row: Row, best: Snapshot | None) -> None:
        """After an epoch: its row of figures, and the weights where they are the best so far."""


@dataclass
class Fit:
    """What a fit came to.

    Attributes:
        history: one row of figures an epoch.
        ending: finished, early (patience ran out) or interrupted (Ctrl-C).
        best_epoch: whose weights the model holds now; 0 where no epoch was completed.
        optimizer: the optimizer's tensors that belong to those weights.
    """

    history: list[Row] = field(default_factory=list)
    ending: Ending = "finished"
    best_epoch: int = 0
    optimizer: dict[str, Tensor] = field(default_factory=dict)


def fit(
    model: VAE,
    objective: Objective,
    data: Data,
    spec: DataSpec,
    plan: Plan,
    listener: Listener | None = None,
) -> Fit:
    """Trains `model` in place and leaves it with its best weights by validation loss.

    Args:
        model: on any device; it is moved to the plan's and back to the CPU.
        objective: what is minimised.
        data: raw rows; training and validation splits are used, the test split is not.
        spec: the data as the model sees it, binarization included.
        plan: how.
        listener: told of every epoch, and of steps now and then.

    Raises:
        NotFinite: where a value overflows; the message names tensor, step and batch.
    """
    device = find_device(plan.device)
    train, valid = (Batches(split.x, spec, device) for split in (data.train, data.valid))
    steps_an_epoch = math.ceil(len(train) / plan.batch_size)
    epochs = plan.passes(len(train))
    steps = steps_an_epoch * epochs
    model.to(device).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), plan.lr, weight_decay=plan.weight_decay, fused=device.type != "mps"
    )
    schedule = LambdaLR(optimizer, lambda step: learning_rate(step, steps, plan.warmup))
    bf16 = uses_bf16(plan.precision, device, sum(p.numel() for p in model.parameters()))
    full = plan.batch_size if compiles(plan.compile, steps) else 0
    step = Step(model, objective, optimizer, plan.clip, bf16, full)
    average = (
        None
        if plan.ema is None
        else AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(plan.ema), use_buffers=True)
    )
    judged = model if average is None else cast(VAE, average.module)
    order = torch.Generator(device).manual_seed(plan.seed)
    result, best, best_loss = Fit(), None, math.inf
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(plan.seed)
        try:
            for epoch in range(1, epochs + 1):
                started, sums, seen = time.perf_counter(), Sums(), 0
                for i, x in enumerate(train.epoch(plan.batch_size, order)):
                    done = (epoch - 1) * steps_an_epoch + i + 1
                    try:
                        sums.add(step(x))
                    except NotFinite as error:
                        at = f"step {done} (epoch {epoch}, batch {i + 1})"
                        raise NotFinite(f"{error}, at {at}. {REMEDY}") from None
                    schedule.step()
                    seen += len(x)
                    if average is not None:
                        average.update_parameters(model)
                    if listener is not None and sums.due():
                        listener.on_step(done, steps, sums.means(seen))
                seconds = time.perf_counter() - started
                row = {"epoch": epoch} | sums.means(seen)
                if not math.isfinite(row["loss"]):
                    raise NotFinite(f"{step.diagnose(x)}, in epoch {epoch}. {REMEDY}")
                row |= judge(judged, objective, valid, plan, bf16)
                row |= {"lr": optimizer.param_groups[0]["lr"], "images_per_s": seen / seconds}
                row |= {"seconds": seconds}
                result.history.append(row)
                better = row["valid_loss"] < best_loss
                if better:
                    best, best_loss = snapshot(judged, optimizer), row["valid_loss"]
                    result.best_epoch = epoch
                if listener is not None:
                    listener.on_epoch(row, best if better else None)
                if plan.patience is not None and epoch - result.best_epoch >= plan.patience:
                    result.ending = "early"
                    break
        except KeyboardInterrupt:
            result.ending = "interrupted"
    if best is not None:
        restore(model, best)
        result.optimizer = best.optimizer
    model.to("cpu").eval()
    return result


REMEDY = (
    "Try a smaller --lr, or look at the data with this batch in mind; nothing was written over."
)


def learning_rate(step: int, steps: int, warmup: int) -> float:
    """The share of the peak rate at a step: a linear rise, then a cosine to 0."""
    warmup = min(warmup, steps // 10)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


@torch.no_grad()
def judge(model: VAE, objective: Objective, valid: Batches, plan: Plan, bf16: bool) -> Row:
    """Figures of the validation split: fixed binarization and noise, the same at every epoch.

    Raises:
        NotFinite: where a loss is not; no epoch could be called the best by it.
    """
    model.eval()
    devices = [valid.device] if valid.device.type == "cuda" else []
    sums, moments = Sums(), Moments()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(plan.seed + 1)
        # Small batches where an example is walked many times, so that memory stays level.
        for i, x in enumerate(valid.fixed(max(1, 1024 // objective.samples), plan.seed)):
            with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
                trace = model(x, objective.samples)
            loss = objective(trace, x)
            if not torch.isfinite(loss.total).all():
                what = first_not_finite(model, x, trace, loss)
                raise NotFinite(f"{what}, in batch {i + 1} of the validation split. {REMEDY}")
            sums.add(figures(loss, trace, x))
            mu = torch.cat([site.posterior.mean.flatten(1) for site in trace.sites], 1)
            moments.add(trace.unfold(mu)[0])
    model.train()
    found = {f"valid_{name}": value for name, value in sums.means(len(valid)).items()}
    return found | {"active_units": float((moments.variance > ACTIVE).sum())}


def widest(t: Tensor) -> Tensor:
    """In float64, or float32 on the one device that has nothing wider."""
    return t.float() if t.device.type == "mps" else t.double()


class Sums:
    """Running sums of figures, kept on the device; reading them is the only synchronisation."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.read_at = 0.0

    def add(self, found: dict[str, Tensor]) -> None:
        """Adds the sums over a batch."""
        for name, nats in found.items():
            self.sums[name] = self.sums.get(name, 0.0) + widest(nats)

    def means(self, seen: int) -> Row:
        """Nats per example over the examples seen."""
        return {name: float(nats) / seen for name, nats in self.sums.items()}

    def due(self, interval: float = 0.2) -> bool:
        """Whether the last look was long enough ago."""
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
        """Adds rows (B, L)."""
        rows = widest(rows)
        self.n += len(rows)
        self.sum = self.sum.to(rows) + rows.sum(0)
        self.squares = self.squares.to(rows) + (rows**2).sum(0)

    @property
    def variance(self) -> Tensor:
        """Var over all rows, (L,)."""
        return self.squares / self.n - (self.sum / self.n) ** 2
