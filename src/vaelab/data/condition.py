"""Conditions of a model as people write them: classes by name or number, or vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaelab.utils.options import on_command_line, option

from .arrays import as_numpy, pick, read_arrays
from .schema_fields import in_words
from .spec import DataSpec

Known = int | str | Sequence[Any] | np.ndarray[Any, Any] | Tensor
"""One label or several, as the data have them, or weights (N, C) of the classes; if a model is
conditioned on vectors, one (C,) or several (N, C)."""


def vectors(spec: DataSpec, known: Known) -> Tensor:
    """Conditions of examples as a model reads them, (N, C): one-hot, or standardised.

    Raises:
        ValueError: if the model is not conditional, or the values are no conditions.
    """
    if not spec.known:
        raise ValueError(
            "this model was trained without a condition, so it takes no class or vector; train one "
            f"with {option('condition', 'labels')}, or {option('condition', 'vectors')}"
        )
    return _classes(spec, known) if spec.condition == "labels" else _vectors(spec, known)


def read(spec: DataSpec, text: str) -> Known:
    """Parse a condition from the command line: class names, or the numbers of a vector, with
    commas between them; or the name of a `.npy` file of vectors, one a row.

    Raises:
        ValueError: if it is none of these.
        FileNotFoundError: if there is no such file.
    """
    if spec.condition != "vectors":
        return text if text in spec.classes else text.split(",")
    if text.endswith(".npy"):
        if not Path(text).is_file():
            raise FileNotFoundError(f"{text} does not exist; it was to hold vectors, one a row")
        return pick(read_arrays(Path(text)))[0]
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise ValueError(
            f"{text!r} is no vector; give {spec.known} numbers with commas between them, or a .npy "
            "file of vectors, one a row"
        ) from None


def broadcast_condition(spec: DataSpec, condition: Tensor | None, n: int) -> tuple[Tensor, ...]:
    """Conditions of n examples, (n, C); empty if the model is not conditional.

    Args:
        spec: description of its data.
        condition: (1, C) for all of them, or (n, C).
        n: how many.

    Raises:
        ValueError: if a condition is missing, or has another number of rows.
    """
    if not spec.known:
        return ()
    labels = spec.condition == "labels"
    if condition is None:
        what = f"the class of the examples, one of {', '.join(spec.classes)}"
        if not labels:
            what = f"the condition of the examples, {in_words(spec.known)}"
        flag = "--class" if labels else "--condition-values"
        how = f"with {flag}" if on_command_line() else "with run.conditioned_on(…)"
        raise ValueError(f"this model is conditional: give {what}, {how}")
    if len(condition) not in (1, n):
        what = "classes were named" if labels else "vectors were given"
        raise ValueError(f"{len(condition)} {what} for {n} examples; give 1 or {n}")
    return (condition.expand(n, -1),)


def sample_labels(spec: DataSpec, n: int) -> Tensor:
    """Labels (n,) of a conditional model's samples, each class as often as among training rows;
    equally often if shares are unknown, as for runs saved before they were recorded."""
    return torch.multinomial(torch.tensor(spec.shares or [1.0] * len(spec.classes)), n, True)


def example_condition(spec: DataSpec) -> tuple[tuple[Tensor, ...], str]:
    """A condition of a conditional model, (1, C), and its text: the first class, or the mean
    vector. Empty if the model is not conditional."""
    if not spec.known:
        return (), ""
    if spec.condition == "labels":
        return spec.tell(torch.zeros(1, dtype=torch.int64)), f"of class {spec.classes[0]}"
    return (torch.zeros(1, spec.known),), "told the mean vector"


def cli_example(spec: DataSpec) -> str:
    """The option of a typical condition on the command line; empty if a label or nothing is."""
    if spec.condition != "vectors" or spec.vectors is None:
        return ""
    return " --condition-values " + ",".join(f"{number:.3g}" for number in spec.vectors.offset)


def probe_conditions(spec: DataSpec, n: int) -> tuple[Tensor, ...]:
    """Conditions for n probes, (n, C): every class in turn, or vectors as far from their mean as
    those of the training rows. Empty if the model is not conditional."""
    if spec.condition == "labels":
        return spec.tell(torch.arange(n) % spec.known)
    if not spec.known:
        return ()
    # The same wherever they are drawn: a model that is built again has them again.
    even = torch.quasirandom.SobolEngine(spec.known).draw(n + 1, dtype=torch.float64)[1:]
    return (torch.special.ndtri(even).float(),)


def _vectors(spec: DataSpec, known: Known) -> Tensor:
    try:
        given = torch.as_tensor(known).float()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"this model is told vectors of {spec.known} numbers, not {known!r}"
        ) from None
    (condition,) = spec.tell(given[None] if given.ndim == 1 else given)
    if not condition.isfinite().all():
        raise ValueError("a vector that was given is not finite")
    return condition


def _classes(spec: DataSpec, known: Known) -> Tensor:
    if isinstance(known, np.ndarray) and known.dtype.kind in "buif":
        known = torch.as_tensor(as_numpy(known, "the condition"))
    if isinstance(known, Tensor) and known.is_floating_point() and known.ndim == 2:
        if known.shape[1] != spec.known:
            raise ValueError(
                f"the condition has shape {tuple(known.shape)}; expected (N, {spec.known}), a "
                "weight for each class"
            )
        if not known.isfinite().all():
            raise ValueError("a weight of a class that was given is not finite")
        return known.float()
    if isinstance(known, Tensor | np.ndarray):
        known = known.flatten().tolist()
    one = isinstance(known, str | bytes | bool | int | float) or not hasattr(known, "__iter__")
    (condition,) = spec.tell(spec.class_numbers([known] if one else known))  # type: ignore[arg-type]
    return condition
