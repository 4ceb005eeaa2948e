"""Members of a sweep: every combination of values with every seed, grouped for joint training."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vaelab.data import DataSpec
from vaelab.recipes.design import Design
from vaelab.recipes.registry import Recipe
from vaelab.runs.run import Run
from vaelab.training import Plan
from vaelab.training.stack import difference, facts, unstackable
from vaelab.utils.validation import validate

Values = dict[str, float]


@dataclass
class Member:
    """One run of a sweep.

    Attributes:
        values: varied values by name, without the seed.
        seed: seed of its initial weights and of its noise.
        recipe: recipe to train.
        plan: training plan.
        run: resulting run; None if it broke down or was not reached.
        failure: reason if it broke down.
        figures: figures of the test split.
    """

    values: Values
    seed: int
    recipe: Recipe
    plan: Plan
    run: Run | None = None
    failure: str | None = None
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of its folder, such as beta=0.5,seed=0."""
        return ",".join([*(f"{k}={v:.12g}" for k, v in self.values.items()), f"seed={self.seed}"])


def grid(
    build: Callable[..., Recipe],
    spec: DataSpec,
    vary: Mapping[str, Sequence[float]],
    seeds: int,
    given: Mapping[str, Any],
    design: Design,
    plan: Plan,
) -> Iterator[Member]:
    """Yield the members of a sweep, each setting with all of its seeds.

    Raises:
        ValueError: as `sweep` does.
    """
    if seeds < 1:
        raise ValueError(f"seeds is {seeds}; a setting needs at least 1 run")
    owners = numeric(build)
    for name, values in vary.items():
        if name not in owners:
            raise ValueError(f"{name} cannot be varied; there is {', '.join(owners)}, and seeds")
        if not values or len(set(values)) < len(values):
            raise ValueError(f"{name} is given {list(values)}; give each value once")
    for chosen in itertools.product(*vary.values()):
        parts: dict[str, Values] = {"recipe": {}, "design": {}, "plan": {}}
        for name, value in zip(vary, chosen, strict=True):
            home, hint = owners[name]
            parts[home][name] = validate(value, hint, name)
        for i in range(seeds):
            made = dataclasses.replace(design, **parts["design"], seed=design.seed + i)  # type: ignore[arg-type]
            own = dataclasses.replace(plan, **parts["plan"], seed=plan.seed + i)  # type: ignore[arg-type]
            recipe = build(spec, **given, **parts["recipe"], design=made)
            varied = {k: v for k, v in zip(vary, chosen, strict=True) if len(vary[k]) > 1}
            yield Member(varied, own.seed, recipe, own)


def numeric(build: Callable[..., Recipe]) -> dict[str, tuple[str, Any]]:
    """Arguments that can be varied: name ↦ owner and type."""
    hints = typing.get_type_hints(inspect.unwrap(build))
    own = [name for name in inspect.signature(build).parameters if name in hints]
    owners = {name: ("recipe", hints[name]) for name in own}
    for home, settings in (("design", Design), ("plan", Plan)):
        owners |= {k: (home, hint) for k, hint in typing.get_type_hints(settings).items()}
    return {k: (home, hint) for k, (home, hint) in owners.items() if is_numeric(k, hint)}


def is_numeric(name: str, hint: Any) -> bool:
    """True if an argument takes numbers; a seed is not a setting."""
    kinds = set(typing.get_args(hint) or (hint,)) - {type(None)}
    return name != "seed" and bool(kinds) and kinds <= {int, float}


def together(members: Sequence[Member]) -> tuple[list[list[Member]], list[str]]:
    """Group members that can be trained as one; return the groups and the reasons for several."""
    teams: list[tuple[dict[str, Any], list[Member]]] = []
    reasons = []
    for member in members:
        about = facts(member.recipe.model, member.recipe.objective, member.plan)
        about |= {"data": member.recipe.data.to_json()}
        single = unstackable(member.recipe.model, member.recipe.objective, member.plan)
        for shared, team in teams:
            if single is None and difference(shared, about) is None:
                team.append(member)
                break
        else:
            if teams:
                why = single or difference(teams[0][0], about)
                first = teams[0][1][0].name
                reasons.append(f"{member.name} is not trained together with {first}: {why}")
            teams.append((about, [member]))
    return [team for _, team in teams], reasons
