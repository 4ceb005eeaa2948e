r"""Training a population: N models of one shape in the time of fewer, each as if it were alone.

for each epoch:  for each batch x:  one step of all N;   then judge all N on the validation split

Members may differ in their initial weights, in the weights of their objective's terms, in learning
rate, weight decay and clip. All see the same batches in the same order, which the first plan's
seed draws, and the same binarization; every member has noise of its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from vaelab.compile import flush_denormals, foreign_part
from vaelab.core import NOISE, ORDER, VAE, derive_seed, fork_rng, seed_draws
from vaelab.data import Batch, Batches, Data, DataSpec
from vaelab.objectives import Objective
from vaelab.training.average import Average
from vaelab.training.checkpoint import release
from vaelab.training.fit import ACTIVE, REMEDY, ROWS, learning_rate
from vaelab.training.plan import Plan, find_device, should_compile, uses_bf16
from vaelab.training.record import Fit, Listener, Moments, Record, Row, Sums
from vaelab.training.stack import Stack, Tensors, difference, facts, unstackable
from vaelab.training.start import start
from vaelab.training.step import NotFinite

WALKED = 8192
"""Rows judged at once by all members and samples together: memory stays level."""


@dataclass
class Member:
    """State of one member of the population."""

    record: Record
    error: NotFinite | None = None

    @property
    def going(self) -> bool:
        """True while it is being trained."""
        return self.error is None and self.record.fit.ending == "finished"

    def breaks_down(self, message: str) -> None:
        """Stop training it and keep its best weights."""
        self.error = NotFinite(f"{message}. {REMEDY}")


def fit_population(
    models: Sequence[VAE],
    objectives: Sequence[Objective],
    data: Data,
    spec: DataSpec,
    plans: Sequence[Plan],
    listeners: Sequence[Listener] = (),
) -> list[Fit | NotFinite]:
    """Train the models in place, all at once; each ends with its best weights.

    A member that breaks down does not hold up the others: it ends with the best weights it had,
    and its result is the error that `fit` would have raised. Ctrl-C ends all of them.

    Args:
        models: N of one shape.
        objectives: one a model; only their tensors, as the weights of terms, may differ.
        data: raw rows; training and validation splits are used, the test split is not.
        spec: the data as the models see it, binarization included.
        plans: one a model, alike but for seed, lr, weight_decay and clip.
        listeners: one a model, or none; as the listener of `fit`.

    Returns:
        What each came to, in the order given.

    Raises:
        ValueError: if there are no models, not as many of each, or members of another shape.
    """
    n, plan = len(models), _checked(models, objectives, plans, listeners)
    device = find_device(plan.device)
    train = Batches(data.train.x, spec, device, data.train.known(spec), plan.augment)
    valid = Batches(data.valid.x, spec, device, data.valid.known(spec))
    steps_an_epoch = math.ceil(len(train) / plan.batch_size)
    epochs = plan.num_epochs(len(train))
    steps = steps_an_epoch * epochs
    for model in models:
        model.to(device).train()
        start(model, train)
    parameters = sum(p.numel() for p in models[0].parameters())
    bf16 = uses_bf16(plan.precision, device, parameters)
    foreign = foreign_part(*models, *objectives)
    full = plan.batch_size if should_compile(plan.compile, n * steps, parameters, foreign) else 0
    stack = Stack(models, objectives, plans, bf16, full, train.prepare)
    average = None if plan.ema is None else Average(stack.parameters, plan.ema)
    order = torch.Generator(device)
    members = [Member(Record(listeners[i] if listeners else None, plan.patience)) for i in range(n)]
    with fork_rng(plan.seed, device), flush_denormals(device):
        try:
            for epoch in range(1, epochs + 1):
                started, sums, seen = time.perf_counter(), Sums(), 0
                if stack.program is not None:
                    stack.program.revisit()
                order.manual_seed(derive_seed(plan.seed, ORDER, epoch))
                for number, batch in enumerate(train.shuffled(plan.batch_size, order), 1):
                    done = (epoch - 1) * steps_an_epoch + number
                    seed_draws(derive_seed(plan.seed, NOISE, done), device)
                    stack.clock.set((done - 1) / steps)
                    stack.scale(
                        learning_rate(done - 1, steps, plan.warmup_share, plan.cooldown_share)
                    )
                    sums.add(stack.step(batch))
                    for i, found in stack.broken.items():
                        if members[i].going:
                            at = f"step {done} (epoch {epoch}, batch {number})"
                            members[i].breaks_down(f"{found}, at {at}")
                    seen += len(batch.x)
                    if average is not None:
                        average.update()
                    if listeners and sums.due():
                        for member, row in zip(members, by_member(sums, seen), strict=True):
                            if member.going and member.record.listener is not None:
                                member.record.listener.on_step(done, steps, row)
                seconds = time.perf_counter() - started
                judged = stack.parameters if average is None else average.tensors
                stack.clock.set(1.0)
                verdicts = evaluate_members(stack, judged, valid, plan)
                for i, row in enumerate(by_member(sums, seen)):
                    if not members[i].going:
                        continue
                    row = {"epoch": epoch} | row | verdicts[i] | {"lr": stack.lr(i)}
                    row |= {"images_per_s": seen / seconds, "seconds": seconds}
                    if not math.isfinite(row["loss"]):
                        members[i].breaks_down(f"{stack.diagnose(i, batch)}, in epoch {epoch}")
                    elif not math.isfinite(row["valid_loss"]):
                        members[i].breaks_down(
                            f"the loss of the validation split is not finite, in epoch {epoch}"
                        )
                    else:
                        members[i].record.ends_epoch(row, partial(stack.snapshot, i, judged))
                if not any(member.going for member in members):
                    break
        except KeyboardInterrupt:
            for member in members:
                if member.going:
                    member.record.fit.ending = "interrupted"
        finally:
            for model, objective in zip(models, objectives, strict=True):
                release(model, objective)
    fits = [
        member.record.finish(model, objective)
        for model, objective, member in zip(models, objectives, members, strict=True)
    ]
    return [member.error or fit for member, fit in zip(members, fits, strict=True)]


def _checked(
    models: Sequence[VAE],
    objectives: Sequence[Objective],
    plans: Sequence[Plan],
    listeners: Sequence[Listener],
) -> Plan:
    """The plan of all, once they are known to be of one shape."""
    n = len(models)
    if n == 0 or not n == len(objectives) == len(plans) or len(listeners) not in (0, n):
        raise ValueError(
            f"got {n} models, {len(objectives)} objectives, {len(plans)} plans and "
            f"{len(listeners)} listeners; expected as many of each, and at least one"
        )
    first = facts(models[0], objectives[0], plans[0])
    for i in range(n if n > 1 else 0):
        if why := unstackable(models[i], objectives[i], plans[i]):
            raise ValueError(f"model {i + 1} cannot be trained with others as one: {why}")
        if found := difference(first, facts(models[i], objectives[i], plans[i])):
            raise ValueError(
                f"models 1 and {i + 1} cannot be trained as one: {found}; train them one by one"
            )
    return plans[0]


@torch.no_grad()
def evaluate_members(stack: Stack, parameters: Tensors, valid: Batches, plan: Plan) -> list[Row]:
    """Figures of the validation split by member: fixed binarization and noise at every epoch."""
    program = stack.models[0].eval()
    samples = stack.objectives[0].samples
    size = max(1, min(ROWS // samples, WALKED // (samples * len(stack.models))))
    sums, moments = Sums(), Moments()
    with fork_rng(plan.seed + 1, valid.device):
        for batch in map(Batch, valid.fixed(size, plan.seed), valid.conditions(size)):
            walked = stack.walk(parameters, batch)
            sums.add(walked.figures)
            moments.add(walked.units.movedim(0, 1))
    program.train()
    active = (moments.variance > ACTIVE).sum(1).tolist()
    return [
        {f"valid_{name}": value for name, value in row.items()} | {"active_units": float(units)}
        for row, units in zip(by_member(sums, len(valid)), active, strict=True)
    ]


def by_member(sums: Sums, seen: int) -> list[Row]:
    """Each member's nats per example over the examples seen."""
    rows = (sums.sums / seen).T.tolist()
    return [dict(zip(sums.names, row, strict=True)) for row in rows]
