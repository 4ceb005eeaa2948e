r"""Sweep: one recipe at many settings and seeds, trained together.

Rate R and distortion D of the test split, −ELBO = D + R in nats; for each setting the mean over its
seeds ± their standard deviation. The frontier consists of the settings that no other setting
improves on in both R and D.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from vaelab.core import fork_rng
from vaelab.data import Batches, Data, check_augment
from vaelab.metrics.likelihood import elbo
from vaelab.plots import save
from vaelab.recipes.design import Design
from vaelab.recipes.registry import Recipe
from vaelab.runs.run import Run
from vaelab.runs.train import check_run_dir
from vaelab.sweep.grid import grid, together
from vaelab.sweep.report import PICTURE, SWEEP, Sweep, curve, describe
from vaelab.sweep.train_group import train_group
from vaelab.training import NotFinite, Plan, find_device
from vaelab.training.record import USED
from vaelab.utils import atomic_files
from vaelab.utils.progress import say
from vaelab.utils.signals import at_once

BATCH = 256


def sweep(
    build: Callable[..., Recipe],
    data: Data,
    vary: Mapping[str, Sequence[float]],
    *,
    out: str | Path,
    seeds: int = 1,
    given: Mapping[str, Any] | None = None,
    design: Design = Design(),
    plan: Plan = Plan(),
    overwrite: bool = False,
) -> Sweep:
    """Train a recipe at every combination of values and every seed, together if possible.

    Members of one shape are trained as one: they see the same batches in the same order. Each run
    is saved in its own folder in `out`, next to sweep.json and the rate–distortion curve. Ctrl-C
    ends the sweep with the results so far.

    Args:
        build: recipe function, such as `recipes.vae`.
        data: data to train on.
        vary: values by the name of a numeric argument of the recipe, of `Design` or of `Plan`; a
            name with one value is set and not part of a run's name.
        out: folder of the sweep.
        seeds: number of runs per setting, with the seeds of design and plan counted up from theirs.
        given: other arguments of the recipe.
        design: networks and likelihood.
        plan: training plan.
        overwrite: True to replace existing runs.

    Raises:
        ValueError: for a name that cannot vary, a value it cannot take, or a folder in use.
        NotFinite: if every member broke down.
        KeyboardInterrupt: if it was interrupted before any epoch was complete.
    """
    folder = Path(out)
    if (folder / SWEEP).exists() and not overwrite:
        raise ValueError(f"{folder} holds a sweep already; name another, or pass --overwrite")
    check_augment(plan.augment, data.spec)
    members = list(grid(build, data.spec, vary, seeds, given or {}, design, plan))
    for member in members:
        check_run_dir(folder / member.name, overwrite)
    teams, reasons = together(members)
    for reason in reasons:
        say(reason)
    for team in teams:
        try:
            with at_once():
                train_group(team, data, folder, overwrite)
        except KeyboardInterrupt:  # before its first epoch was complete
            break
        if any(m.run is not None and m.run.training["ending"] == "interrupted" for m in team):
            break
    kept = sum(member.run is not None for member in members)
    if kept < len(members):
        say(f"{kept} of {len(members)} runs are kept; sweep.json names the others")
    if not kept:
        failures = [member.failure for member in members if member.failure]
        if not failures:
            raise KeyboardInterrupt
        raise NotFinite(f"every run broke down, the first with: {failures[0]}")
    try:
        for member in members:
            if member.run is not None:
                member.figures = evaluate_test_split(member.run, data, plan.device)
    except KeyboardInterrupt:  # those that have figures are reported
        if not any(member.figures for member in members):
            raise
    result = Sweep(members, data.spec, reasons, folder)
    atomic_files.write_json(folder / SWEEP, describe(result))
    if result.has_rate:
        for kind in ("png", "svg"):
            save(curve(result), folder / f"{PICTURE}.{kind}")
    return result


@torch.no_grad()
def evaluate_test_split(run: Run, data: Data, place: str = "cpu") -> dict[str, float]:
    """Rate, distortion and −ELBO of the test split, each with its standard error, in nats.

    Every run is evaluated on the same binarization, drawn by the seed of the data's split.
    """
    device, seed = find_device(place), data.spec.seed
    model = run.model.to(device)
    with fork_rng(seed, device):
        test = Batches(data.test.x, run.spec, device, data.test.known(run.spec))
        estimates = elbo(model, test.fixed(BATCH, seed), conditions=test.conditions(BATCH))
    model.to("cpu")
    figures = {name: estimate.value for name, estimate in estimates.items()}
    figures |= {f"{name}_se": estimate.se for name, estimate in estimates.items()}
    best = run.history[run.training["best_epoch"] - 1]
    return figures | {name: best[name] for name in USED if name in best}
