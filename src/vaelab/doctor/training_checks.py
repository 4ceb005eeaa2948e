"""The checks of a run's history: was its training complete, stable, and long enough?"""

from __future__ import annotations

import math
from itertools import pairwise

from vaelab.doctor.findings import Evidence, Finding, Findings
from vaelab.runs.run import Run
from vaelab.runs.train import few_steps
from vaelab.training import Length, Plan
from vaelab.training.plan import FEW
from vaelab.utils.messages import Message

JUMP, LATE, AHEAD = 0.1, 0.1, 0.6


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
    how = (
        Message("part.interrupted", "was interrupted")
        if ending == "interrupted"
        else Message("part.never-ended", "never ended, or is still going on")
    )
    lr = run.history[-1].get("lr", math.nan) / run.training.get("lr", math.nan)
    yield Finding(
        "unfinished",
        "warning",
        Message(
            "what.unfinished",
            "the training {how}, at {lr:.0%} of its peak learning rate: {done} of {planned} epochs",
            how=how,
            lr=lr,
            done=done,
            planned=planned,
        ),
        Evidence("share of the plan done", done / planned, 1.0),
        Message(
            "remedy.unfinished",
            "train it again to the end; much is gained in the last, slow part of the schedule",
        ),
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
            Message(
                "what.unstable",
                "the validation loss jumped up by {jump:.2f} nats at epoch {epoch}; in all of "
                "training it fell by {gained:.2f}",
                jump=jump,
                epoch=epoch,
                gained=gained,
            ),
            Evidence("largest jump over the whole fall", share, JUMP),
            Message(
                "remedy.unstable", "a smaller --lr (a third of it), or a larger --warmup-share"
            ),
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
            Message(
                "what.few-steps",
                "{length}: too few to tell if it was done, as a loss levels off in any training "
                "whose learning rate falls to 0",
                length=_length(length),
            ),
            Evidence("share of the default steps", length.steps / length.usual, 1 / FEW),
            Message(
                "remedy.few-steps",
                "leave out --epochs, or --epochs {epochs}, and compare",
                epochs=length.epochs,
            ),
        )


def _falling(losses: list[float], length: Length | None) -> Finding | None:
    """Did the last part of a training bring too much for it to be done?"""
    if length is not None:
        ahead = _late(losses, 1 / 2) * math.log2(length.usual / length.steps)
        if ahead > AHEAD:
            return Finding(
                "under-trained",
                "warning",
                Message(
                    "what.under-trained",
                    "{length}, and every doubling still brought much",
                    length=_length(length),
                ),
                Evidence("fall to come by then, over the fall so far", ahead, AHEAD),
                Message(
                    "remedy.under-trained",
                    "leave out --epochs, or --epochs {epochs}",
                    epochs=length.epochs,
                ),
            )
    late = _late(losses, 2 / 3)
    if late > LATE:
        return Finding(
            "still-learning",
            "warning",
            Message(
                "what.still-learning",
                "the validation loss was still falling when the training ended, after {epochs} "
                "epochs",
                epochs=len(losses),
            ),
            Evidence("share of the fall in the last third", late, LATE),
            f"--epochs {3 * len(losses)}",
        )
    return None


def _length(length: Length) -> Message:
    return Message(
        "part.length",
        "{steps:,} steps; the default is {usual:,} (about {epochs:,} epochs)",
        steps=length.steps,
        usual=length.usual,
        epochs=length.epochs,
    )


def _late(losses: list[float], start: float) -> float:
    """The share of the fall that came after so much of the epochs."""
    if len(losses) < 2:
        return 1.0
    then = min(losses[: max(1, math.ceil(len(losses) * start))])
    gained = losses[0] - min(losses)
    return max(0.0, then - min(losses)) / gained if gained > 0 else 0.0


def _losses(run: Run) -> list[float]:
    return [row["valid_loss"] for row in run.history]
