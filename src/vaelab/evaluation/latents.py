"""Information in the codes, and their match with the prior.

The split of the rate and the match with the prior are of the training rows, whose codes the model
was fitted to; rates by dimension and active units are of the split that is judged.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from vaelab.core import VAE, Condition, Trace, join, permutation
from vaelab.data import Batches
from vaelab.evaluation.result import Result
from vaelab.metrics.aggregate import rate_split
from vaelab.metrics.continuity import Support, hole_fraction
from vaelab.metrics.continuous import confined
from vaelab.metrics.discrepancy import mmd
from vaelab.metrics.estimate import Estimate
from vaelab.metrics.layer import Layer, layers
from vaelab.metrics.two_sample import classifier_auc
from vaelab.runs.run import Run
from vaelab.utils.messages import Message
from vaelab.utils.progress import counting

BATCH = 1000
DRAWS, MMD_DRAWS, AUC_DRAWS, HOLE_DRAWS = 2000, 5000, 10_000, 10_000
K, FEW = 5, 20


def measure_latents(
    run: Run, train: Batches, held: Batches, seed: int
) -> tuple[Result, list[Layer] | None]:
    """Figures of the codes, and the layers if they have a rate.

    Args:
        run: on the batches' device.
        train: training rows.
        held: held-out rows.
        seed: seed of the draws and the binarization.
    """
    found, carried = Result(), None
    first = next(_traces(run.model, held, seed))
    if first.has_rate:
        carried = layers(run.model, held.fixed(BATCH, seed), held.conditions(BATCH))
        found |= _units(carried)
        found |= _split(run, train, seed, len(first.sites))
    return found | _match(run, train, held, seed), carried


def _units(carried: list[Layer]) -> Result:
    units = [layer.active for layer in carried if layer.active is not None]
    if not units:
        return Result()
    active = torch.cat(units)
    count = Estimate(float(active.sum()), 0.0, len(active))
    return Result({"active_units": count}, facts={"dimensions": len(active)})


def _split(run: Run, train: Batches, seed: int, sites: int) -> Result:
    if sites > 1:
        note = Message(
            "one_layer",
            "The split of the rate is defined for one layer of latents; this model has {sites}.",
            sites=str(sites),
        )
        return Result(notes=(note,))
    with torch.no_grad(), counting("split of the rate", 1) as done:
        posteriors = [trace.sites[0].posterior for trace in _traces(run.model, train, seed)]
        prior = run.model.sample(1, condition=_conditions(train, 1)).sites[0].prior
        split = rate_split(posteriors, prior, DRAWS, seed)
        done(1)
    parts = {
        "split_rate": split.rate,
        "information": split.information,
        "total_correlation": split.total_correlation,
        "dimension_wise": split.dimension_wise,
        "mismatch": split.mismatch,
    }
    notes = []
    if split.information.value > 0.95 * split.ceiling:
        notes.append(
            Message(
                "ceiling",
                "The information is at its ceiling log N = {ceiling} nats: every code identifies "
                "its example, so its information on unseen data cannot be read from it.",
                ceiling=f"{split.ceiling:.2f}",
            )
        )
    if split.total_correlation is None:
        notes.append(
            Message(
                "two_parts",
                "The split has two parts: the posteriors are not independent normals.",
            )
        )
    elif split.dimension_wise is None:
        notes.append(
            Message(
                "dependent_prior",
                "There is no dimension-wise KL: the prior has no independent dimensions.",
            )
        )
    figures = {name: part for name, part in parts.items() if part is not None}
    return Result(figures, facts={"ceiling": split.ceiling}, notes=tuple(notes))


def _match(run: Run, train: Batches, held: Batches, seed: int) -> Result:
    if why := confined(run.model, _conditions(train, 1)):
        note = Message(
            "confined",
            "{reason}: distances of codes to prior draws are not informative.",
            reason=f"{why[0].upper()}{why[1:]}",
        )
        return Result(notes=(note,))
    codes, fresh = _codes(run.model, train, seed), _codes(run.model, held, seed)
    # Rows may be sorted, by class say; draws from them shall not be.
    order = permutation(len(codes), seed)
    mixed = codes[order.to(codes.device)]
    prior = _prior(run, train, max(HOLE_DRAWS, AUC_DRAWS))
    few = min(MMD_DRAWS, len(codes))
    some = min(AUC_DRAWS, len(codes))
    figures = {
        "mmd": mmd(mixed[:few], prior[:few]),
        "auc": classifier_auc(prior[:some], mixed[:some], seed),
    }
    if len(fresh) < FEW or len(codes) < FEW:
        note = Message(
            "few_for_holes",
            "Too few rows for holes: {n} held-out ones cannot place a threshold.",
            n=str(len(fresh)),
        )
        return Result(figures, notes=(note,))
    support = Support.calibrate(codes, fresh, K)
    figures["holes"] = hole_fraction(prior[:HOLE_DRAWS], support)
    return Result(figures)


@torch.no_grad()
def _traces(model: VAE, batches: Batches, seed: int) -> Iterator[Trace]:
    for x, condition in zip(batches.fixed(BATCH, seed), batches.conditions(BATCH), strict=True):
        yield model(x, condition=condition)


def _codes(model: VAE, batches: Batches, seed: int) -> Tensor:
    """One draw of the code of every row, (N, L)."""
    return torch.cat([join(trace.latents) for trace in _traces(model, batches, seed)])


@torch.no_grad()
def _prior(run: Run, train: Batches, n: int) -> Tensor:
    """Codes drawn from the prior, (n, L); of a conditional model under the rows' conditions."""
    conditions = _conditions(train, n)
    drawn = []
    for start in range(0, n, BATCH):
        part = slice(start, min(n, start + BATCH))
        known = tuple(c[part] for c in conditions)
        drawn.append(run.model.sample(part.stop - start, condition=known))
    return torch.cat([join(trace.latents) for trace in drawn])


def _conditions(rows: Batches, n: int) -> Condition:
    """Conditions of n rows in random order, repeated if there are fewer rows."""
    order = permutation(len(rows), 0)
    which = order[torch.arange(n) % len(rows)]
    return tuple(c[which.to(c.device)] for c in next(rows.conditions(len(rows))))
