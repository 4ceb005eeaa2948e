"""Disentanglement of a run's codes against the known factors of variation.

Codes are posterior means of the split that is judged. If the data has no factors its labels are
one, and the figures that need two are left out.
"""

from __future__ import annotations

import hashlib

import torch

from vaelab.core import join
from vaelab.data import Batches, Factors
from vaelab.evaluation.result import Result
from vaelab.metrics.continuous import check_continuous
from vaelab.metrics.disentanglement_figures import DEAD, disentanglement
from vaelab.runs.run import Run
from vaelab.utils.messages import Message
from vaelab.utils.progress import counting

BATCH, FEW = 1000, 100


def measure_disentanglement(run: Run, held: Batches, known: Factors | None, seed: int) -> Result:
    """Figures of disentanglement.

    Args:
        run: on the batches' device.
        held: rows it is judged on.
        known: what made these rows, or None.
        seed: seed of binarization, cuts, forests and votes.
    """
    if known is None:
        note = Message(
            "no_factors",
            "The data has neither factors of variation nor labels to set codes against.",
        )
        return Result(notes=(note,))
    if len(held) < FEW:
        note = Message(
            "few_for_factors",
            "{n} rows are too few to set codes against factors; {least} are needed.",
            n=str(len(held)),
            least=str(FEW),
        )
        return Result(notes=(note,))
    with torch.no_grad(), counting("factors", 1) as done:
        batches = zip(held.fixed(BATCH, seed), held.conditions(BATCH), strict=True)
        traces = [run.model(x, temperature=0.0, condition=c) for x, c in batches]
        found = disentanglement(
            torch.cat([join(trace.latents) for trace in traces]).float(),
            known.values,
            known.names,
            known.ordered,
            dead_below=DEAD if traces[0].has_rate and _continuous(run, held) else None,
            seed=seed,
        )
        done(1)
    # The same x may be set against one table of factors, and against another.
    table = hashlib.sha256(known.values.contiguous().numpy().tobytes()).hexdigest()
    shown = {
        "table": table,
        "information": found.information.tolist(),
        "importances": found.importances.tolist(),
        "live": found.live.tolist(),
    }
    return Result(found.figures, facts={"disentanglement": found.facts | shown}, notes=found.notes)


def _continuous(run: Run, held: Batches) -> bool:
    try:
        check_continuous(run.model, next(held.conditions(1)))
    except TypeError:
        return False
    return True
