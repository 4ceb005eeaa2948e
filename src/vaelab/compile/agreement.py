"""Comparison of a compiled program with the eager call that it was traced from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vaelab.compile.generators import GeneratorState
from vaelab.compile.recording import Recording, copy_of, layout

Run = Callable[[list[Tensor]], Sequence[Tensor]]

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-2, torch.bfloat16: 0.2, torch.float16: 0.05}
"""Largest relative difference in norm, by the coarsest dtype in the program. Rounding stays one to
two orders of magnitude below; a term, a sign or a weight that is wrong does not."""


def disagreement(run: Run, call: Recording, outputs: Sequence[Tensor]) -> str | None:
    """Reason why a program differs from a traced call, or None; all state is left unchanged.

    Args:
        run: maps inputs and captured tensors to outputs, changing them in place.
        call: a trace that has just been closed.
        outputs: results of the traced call.
    """
    after = {i: copy_of(call.tensors[i]) for i in call.before}
    generators = GeneratorState(call.inputs)
    tensors = [
        copy_of(t) if i < len(call.inputs) and i in call.before else t
        for i, t in enumerate(call.tensors)
    ]
    try:
        with torch.no_grad():
            for i, value in call.before.items():
                tensors[i].copy_(value)
            call.generators.restore()
            found = [copy_of(y) for y in run(tensors)]
        if not GeneratorState(call.inputs).equals(generators):
            return "its program draws other random numbers than the function"
        tolerance = max(TOLERANCE.get(dtype, 0.0) for dtype in dtypes(call))
        for y, expected in zip(found, outputs, strict=True):
            if layout(y) != layout(expected):
                return f"its program returns {layout(y)} and the function {layout(expected)}"
            if not close(y, expected, torch.zeros_like(expected), tolerance):
                return "its program returns other values than the function"
        for i, expected in after.items():
            if not close(tensors[i], expected, call.before[i], tolerance):
                return "its program writes other values than the function"
    finally:
        with torch.no_grad():
            for i, value in after.items():
                call.tensors[i].copy_(value)
        generators.restore()
    return None


def dtypes(call: Recording) -> set[torch.dtype]:
    """Precisions in which a traced call computes."""
    cast = {v for node in call.graph.nodes for v in node.kwargs.values()}
    found = {t.dtype for t in call.tensors} | {v for v in cast if isinstance(v, torch.dtype)}
    return found & TOLERANCE.keys() or {torch.float64}


def close(found: Tensor, expected: Tensor, before: Tensor, tolerance: float) -> bool:
    """Return True if two changes of a tensor agree in norm, up to the tensor's own rounding."""
    if not expected.is_floating_point():
        return torch.equal(found, expected)
    a, b, old = (t.detach().to("cpu", torch.float64) for t in (found, expected, before))
    finite = torch.isfinite(b)
    if not torch.equal(finite, torch.isfinite(a)):
        return False
    a, b, old = (torch.where(finite, t, 0.0) for t in (a, b, old))
    rounding = 4 * torch.finfo(expected.dtype).eps * b.norm()
    return bool((a - b).norm() <= tolerance * (b - old).norm() + rounding)
