r"""The training loop, whole.

for each epoch:  for each batch:  walk → loss → step;   then judge on the validation split
the best weights by validation loss are the ones that are kept, with their own optimizer state
"""

from __future__ import annotations

import math
import statistics
import time
from contextlib import nullcontext
from itertools import chain

import torch
from torch import Tensor

from vaelab.compile import foreign_part
from vaelab.core import VAE, Trace, fork_rng
from vaelab.data import Batches, Data, DataSpec
from vaelab.objectives import Objective
from vaelab.training.average import Average
from vaelab.training.checkpoint import release, snapshot
from vaelab.training.clock import Clock
from vaelab.training.plan import Plan, find_device, should_compile, uses_bf16
from vaelab.training.record import Fit, Listener, Moments, Record, Row, Sums
from vaelab.training.step import NotFinite, Step, figures, first_not_finite

ACTIVE = 0.01
"""A unit is active if Var_x(E[z|x]) exceeds this (Burda 1509.00519)."""

ROWS = 256
"""Judged at once: more would take more memory than a step does, and hardly less time."""


def fit(
    model: VAE,
    objective: Objective,
    data: Data,
    spec: DataSpec,
    plan: Plan,
    listener: Listener | None = None,
) -> Fit:
    """Train `model` in place and leave it with its best weights by validation loss.

    Args:
        model: on any device; it is moved to the plan's and back to the CPU.
        objective: the objective to minimise.
        data: raw rows; training and validation splits are used, the test split is not.
        spec: the data as the model sees it, binarization included.
        plan: how.
        listener: callback for every epoch, and for some steps.

    Raises:
        NotFinite: if a value overflows; the message names tensor, step and batch.
        ValueError: for a patience with losses that cannot be compared between epochs.
    """
    if plan.patience is not None and not objective.monitorable:
        raise ValueError(
            f"patience is {plan.patience}, but against this objective the losses of different "
            "epochs cannot be compared; leave patience out and choose the epochs"
        )
    device = find_device(plan.device)
    train = Batches(data.train.x, spec, device, data.train.known(spec), plan.augment)
    valid = Batches(data.valid.x, spec, device, data.valid.known(spec))
    steps_an_epoch = math.ceil(len(train) / plan.batch_size)
    epochs = plan.num_epochs(len(train))
    steps = steps_an_epoch * epochs
    model.to(device).train()
    objective.to(device, torch.float32 if device.type == "mps" else None)
    clock = Clock(chain(model.named_buffers(), objective.named_buffers()))
    parameters = sum(p.numel() for p in model.parameters())
    bf16 = uses_bf16(plan.precision, device, parameters)
    foreign = foreign_part(model, objective)
    full = plan.batch_size if should_compile(plan.compile, steps, parameters, foreign) else 0
    step = Step(model, objective, plan, bf16, full, train.prepare)
    sums = step.sums
    average = None if plan.ema is None else Average(model.state_dict(), plan.ema)
    order = torch.Generator(device).manual_seed(plan.seed)
    record = Record(listener, plan.patience, objective.monitorable)
    with fork_rng(plan.seed, device):
        try:
            for epoch in range(1, epochs + 1):
                started, seen = time.perf_counter(), 0
                step.revisit()
                sums.clear()
                for i, batch in enumerate(train.shuffled(plan.batch_size, order)):
                    done = (epoch - 1) * steps_an_epoch + i + 1
                    clock.set((done - 1) / steps)
                    step.scale(learning_rate(done - 1, steps, plan.warmup))
                    try:
                        step(batch)
                    except NotFinite as error:
                        at = f"step {done} (epoch {epoch}, batch {i + 1})"
                        raise NotFinite(f"{error}, at {at}. {REMEDY}") from None
                    seen += len(batch.x)
                    if average is not None:
                        average.update()
                    if listener is not None and sums.due():
                        listener.on_step(done, steps, sums.means(seen))
                        step.refresh()
                seconds = time.perf_counter() - started
                row = {"epoch": epoch} | sums.means(seen)
                if not math.isfinite(row["loss"]):
                    raise NotFinite(f"{step.diagnose(batch)}, in epoch {epoch}. {REMEDY}")
                clock.set(1.0)
                # All that refers to the model, as an objective may, is to see what is judged.
                with nullcontext() if average is None else average.in_place():
                    row |= evaluate_epoch(model, objective, valid, plan, bf16)
                    row |= {"lr": step.learner.optimizer.lr, "images_per_s": seen / seconds}
                    row |= {"seconds": seconds}
                    if record.ends_epoch(
                        row, lambda: snapshot(model, objective, step.learner.optimizer)
                    ):
                        break
        except KeyboardInterrupt:
            record.fit.ending = "interrupted"
        finally:
            clock.set(1.0)
            release(model, objective)
    return record.finish(model, objective)


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
def evaluate_epoch(model: VAE, objective: Objective, valid: Batches, plan: Plan, bf16: bool) -> Row:
    """Figures of the validation split: fixed binarization and noise, the same at every epoch.

    Raises:
        NotFinite: if a loss is not; no epoch could be called the best by it.
    """
    model.eval()
    sums, moments = Sums(), Moments()
    with fork_rng(plan.seed + 1, valid.device):
        # Smaller batches where an example is walked many times, so that memory stays level.
        size = max(1, ROWS // objective.samples)
        batches = zip(valid.fixed(size, plan.seed), valid.conditions(size), strict=True)
        for i, (x, condition) in enumerate(batches):
            with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
                trace = model(x, objective.samples, condition=condition)
            loss = objective(trace, x)
            if not torch.isfinite(loss.total).all():
                what = first_not_finite(model, x, trace, loss)
                raise NotFinite(f"{what}, in batch {i + 1} of the validation split. {REMEDY}")
            sums.add(figures(loss, trace, x))
            moments.add(trace.unfold(trace.units)[0])
    model.train()
    found = {f"valid_{name}": value for name, value in sums.means(len(valid)).items()}
    return found | in_use(trace, moments.variance)


def in_use(trace: Trace, variance: Tensor) -> Row:
    """Number of latents in use: units, by their variance (L,), and codes of any codebooks.

    The perplexity of several codebooks is their geometric mean, with that of each beside it.
    """
    found = {"active_units": float((variance > ACTIVE).sum())} if len(variance) else {}
    counted = {
        layer: float(site.prior.perplexity.mean())
        for layer, site in enumerate(trace.sites, 1)
        if site.prior.perplexity is not None
    }
    if counted:
        found["perplexity"] = statistics.geometric_mean(counted.values())
    if len(counted) > 1:
        found |= {f"perplexity_layer_{layer}": value for layer, value in counted.items()}
    return found
