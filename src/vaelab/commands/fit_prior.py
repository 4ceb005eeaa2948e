"""`vaelab fit-prior KIND RUN`: another prior for a model, fitted to what its codes add up to.

    q(z) = 1/N Σ_n q(z | x_n)        p(z) ← the kind's best account of it

It is kept in the run's folder under a name, and commands that generate take it with `--prior NAME`.
"""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from tyro.conf import Positional, arg

from vaelab.commands.arguments import Device
from vaelab.commands.subcommands import Choice, Command, summary
from vaelab.data import Data
from vaelab.fitted import (
    PRIOR_ESTIMATORS,
    PriorEstimator,
    find_prior_estimator,
)
from vaelab.runs.files import PRIORS
from vaelab.runs.fit_prior import MOST, check_prior_dir, check_served, fit_prior
from vaelab.runs.load import load
from vaelab.runs.own_data import reload_training_data
from vaelab.training import find_device
from vaelab.utils.progress import PartsDisplay, say, show

EXAMPLE = "vaelab fit-prior mixture runs/digits"


@dataclass(frozen=True, kw_only=True)
class Task:
    """The run to fit to, and the name of the fitted prior.

    Attributes:
        run: folder of a trained run.
        name: to keep the prior under; by default that of its kind.
        data: the run's data, if it was an array in memory or has moved.
        data_dir: folder of known data sets; by default VAELAB_DATA, else ~/.cache/vaelab/data.
        overwrite: replace a prior of that name.
        seed: seed of all draws.
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
    """Fit a prior, save it, and report the result."""
    place = find_device(task.device)
    trained, name = load(task.run).to(place), task.name or kind.name
    check_served(trained, kind)  # before a long read
    check_prior_dir(trained, name, task.overwrite)
    data = Data(trained.spec, *reload_training_data(trained.spec, task.data, task.data_dir))
    rows = min(MOST, len(data.train))
    say(f"{kind.name} of the first latent of {task.run}, fitted to {rows:,} codes")
    if len(trained.shapes) > 1:
        say(f"it is the first of {len(trained.shapes)}; the others keep the model's own prior")
    with PartsDisplay() as progress:
        fitted = fit_prior(
            trained,
            kind,
            data,
            name=name,
            overwrite=task.overwrite,
            seed=task.seed,
            progress=progress,
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
    again = shlex.join(["vaelab", "sample", str(task.run), "--prior", name])
    after = "" if lost >= 0 else f"; try: {again}"
    show(f"{task.run / PRIORS / name}.safetensors  the prior{after}")


def chosen(asked: PriorEstimator, fitted: PriorEstimator) -> dict[str, Any]:
    """The settings that were left to the codes, as they were chosen."""
    before, after = (asdict(cast(Any, kind)) for kind in (asked, fitted))
    return {name: value for name, value in after.items() if value != before[name]}


choose = Choice("kind", PRIOR_ESTIMATORS, EXAMPLE, kinds, command)
