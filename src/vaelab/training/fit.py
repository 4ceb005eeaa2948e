r"""The training loop, whole.

for each epoch:  for each batch:  walk → loss → step;   then judge on the validation split
the best weights by validation loss are the ones that are kept, with their own optimizer state
"""

from __future__ import annotations

import logging
import math
import statistics
import time
from contextlib import nullcontext
from itertools import chain

import torch
from torch import Tensor

from vaelab.compile import flush_denormals, foreign_part
from vaelab.core import NOISE, ORDER, VAE, Trace, derive_seed, fork_rng, seed_draws
from vaelab.data import Batches, Data, DataSpec
from vaelab.objectives import Objective
from vaelab.training.average import Average
from vaelab.training.checkpoint import release, snapshot
from vaelab.training.clock import Clock
from vaelab.training.course import Course, Keeper
from vaelab.training.plan import Plan, find_device, should_compile, uses_bf16
from vaelab.training.record import Fit, Listener, Moments, Record, Row, Sums
from vaelab.training.start import start
from vaelab.training.step import NotFinite, Step, figures, first_not_finite
from vaelab.utils.hints import hinting
from vaelab.utils.signals import Interrupted

log = logging.getLogger(__name__)

ACTIVE = 0.01
"""A unit is active if Var_x(E[z|x]) exceeds this (Burda 1509.00519)."""

ROWS = 256
"""Judged at once: more would take more memory than a step does, and hardly less time."""


@hinting
def fit(
    model: VAE,
    objective: Objective,
    data: Data,
    spec: DataSpec,
    plan: Plan,
    listener: Listener | None = None,
    keeper: Keeper | None = None,
) -> Fit:
    """Train `model` in place and leave it with its best weights by validation loss.

    Args:
        model: on any device; it is moved to the plan's and back to the CPU.
        objective: the objective to minimise.
        data: raw rows; training and validation splits are used, the test split is not.
        spec: the data as the model sees it, binarization included.
        plan: how.
        listener: callback for every epoch, and for some steps.
        keeper: storage of the fit's states, with the one to go on from.

    Raises:
        NotFinite: if a value overflows; the message names tensor, step and batch.
        Interrupted: if the keeper ends it.
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
    start(model, train)
    objective.to(device, torch.float32 if device.type == "mps" else None)
    clock = Clock(chain(model.named_buffers(), objective.named_buffers()))
    parameters = sum(p.numel() for p in model.parameters())
    bf16 = uses_bf16(plan.precision, device, parameters)
    foreign = foreign_part(model, objective)
    full = plan.batch_size if should_compile(plan.compile, steps, parameters, foreign) else 0
    step = Step(model, objective, plan, bf16, full, train.prepare)
    sums = step.sums
    average = None if plan.ema is None else Average(model.state_dict(), plan.ema)
    order = torch.Generator(device)
    record = Record(listener, plan.patience, objective.monitorable)
    course = Course(model, objective, step, average, record)
    if keeper is not None and (kept := keeper.state()) is not None:
        course.restore(kept)
    with fork_rng(plan.seed, device), flush_denormals(device):
        try:
            for epoch in range(len(record.fit.history) + 1, epochs + 1):
                if record.exhausted():
                    break
                first = course.done - (epoch - 1) * steps_an_epoch
                started, seen = time.perf_counter(), first * plan.batch_size
                if first == 0:
                    step.revisit()
                    step.clear()
                order.manual_seed(derive_seed(plan.seed, ORDER, epoch))
                for i, batch in enumerate(train.shuffled(plan.batch_size, order, first), first):
                    done = (epoch - 1) * steps_an_epoch + i + 1
                    seed_draws(derive_seed(plan.seed, NOISE, done), device)
                    clock.set((done - 1) / steps)
                    step.scale(
                        learning_rate(done - 1, steps, plan.warmup_share, plan.cooldown_share)
                    )
                    at = f"step {done} (epoch {epoch}, batch {i + 1})"
                    try:
                        undone = step(batch)
                    except NotFinite as error:
                        raise NotFinite(f"{error}, at {at}. {REMEDY}") from None
                    if undone and step.skipped == 1:
                        log.warning("%s was skipped: %s", at, undone)
                    seen += len(batch.x)
                    counted = seen - step.rows_skipped
                    if average is not None and not undone:
                        average.update()
                    if listener is not None and counted and sums.due():
                        listener.on_step(done, steps, sums.means(counted))
                        step.refresh()
                    course.done = done
                    if keeper is not None and i + 1 < steps_an_epoch:
                        keeper.after_step(course)
                seconds = time.perf_counter() - started
                if step.skipped == steps_an_epoch:
                    raise NotFinite(f"{undone}, at every step of epoch {epoch}. {REMEDY}")
                row = {"epoch": epoch} | sums.means(seen - step.rows_skipped)
                if step.skips:
                    row["skipped"] = float(step.skipped)
                if not math.isfinite(row["loss"]):
                    raise NotFinite(f"{step.diagnose(batch)}, in epoch {epoch}. {REMEDY}")
                clock.set(1.0)
                # All that refers to the model, as an objective may, is to see what is judged.
                with nullcontext() if average is None else average.in_place():
                    row |= evaluate_epoch(model, objective, valid, plan, bf16)
                    rows = seen - first * plan.batch_size
                    row |= {"lr": step.learner.optimizer.lr, "images_per_s": rows / seconds}
                    row |= {"seconds": seconds}
                    stop = record.ends_epoch(
                        row, lambda: snapshot(model, objective, step.learner.optimizer)
                    )
                if keeper is not None:
                    keeper.after_epoch(course)
                if stop:
                    break
        except Interrupted:
            raise
        except KeyboardInterrupt:
            record.fit.ending = "interrupted"
        finally:
            clock.set(1.0)
            release(model, objective)
    return record.finish(model, objective)


REMEDY = (
    "Try a smaller --lr, or look at the data with this batch in mind; nothing was written over."
)


def learning_rate(step: int, steps: int, warmup: float, cooldown: float) -> float:
    """Share of the peak rate at a step: a linear rise, a plateau, and a linear fall to 0.

    >>> [learning_rate(step, 10, 0.2, 0.4) for step in range(10)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]

    Args:
        step: index of the step, from 0.
        steps: number of steps of the training.
        warmup: share of them over which the rate rises.
        cooldown: share of them over which it falls.
    """
    rise = (step + 1) / max(1.0, warmup * steps)
    fall = (steps - step) / max(1.0, cooldown * steps)
    return min(rise, 1.0, fall)


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
