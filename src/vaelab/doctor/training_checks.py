"""The checks of a run's history: was its training complete, stable, and long enough?"""

from __future__ import annotations

import math
from itertools import pairwise

from vaelab.doctor.findings import Evidence, Finding, Findings
from vaelab.runs.run import Run
from vaelab.runs.train import few_steps
from vaelab.training import Length, Plan
from vaelab.training.plan import FEW

JUMP, LATE, AHEAD = 0.1, 0.1, 0.5


def complete(run: Run) -> Findings:
    """Did the training come to the end of its plan?"""
    ending = run.training.get("ending")
    if ending not in ("interrupted", "unfinished"):
        return
    batch = run.training.get("batch_size", Plan.batch_size)
    planned = Plan(epochs=run.training.get("epochs"), batch_size=batch).num_epochs(
        run.spec.sizes[0]
    )
    done = len(run.history)
    how = "was interrupted" if ending == "interrupted" else "never ended, or is still going on"
    lr = run.history[-1].get("lr", math.nan) / run.training.get("lr", math.nan)
    yield Finding(
        "unfinished",
        "warning",
        f"the training {how}, at {lr:.0%} of its peak learning rate: {done} of {planned} epochs",
        Evidence("share of the plan done", done / planned, 1.0),
        "train it again to the end; the last, slow part of the schedule is where much is gained",
    )


def stable(run: Run) -> Findings:
    """Did the validation loss fall steadily?"""
    losses = _losses(run)
    gained = losses[0] - min(losses)
    if len(losses) < 3 or not run.recipe.objective.monitorable:
        return
    jump, epoch = max((b - a, i) for i, (a, b) in enumerate(pairwise(losses), start=2))
    share = jump / gained if gained > 0 else math.inf
    if jump > 0 and share > JUMP:
        yield Finding(
            "unstable",
            "warning",
            f"the validation loss jumped up by {jump:.2f} nats at epoch {epoch}; in all of "
            f"training it fell by {gained:.2f}",
            Evidence("largest jump over the whole fall", share, JUMP),
            "a smaller --lr (a third of it), or a larger --warmup-share",
        )


def converged(run: Run) -> Findings:
    """Had the validation loss stopped falling, and not for the learning rate's sake alone?

    The schedule lets every training level off, however short. So if the steps were few, the fall
    in their second half, one doubling, is carried on to the default number by as many doublings;
    and if that comes to little, it is not said that more would bring nothing.
    """
    losses = _losses(run)
    if run.training.get("ending") != "finished":
        return
    length = few_steps(run)
    if run.recipe.objective.monitorable and (found := _falling(losses, length)):
        yield found
    elif length is not None:
        yield Finding(
            "few-steps",
            "info",
            f"{length}: too few to tell whether it was done, as a loss levels off in any training "
            "whose learning rate falls to 0",
            Evidence("share of the default steps", length.steps / length.usual, 1 / FEW),
            f"leave out --epochs, or --epochs {length.epochs}, and compare",
        )


def _falling(losses: list[float], length: Length | None) -> Finding | None:
    """Did the last part of a training bring too much for it to be done?"""
    if length is not None:
        ahead = _late(losses, 1 / 2) * math.log2(length.usual / length.steps)
        if ahead > AHEAD:
            return Finding(
                "under-trained",
                "warning",
                f"{length}, and every doubling still brought much",
                Evidence("fall to come by then, over the fall so far", ahead, AHEAD),
                f"leave out --epochs, or --epochs {length.epochs}",
            )
    late = _late(losses, 2 / 3)
    if late > LATE:
        return Finding(
            "still-learning",
            "warning",
            "the validation loss was still falling when the training ended, after "
            f"{len(losses)} epochs",
            Evidence("share of the fall in the last third", late, LATE),
            f"--epochs {3 * len(losses)}",
        )
    return None


def _late(losses: list[float], start: float) -> float:
    """The share of the fall that came after so much of the epochs."""
    if len(losses) < 2:
        return 1.0
    then = min(losses[: max(1, math.ceil(len(losses) * start))])
    gained = losses[0] - min(losses)
    return max(0.0, then - min(losses)) / gained if gained > 0 else 0.0


def _losses(run: Run) -> list[float]:
    return [row["valid_loss"] for row in run.history]
