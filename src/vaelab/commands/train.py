"""`vaelab train RECIPE`: the recipe's signature, `Design` and `Plan` are its flags.

Nothing is written twice: a recipe that gains an argument gains a flag, with the help of its
docstring. One `--seed` stands for the split, the initial weights and the training.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import shlex
import sys
import time
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import vaelab.recipes  # noqa: F401  (its functions register themselves)
from vaelab.commands.data_options import Source
from vaelab.commands.subcommands import Choice, Command, summary
from vaelab.core import fork_rng
from vaelab.data import Data, DataSpec, check_augment, cli_example, placing
from vaelab.plots.gallery import save_gallery
from vaelab.recipes.design import Design
from vaelab.recipes.parts_by_name import KINDS, names
from vaelab.recipes.registry import RECIPES, Recipe, find
from vaelab.runs.run import Run
from vaelab.runs.train import check_run_dir, few_steps, train
from vaelab.training import Plan, Row, find_device
from vaelab.training.record import NAMES, layers
from vaelab.utils.progress import counted, duration, say, show


@dataclass(frozen=True, kw_only=True)
class Task(Source):
    """The data to train on, and the folder for the run.

    Attributes:
        out: folder for the run: weights, figures and pictures.
        overwrite: replace a run that is there already, once the new one is complete.
        checkpoint_every: time between two checkpoints inside of an epoch, as 30s or 5m.
    """

    out: Path
    overwrite: bool = False
    checkpoint_every: str = "60s"


UPDATE = 1.3
"""Duration of a step with its update, relative to forward and backward passes alone; 512-unit
perceptrons on MNIST."""

EXAMPLE = "vaelab train vae --data digits --latent 2 --out runs/digits"


def recipes() -> str:
    """The list of recipes, one line each, under the first line of the module they stand in."""
    width = max(map(len, RECIPES))
    rooms: dict[str, list[str]] = {}
    for name, function in RECIPES.items():
        room = sys.modules[inspect.unwrap(function).__module__].__doc__ or ""
        line = f"  {name:<{width}}  {summary(function)}"
        rooms.setdefault(room.partition("\n")[0], []).append(line)
    lines = [line for room, found in rooms.items() for line in (room, *found, "")]
    return "\n".join(
        [
            "Train a model: vaelab train RECIPE --data DATA --out RUN",
            "",
            *lines,
            f"Example             {EXAMPLE}",
            "Flags of a recipe   vaelab train vae --help",
            "Go on with one      vaelab train --resume runs/digits",
        ]
    )


def command(name: str) -> Command:
    """The recipe's command: a function whose typed parameters are groups of flags."""
    build = find(name)

    def run(task: Any, model: Any, design: Any, plan: Any) -> None:
        chosen = Design(**vars(design), seed=task.seed)
        perform(
            task,
            lambda spec: build(spec, **vars(model), design=chosen),
            Plan(**vars(plan), seed=task.seed),
        )

    run.__doc__ = (
        f"{summary(build)}\n\nExample: vaelab train {name} --data digits --out runs/{name}"
    )
    run.__annotations__ = groups(Task, build)
    return run


def groups(task: type, build: Callable[..., Recipe]) -> dict[str, type]:
    """The flags of a recipe's command: the task's, its own, those of `Design` and of `Plan`.

    Raises:
        TypeError: if a recipe has an argument that another group has too; all of them are
            addressed by bare names, in files and on the command line.
    """
    shared = {"task": task, "design": without_seed(Design), "plan": without_seed(Plan)}
    own = arguments(build)
    taken = {f.name for group in shared.values() for f in dataclasses.fields(group)}
    if twice := sorted(taken & {f.name for f in dataclasses.fields(own)}):
        raise TypeError(
            f"the recipe {build.__name__} has arguments of names that are taken: "
            f"{', '.join(twice)}; give them others"
        )
    return shared | {"model": own}


def arguments(build: Callable[..., Recipe]) -> type:
    """A recipe's own arguments as a dataclass, with its docstring."""
    function = inspect.unwrap(build)
    hints = typing.get_type_hints(function)
    own = [
        (p.name, hints[p.name], dataclasses.field(default=_default(p.default)))
        for p in list(inspect.signature(function).parameters.values())[1:]
        if p.name != "design"
    ]
    return dataclasses.make_dataclass(
        "model", own, kw_only=True, namespace={"__doc__": inspect.getdoc(function)}
    )


def without_seed(settings: Any) -> type:
    """The same settings without their seed, which is one for all."""
    by_name = {kind: typing.Literal[tuple(names(kind))] for kind in KINDS}
    hints = typing.get_type_hints(settings) | by_name
    fields = [
        (f.name, hints[f.name], dataclasses.field(default=f.default))
        for f in dataclasses.fields(settings)
        if f.name != "seed"
    ]
    return dataclasses.make_dataclass(
        settings.__name__, fields, kw_only=True, namespace={"__doc__": settings.__doc__}
    )


