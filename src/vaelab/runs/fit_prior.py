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
    find_prior_estimator,
    fit_codes,
    keep,
)
from vaelab.fitted.storage import check_name, check_sort, first_site
from vaelab.runs.files import PRIORS
from vaelab.runs.run import Run
from vaelab.utils.hints import hinting
from vaelab.utils.progress import ProgressCallback, no_progress

MOST = 100_000
"""Largest number of training rows to fit to; more would take longer for little gain."""


ROWS = 1024


SEVERAL = 8
"""Number of conditions under which priors are compared."""


OWN = 2**32
"""Offset of the seed: codes drawn with the noise of the evaluation would bias it."""


@hinting
def fit_prior(
    run: Run,
    kind: PriorEstimator | str,
    data: Data | None = None,
    *,
    name: str | None = None,
    overwrite: bool = False,
    seed: int = 0,
    progress: ProgressCallback = no_progress,
) -> Fitted:
    """Fit a prior of a run's first latent to draws of q(z|x), one per training row.

    In a model of several latents it replaces the prior of the first alone. Latents of a hierarchy
    below it keep their priors, given it; independent latents keep the prior they were trained with,
    such as the classes beside a continuous latent, or the codes of all codebooks but the first.

    Args:
        run: run to fit a prior for; `run.with_prior(name)` uses the result.
        kind: estimator, such as `FittedMixture(components=50)`, or its name, such as "mixture".
        data: data that the run was trained on, by default `run.data`; validation rows are held out,
            for early stopping and evaluation.
        name: name to save it under in the run's folder; without one it stays in memory.
        overwrite: True to replace an existing prior of that name.
        seed: seed of all draws.
        progress: progress callback.

    Raises:
        ValueError: if the data has another shape or too few rows; if a prior of that name exists or
            the run is in memory only; if the estimator is for another kind of latent; or if the
            model's own prior depends on a condition, as in a hierarchy.
    """
    kind = find_prior_estimator(kind)() if isinstance(kind, str) else kind
    check_served(run, kind)
    data = run.data if data is None else data
    if data.spec.shape != run.spec.shape:
        raise ValueError(
            f"the run is of data of shape {run.spec.shape}, this data has {data.spec.shape}"
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
    """Check that an estimator can replace a run's prior, before anything is read or fitted.

    Raises:
        ValueError: if it is for another kind of latent, or the run's prior depends on a condition.
    """
    with fork_rng(0, run.device):
        check_sort(kind, first_site(run.model, run.example_condition))
    if moved_by_condition(run):
        raise ValueError(
            f"the prior of this run's first latent depends on the condition, {run.spec.condition}: "
            "p(z|c); a fitted one would be the same for all, and generate other classes than "
            "requested. Fit to a run of one latent, whose prior is unconditional: vae, ae, …"
        )


def moved_by_condition(run: Run) -> bool:
    """True if the condition changes the prior of the model's first latent."""
    conditions = tuple(c.to(run.device) for c in probe_conditions(run.spec, SEVERAL))
    with torch.no_grad(), fork_rng(0, run.device):
        prior = run.model.sample(SEVERAL, condition=conditions).sites[0].prior
    return not all(torch.allclose(t, t[:1].expand_as(t)) for t in prior.tensors().values())


def draws(run: Run, split: Split, seed: int, progress: ProgressCallback = no_progress) -> Tensor:
    """Draw the first latent of each of a split's first rows: (N, …), on the run's device."""
    rows, known = split.x[:MOST], split.known(run.spec)
    batches = Batches(rows, run.spec, run.device, None if known is None else known[:MOST])
    with torch.no_grad(), fork_rng(seed, run.device):
        codes: list[Tensor] = []
        for x, condition in zip(batches.fixed(ROWS, seed), batches.conditions(ROWS), strict=True):
            codes.append(run.model(x, condition=condition).latents[0])
            progress("codes", sum(map(len, codes)), len(rows))
        return torch.cat(codes)


def check_prior_dir(run: Run, name: str, overwrite: bool) -> Path:
    """Folder for a run's priors, checked to have no other of that name.

    Raises:
        ValueError: if it has one, the name is not a plain one, or the run is in memory only.
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
