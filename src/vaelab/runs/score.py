"""Scores of given examples, in nats: −ELBO, its parts, and log p(x) by importance weighting.

D = −E_q log p(x|z)          R = KL(q(z|x) ‖ p(z))          log p(x) ≥ log 1/K Σ_k w_k
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaelab.core import Condition, fork_rng
from vaelab.data import Batches, Raw
from vaelab.metrics.likelihood import elbo_of_each, weigh
from vaelab.utils.tables import Tabular

if TYPE_CHECKING:
    import pandas as pd

    from vaelab.runs.run import Run

BATCH = 256


@dataclass(frozen=True, eq=False)
class Scores(Tabular):
    """Scores of examples; higher is less likely under the model.

    Attributes:
        neg_elbo: −ELBO of each example, (N,); None for an autoencoder, which has no rate.
        distortion: −E_q log p(x|z), (N,).
        rate: KL(q(z|x) ‖ p(z)), (N,), or None.
        names: name of each example: its file, or its row number.
    """

    neg_elbo: Tensor | None
    distortion: Tensor
    rate: Tensor | None
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.distortion)

    def __getitem__(self, name: str) -> Tensor:
        """Scores of a name, (N,).

        Raises:
            KeyError: if there is none.
        """
        scores = {"neg_elbo": self.neg_elbo, "distortion": self.distortion, "rate": self.rate}
        found = scores.get(name)
        if found is None:
            there = [name for name, nats in scores.items() if nats is not None]
            raise KeyError(f"no score is called {name!r}; there is {', '.join(there)}")
        return found

    def to_frame(self) -> pd.DataFrame:
        """One line per example: name, and its scores in nats."""
        import pandas as pd

        named = {"neg_elbo": self.neg_elbo, "distortion": self.distortion, "rate": self.rate}
        columns = {name: nats.numpy() for name, nats in named.items() if nats is not None}
        return pd.DataFrame({"name": list(self.names), **columns})


def score(run: Run, rows: Raw, names: tuple[str, ...], samples: int, seed: int) -> Scores:
    """Scores of raw rows (N, …); arguments are those of `Run.score`."""
    if samples < 1:
        raise ValueError(f"samples is {samples}; a score needs at least 1 draw")
    with fork_rng(seed, run.device):
        batches = Batches(rows, run.spec, run.device).fixed(BATCH, seed)
        found = elbo_of_each(run.model, batches, samples, _conditions(run, len(rows)))
    nats = {name: value.cpu().float() for name, value in found.items()}
    return Scores(
        nats.get("neg_elbo"),
        nats["distortion"],
        nats.get("rate"),
        names or tuple(map(str, range(len(rows)))),
    )


def log_prob(run: Run, rows: Raw, samples: int, seed: int) -> Tensor:
    """Lower bounds on log p(x) of raw rows (N, …), (N,); arguments are those of `Run.log_prob`."""
    with fork_rng(seed, run.device):
        batches = Batches(rows, run.spec, run.device).fixed(BATCH, seed)
        found = weigh(run.model, batches, samples, conditions=_conditions(run, len(rows)))
    return -found.nll.cpu()


def _conditions(run: Run, n: int) -> Iterator[Condition]:
    condition = run._condition_for(n)
    for start in range(0, n, BATCH):
        yield tuple(c[start : start + BATCH].to(run.device) for c in condition)


@torch.no_grad()
def check_density(run: Run) -> None:
    """Check that log p(x) exists.

    Raises:
        TypeError: for an autoencoder, whose codes are points.
    """
    if not run.has_rate:
        raise TypeError(
            f"{run.recipe.name} has no density: its codes are points. run.score(x).distortion "
            "ranks examples by their reconstruction"
        )
