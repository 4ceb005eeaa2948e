"""`vaelab train --resume RUN`: go on with a training that was broken off."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from vaelab.commands.train import report, seconds
from vaelab.runs.resume import broken_off, reload_data
from vaelab.runs.train import train
from vaelab.utils.progress import say


def resume(
    run: Positional[Annotated[Path, arg(metavar="RUN")]],
    data: str | None = None,
    data_dir: Path | None = None,
    checkpoint_every: str = "60s",
) -> None:
    """Go on with a training that was broken off, from its last checkpoint.

    Example: vaelab train --resume runs/digits

    The run comes out as it would have without the break, bit for bit on the same machine. Its
    settings are those it began with.

    Args:
        run: folder of the training.
        data: the data, if they were an array in memory or have moved.
        data_dir: folder of known data sets.
        checkpoint_every: time between two checkpoints inside of an epoch, as 30s or 5m.
    """
    every = seconds(checkpoint_every)
    recipe, plan = broken_off(run)
    rows = reload_data(recipe, run, data, data_dir)
    say(f"going on with {recipe.name} in {run}")
    trained = train(
        *(recipe, rows, plan), out=run, resume=True, checkpoint_every=every, progress=True
    )
    report(trained, rows, run)