def perform(task: Task, build: Callable[[DataSpec], Recipe], plan: Plan) -> None:
    """Train, draw the pictures, and report the results."""
    # Cheap refusals come before a long read.
    every = seconds(task.checkpoint_every)
    check_run_dir(task.out, task.overwrite)
    device = find_device(plan.device)
    data = task.read()
    recipe = build(data.spec)
    check_augment(plan.augment, data.spec)
    for line in placing(data.train.x, device):
        say(line)
    rows, epochs = len(data.train), plan.num_epochs(len(data.train))
    parameters = sum(p.numel() for p in recipe.model.parameters())
    say(f"likelihood {recipe.reason}")
    say(f"networks {chosen(recipe)}")
    per_epoch = math.ceil(rows / plan.batch_size)
    took = step_seconds(recipe, data, plan.batch_size, device)
    say(
        f"{recipe.name} of {parameters:,} parameters on {device}: at most "
        f"{counted(epochs, 'epoch')} of {counted(per_epoch, 'step')}, "
        f"about {duration(took * per_epoch * epochs)}; Ctrl-C keeps what is reached"
    )
    run = train(
        *(recipe, data, plan),
        out=task.out,
        overwrite=task.overwrite,
        checkpoint_every=every,
        progress=True,
    )
    report(run, data, task.out)


def report(run: Run, data: Data, out: Path) -> None:
    """Print the figures of a run, draw its pictures, and name what can be tried next."""
    Console().print(table(run))
    for path, caption in save_gallery(run, data, out):
        show(f"{path}  {caption}")
    if (length := few_steps(run)) is not None:
        say(f"{length}: little may have been learned yet")
    sample = f"vaelab sample {shlex.quote(str(out))} -n 64{cli_example(run.spec)}"
    show(f"{out}  the run; try: {sample}")


def seconds(text: str) -> float:
    """Seconds of a duration such as 30s, 5m or 1h.

    >>> seconds("1.5m"), seconds("20")
    (90.0, 20.0)

    Raises:
        ValueError: for anything else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if found is None:
        raise ValueError(f"--checkpoint-every is {text!r}; expected a time such as 30s, 5m or 1h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def step_seconds(
    recipe: Recipe, data: Data, batch_size: int, device: torch.device, repeats: int = 3
) -> float:
    """Duration of a training step, from a few of them without an update: the least of `repeats`.

    Precision and compiling may make a step faster.
    """
    model, objective, spec = recipe.model.to(device), recipe.objective.to(device), recipe.data
    split = data.train.take(torch.arange(min(batch_size, len(data.train))))
    x = spec.prepare(split.x[:]).to(device)
    condition = tuple(part.to(device) for part in spec.tell(split.known(spec)))
    durations = []
    with fork_rng(0, device):
        for _ in range(repeats):
            start = time.perf_counter()
            trace = model(x, samples=objective.samples, condition=condition)
            objective(trace, x).mean.backward()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            durations.append(time.perf_counter() - start)
    model.zero_grad()
    objective.zero_grad()
    return UPDATE * min(durations)


def chosen(recipe: Recipe) -> str:
    """The networks that a recipe was built with, and the reason."""
    design, data = recipe.arguments["design"], recipe.data
    if design.net != "auto":
        return f"{design.net}: as asked"
    convolutions = any(isinstance(part, nn.Conv2d) for part in recipe.model.modules())
    if convolutions and design.net_for(data) == "mlp":
        return "of convolutions: this recipe has no others"
    if convolutions:
        return "conv: the default for images with a side above 32 pixels; --net mlp is faster"
    if data.is_image and design.net_for(data) == "mlp":
        return "mlp: the default for images up to 32 pixels; --net conv learns more and is slower"
    return "mlp: this recipe has no others" if data.is_image else "mlp: the ones for tables"


def table(run: Run) -> Table:
    """The best epoch's figures."""
    best = int(run.training["best_epoch"])
    row = run.history[best - 1]
    ending = {"finished": "", "early": ", stopped early", "interrupted": ", interrupted"}
    done = f"{counted(len(run.history), 'epoch')}{ending[run.training['ending']]}"
    found = Table(title=f"best epoch {best} of {done}", title_justify="left", title_style="")
    found.add_column("nats per example")
    for name in ("training", "validation"):
        found.add_column(name, justify="right")
    for name in (name for name in NAMES if name in row):
        for key, called in {name: name, **_layers(row, name)}.items():
            found.add_row(called, f"{row[key]:.2f}", f"{row[f'valid_{key}']:.2f}")
    if "active_units" in row:
        found.add_row("active units", "", f"{row['active_units']:.0f} of {run.latent}")
    if "perplexity" in row:
        for key, called in {"perplexity": "perplexity", **_layers(row, "perplexity")}.items():
            found.add_row(called, "", f"{row[key]:.1f}")
    return found


def _layers(row: Row, name: str) -> dict[str, str]:
    return {key: f"  of {called}" for key, called in layers(row, name).items()}


def _default(value: Any) -> Any:
    return dataclasses.MISSING if value is inspect.Parameter.empty else value


def resume() -> Command:
    """The command that goes on with a training."""
    from vaelab.commands.resume import resume

    return resume


choose = Choice("recipe", RECIPES, EXAMPLE, recipes, command, {"--resume": resume})
