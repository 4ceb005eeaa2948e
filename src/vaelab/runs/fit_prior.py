"""Fit a prior to the codes of a trained run."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from vaelab.core import fork_rng
from vaelab.data import Batches, Data, Split, probe_conditions
from vaelab.fitted import (
    Fitted,
    PriorEstimator,
    fit_codes,
    keep,
)
from vaelab.fitted.storage import check_name, check_sort, first_site
from vaelab.runs.run import PRIORS, Run
from vaelab.utils.progress import ProgressCallback, no_progress

MOST = 100_000
"""Training rows whose codes are fitted to; more would take longer and tell little more."""


ROWS = 1024


SEVERAL = 8
"""Things to be told that a prior is compared under."""


OWN = 2**32
"""Added to the seed: codes drawn with the noise that a model is judged with would flatter it."""


def fit_prior(
    run: Run,
    kind: PriorEstimator,
    data: Data,
    *,
    name: str | None = None,
    overwrite: bool = False,
    seed: int = 0,
    progress: ProgressCallback = no_progress,
) -> Fitted:
    """Fits a prior of a run's first latent to draws of q(z|x), one a training row.

    Of several latents it replaces the first one's prior alone. Those of a hierarchy below it keep
    theirs, given it; those that know nothing of it keep the prior they were trained with, as the
    classes beside a continuous latent, or the codes of all codebooks but the first.

    Args:
        run: whose codes they are; `run.with_prior(name)` uses what comes of it.
        kind: how, such as `FittedMixture(components=50)`.
        data: what the run was trained on; validation rows are held out, to stop by and to judge.
        name: to keep it under in the run's folder; without one it stays in memory.
        overwrite: whether a prior of that name may be replaced.
        seed: of all draws.
        progress: progress callback.

    Raises:
        ValueError: where the data has another shape, or too few rows; where a prior of that name
            is there already, or the run is not kept anywhere; where the kind is for latents of
            another sort, or what a conditional model is told changes its own prior, as in a
            hierarchy.
    """
    check_served(run, kind)
    if data.spec.shape != run.data.shape:
        raise ValueError(
            f"the run is of data of shape {run.data.shape}, this data has {data.spec.shape}"
        )
    folder = None if name is None else check_prior_dir(run, name, overwrite)
    codes = draws(run, data.train, seed + OWN, progress)
    held_out = draws(run, data.valid, seed + OWN + 1)
    fitted = fit_codes(kind, run.model, codes, held_out, seed, progress, run.example_condition)
    if folder is not None:
        assert name is not None
        keep(fitted, folder, name)
    return fitted


def check_served(run: Run, kind: PriorEstimator) -> None:
    """Checks that a kind can take the place of a run's prior, before anything is read or fitted.

    Raises:
        ValueError: where it is for latents of another sort, or that prior is told a condition.
    """
    with fork_rng(0, run.device):
        check_sort(kind, first_site(run.model, run.example_condition))
    if moved_by_condition(run):
        raise ValueError(
            f"the prior of this run's first latent is told {run.data.condition} and is another for "
            "each, p(z|c); a fitted one would be the same for all, and generate other classes than "
            "are asked for. Fit to a run of one latent, whose prior is told nothing: vae, ae, …"
        )


def moved_by_condition(run: Run) -> bool:
    """Whether what the model is told changes the prior of its first latent."""
    told = tuple(c.to(run.device) for c in probe_conditions(run.data, SEVERAL))
    with torch.no_grad(), fork_rng(0, run.device):
        prior = run.model.sample(SEVERAL, condition=told).sites[0].prior
    return not all(torch.allclose(t, t[:1].expand_as(t)) for t in prior.tensors().values())


def draws(run: Run, split: Split, seed: int, progress: ProgressCallback = no_progress) -> Tensor:
    """One draw of the first latent for each of a split's first rows: (N, …), on its device."""
    rows, known = split.x[:MOST], split.known(run.data)
    batches = Batches(rows, run.data, run.device, None if known is None else known[:MOST])
    with torch.no_grad(), fork_rng(seed, run.device):
        codes: list[Tensor] = []
        for x, condition in zip(batches.fixed(ROWS, seed), batches.conditions(ROWS), strict=True):
            codes.append(run.model(x, condition=condition).latents[0])
            progress("codes", sum(map(len, codes)), len(rows))
        return torch.cat(codes)


def check_prior_dir(run: Run, name: str, overwrite: bool) -> Path:
    """The folder for a run's priors, checked to have no other of that name.

    Raises:
        ValueError: where it has one, the name is not a plain one, or the run is not kept anywhere.
    """
    if run.path is None:
        raise ValueError("the run is in memory only; save it first, or fit a prior without a name")
    folder = run.path / PRIORS
    check_name(name)
    if (folder / f"{name}.json").exists() and not overwrite:
        raise ValueError(
            f"{run.path} has a prior {name!r} already; give another --name, or pass --overwrite"
        )
    return folder
