"""What every measuring process does: read a job, do it, print one JSON line.

Needs torch and nothing else, so that it runs in pythae's environment too.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

Settings = dict[str, Any]
Record = dict[str, Any]
Job = Callable[[Settings], Record]


def answer(jobs: dict[str, Job]) -> None:
    """Does the job named in the first argument's JSON and prints its record as the last line."""
    settings = json.loads(sys.argv[1])
    torch.set_num_threads(settings["threads"])
    # What libraries print belongs to the log; standard output carries the record alone.
    with contextlib.redirect_stdout(sys.stderr):
        record = jobs[settings["job"]](settings)
    print(json.dumps(record | {"peak_mib": peak_mib(), "torch": torch.__version__}))


def peak_mib() -> float:
    """The largest resident size this process has had, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def steady(epochs: list[float], images: int) -> Record:
    """Images a second in the median epoch after the first, which warms up.

    Args:
        epochs: seconds of each, at least two.
        images: in one epoch.
    """
    later = sorted(epochs[1:])
    median = (later[(len(later) - 1) // 2] + later[len(later) // 2]) / 2
    record: Record = {"images_per_s": images / median, "epoch_ms": 1000 * median}
    return record | {"epochs_s": epochs, "warm_up_s": epochs[0] - median}


class Race:
    """The test −ELBO after every epoch against the seconds since the process was started.

    The clock is the wall's, from before the interpreter came up; the seconds that scoring itself
    takes are left out.

    Args:
        started: `time.time()` when the process was started.
        score: weights by name ↦ the test −ELBO in nats.
        target: nats to stop at.
        budget: seconds to stop at.
    """

    def __init__(
        self,
        started: float,
        score: Callable[[dict[str, torch.Tensor]], float],
        target: float,
        budget: float,
    ) -> None:
        self.started, self.score, self.target, self.budget = started, score, target, budget
        self.track: list[tuple[float, float]] = []
        self.scoring = 0.0

    def over(self, weights: dict[str, torch.Tensor]) -> bool:
        """Scores an epoch's weights; whether the target or the end of the budget was reached."""
        now = time.time()
        seconds = now - self.started - self.scoring
        nats = self.score(weights)
        self.scoring += time.time() - now
        self.track.append((seconds, nats))
        return nats <= self.target or seconds >= self.budget
