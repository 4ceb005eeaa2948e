"""`vaelab fit-prior KIND RUN`: another prior for a model, fitted to what its codes add up to.

    q(z) = 1/N Σ_n q(z | x_n)        p(z) ← the kind's best account of it

It is kept in the run's folder under a name, and commands that generate take it with `--prior NAME`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import torch
from torch import Tensor
from tyro.conf import Positional, arg

from vaelab.apps.choice import Choice, Command, summary
from vaelab.apps.flags import Device
from vaelab.apps.progress import following, say
from vaelab.apps.source import reload_training_data
from vaelab.data import Batches, Data, Split, probe_conditions
from vaelab.fitted import (
    PRIOR_ESTIMATORS,
    Fitted,
    PriorEstimator,
    find_prior_estimator,
    fit_codes,
    keep,
)
from vaelab.fitted.prior import check_name, check_sort, first_site
from vaelab.progress import ProgressCallback, no_progress
from vaelab.run import PRIORS, Run, load
from vaelab.training import find_device
from vaelab.walk import fork_rng

MOST = 100_000
"""Training rows whose codes are fitted to; more would take longer and tell little more."""
ROWS = 1024
SEVERAL = 8
"""Things to be told that a prior is compared under."""
OWN = 2**32
"""Added to the seed: codes drawn with the noise that a model is judged with would flatter it."""
EXAMPLE = "vaelab fit-prior mixture runs/digits"


def fit_prior(
    run: Run,
    kind: PriorEstimator,
    data: Data,
    *,
    name: str | None = None,
    overwrite: bool = False,
    seed: int = 0,
    told: ProgressCallback = no_progress,
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
        told: of the progress.

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
    codes = draws(run, data.train, seed + OWN, told)
    held_out = draws(run, data.valid, seed + OWN + 1)
    fitted = fit_codes(kind, run.model, codes, held_out, seed, told, run.example_condition)
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


def draws(run: Run, split: Split, seed: int, told: ProgressCallback = no_progress) -> Tensor:
    """One draw of the first latent for each of a split's first rows: (N, …), on its device."""
    rows, known = split.x[:MOST], split.known(run.data)
    batches = Batches(rows, run.data, run.device, None if known is None else known[:MOST])
    with torch.no_grad(), fork_rng(seed, run.device):
        codes: list[Tensor] = []
        for x, condition in zip(batches.fixed(ROWS, seed), batches.conditions(ROWS), strict=True):
            codes.append(run.model(x, condition=condition).latents[0])
            told("codes", sum(map(len, codes)), len(rows))
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


@dataclass(frozen=True, kw_only=True)
class Task:
    """What to fit to, and what to call it.

    Attributes:
        run: folder of a trained run.
        name: to keep the prior under; by default that of its kind.
        data: the run's data, where it was an array in memory or has moved.
        data_dir: where known data sets live; by default VAELAB_DATA, else ~/.cache/vaelab/data.
        overwrite: replace a prior of that name.
        seed: of all draws.
    """

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    name: str | None = None
    data: str | None = None
    data_dir: Path | None = None
    overwrite: bool = False
    seed: int = 0
    device: Device = "auto"


def kinds() -> str:
    """The list of kinds, one line each."""
    width = max(map(len, PRIOR_ESTIMATORS))
    lines = [f"  {name:<{width}}  {summary(cls)}" for name, cls in PRIOR_ESTIMATORS.items()]
    return "\n".join(
        [
            "Fit a prior to a run's codes: vaelab fit-prior KIND RUN",
            "Of a model of several latents it is fitted to the first; the others keep theirs. Of a",
            "conditional one it is fitted to the codes of all classes, and is the same for each.",
            "",
            *lines,
            "",
            f"Example           {EXAMPLE}",
            "then              vaelab sample runs/digits --prior mixture",
            "Flags of a kind   vaelab fit-prior mixture --help",
        ]
    )


def command(name: str) -> Command:
    """The kind's command: its settings are flags."""
    cls = find_prior_estimator(name)

    def run(task: Any, kind: Any) -> None:
        perform(task, kind)

    run.__doc__ = f"{summary(cls)}\n\nExample: vaelab fit-prior {name} runs/digits"
    run.__annotations__ = {"task": Task, "kind": cls}
    return run


def perform(task: Task, kind: PriorEstimator) -> None:
    """Reads, fits, keeps, and says what came of it."""
    place = find_device(task.device)
    trained, name = load(task.run).to(place), task.name or kind.name
    check_served(trained, kind)  # before a long read
    check_prior_dir(trained, name, task.overwrite)
    data = Data(trained.data, *reload_training_data(trained.data, task.data, task.data_dir))
    rows = min(MOST, len(data.train))
    say(f"{kind.name} of the first latent of {task.run}, fitted to {rows:,} codes")
    if len(trained.shapes) > 1:
        say(f"it is the first of {len(trained.shapes)}; the others keep the model's own prior")
    with following() as told:
        fitted = fit_prior(
            trained, kind, data, name=name, overwrite=task.overwrite, seed=task.seed, told=told
        )
    for setting, value in chosen(kind, fitted.kind).items():
        say(f"{setting} {value}: chosen as that under which held-out codes cost least")
    nats, own_nats = fitted.figures["nats"], fitted.figures["own_nats"]
    print(
        f"A held-out code costs {nats:.2f} nats under it, {own_nats:.2f} under the model's own "
        "prior: −log p(z)"
    )
    lost = nats - own_nats
    if lost >= 0:
        say(
            f"It is no better than the model's own: {lost:.2f} nats more. Another kind or other "
            "settings may be; samples of the model as it is are the better guess"
        )
    after = "" if lost >= 0 else f"; try: vaelab sample {task.run} --prior {name}"
    print(f"{task.run / PRIORS / name}.safetensors  the prior{after}")


def chosen(asked: PriorEstimator, fitted: PriorEstimator) -> dict[str, Any]:
    """The settings that were left to the codes, as they were chosen."""
    before, after = (asdict(cast(Any, kind)) for kind in (asked, fitted))
    return {name: value for name, value in after.items() if value != before[name]}


choose = Choice("kind", PRIOR_ESTIMATORS, EXAMPLE, kinds, command)
