"""The flags of `vaelab sweep RECIPE`: those of `vaelab train`, with several values for numbers.

`--beta 0.5,1,2 --lr 1e-3,2e-3 --seeds 4` is 3 · 2 settings of 4 runs each.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
import typing
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from vaelab.commands.arguments import numbers
from vaelab.commands.subcommands import Choice, Command
from vaelab.commands.train import Task, groups
from vaelab.recipes.registry import RECIPES, find
from vaelab.runs.train import few_steps
from vaelab.sweep.grid import is_numeric, numeric
from vaelab.sweep.report import PICTURE, SWEEP, table
from vaelab.utils.progress import say, show
from vaelab.verbs.sweep import sweep

WIDE = 200

EXAMPLE = "vaelab sweep vae --data digits --latent 8 --beta 0.5,1,2,4 --seeds 4 --out sweeps/beta"


@dataclass(frozen=True, kw_only=True)
class Sweeping(Task):
    """The data to train on, the number of seeds, and the folder for the runs.

    Attributes:
        seeds: runs of each setting.
    """

    seeds: int = 1


def recipes() -> str:
    """The recipes that can be swept, by name."""
    return (
        f"Train a recipe at many settings: {EXAMPLE}\n"
        f"Recipes: {', '.join(RECIPES)}. Flags of a recipe: vaelab sweep vae --help"
    )


def command(name: str) -> Command:
    """The recipe's command: a function whose typed parameters are groups of flags."""
    build = find(name)
    known = numeric(build)

    def run(task: Any, model: Any, design: Any, plan: Any) -> None:
        vary: dict[str, tuple[float, ...]] = {}
        others = []
        for settings in (model, design, plan):
            given = vars(settings)
            vary |= {k: v for k, v in given.items() if k in known and v}
            others.append({k: v for k, v in given.items() if k not in known})
        chosen: dict[str, Any] = dict(vary)
        for group in others:
            chosen |= group
        found = sweep(
            build,
            task.read(),
            out=task.out,
            seeds=task.seeds,
            overwrite=task.overwrite,
            seed=task.seed,
            **chosen,
        )
        # A file is as wide as it needs to be.
        console = Console(width=None if sys.stdout.isatty() else WIDE)
        console.print(f"test split, nats per example{found.spread}")
        console.print(table(found))
        if found.has_rate:
            print(f"{task.out / PICTURE}.png  the rate–distortion curve (.svg beside it)")
        print(f"{task.out / SWEEP}  all figures")
        shown = next(member for member in found.members if member.run is not None)
        assert shown.run is not None
        if (length := few_steps(shown.run)) is not None:
            say(f"{length}: little may have been learned yet")
        first = task.out / shown.name
        show(f"{first}  the first run; try: vaelab sample {shlex.quote(str(first))}")

    run.__doc__ = (
        f"Trains {name} at many settings and seeds, together where shapes allow.\n\n"
        f"Example: vaelab sweep {name} --data digits --lr 1e-3,2e-3 --seeds 2 --out sweeps/{name}"
    )
    task, *others = groups(Sweeping, build).items()
    run.__annotations__ = dict([task, *((name, several(group)) for name, group in others)])
    return run


def several(settings: Any) -> type:
    """The same settings, where every number may be several with commas between them."""
    hints = typing.get_type_hints(settings)
    fields: list[tuple[str, Any, Any]] = []
    for f in dataclasses.fields(settings):
        hint, default = hints[f.name], f.default
        if is_numeric(f.name, hint):
            hint = numbers(int if int in (typing.get_args(hint) or (hint,)) else float)
            if default is not dataclasses.MISSING:
                default = () if default is None else (default,)
        fields.append((f.name, hint, dataclasses.field(default=default)))
    return dataclasses.make_dataclass(
        settings.__name__, fields, kw_only=True, namespace={"__doc__": settings.__doc__}
    )


choose = Choice("recipe", RECIPES, EXAMPLE, recipes, command)
