"""What a conditional model is told, as people say it: classes by name or number, or vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .spec import DataSpec

Classes = int | str | Sequence[int | str] | Tensor
"""One class or several, by number or name; or vectors (N, C) of a weight for each class."""


def vectors(spec: DataSpec, classes: Classes) -> Tensor:
    """Classes as a model is told them, one-hot (N, C); vectors stay as they are.

    Raises:
        ValueError: where the model is told of none, or one of them does not exist.
    """
    if not spec.known:
        raise ValueError(
            "a class was named, but this model was trained without a condition; train one with "
            "--condition labels"
        )
    if isinstance(classes, Tensor) and classes.is_floating_point():
        if classes.ndim != 2 or classes.shape[1] != spec.known:
            raise ValueError(
                f"the condition has shape {tuple(classes.shape)}; expected (N, {spec.known}), a "
                "weight for each class"
            )
        return classes.float()
    if isinstance(classes, Tensor):
        classes = classes.flatten().tolist()
    named = [classes] if isinstance(classes, int | str) else classes
    (condition,) = spec.tell(torch.tensor([_number(spec, one) for one in named]))
    return condition


def of_each(spec: DataSpec, condition: Tensor | None, n: int) -> tuple[Tensor, ...]:
    """What a model is told of n examples, (n, C); nothing where it is not conditional.

    Args:
        spec: of its data.
        condition: (1, C) for all of them, or (n, C).
        n: how many.

    Raises:
        ValueError: where there is none and must be, or one of another number.
    """
    if not spec.known:
        return ()
    if condition is None:
        raise ValueError(
            "this model is conditional: say of which class the examples are, with --class or "
            f"run.given(…); there is {', '.join(spec.classes)}"
        )
    if len(condition) not in (1, n):
        raise ValueError(f"{len(condition)} classes were named for {n} examples; name 1 or {n}")
    return (condition.expand(n, -1),)


def _number(spec: DataSpec, one: int | str) -> int:
    if isinstance(one, str) and one in spec.classes:
        return spec.classes.index(one)
    if isinstance(one, str) or not 0 <= one < spec.known:
        raise ValueError(f"there is no class {one!r}; there is {', '.join(spec.classes)}")
    return int(one)
