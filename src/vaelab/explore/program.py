"""Programs of operators: a tensor function of one example as a list that a page can execute.

A program holds numbered values, dense float32 arrays in row-major order, and steps
`[operator, output, inputs, settings]` that compute one value from others. There are fourteen
operators, and each has one kernel in `page/kernels.js`:

    view       copy by shape, strides and offset: every reshape, permutation, slice and expansion
    matmul     A (G, M, K) · B (G, K, N), plus a bias (N,)
    conv       2-d convolution of (C, H, W), with stride and padding, plus a bias (C',)
    upsample   nearest-neighbour interpolation of (C, H, W)
    normalize  (x − mean) / sqrt(var + eps) over each of R rows
    unary      f(x), elementwise
    binary     f(a, b), elementwise, with broadcast strides
    where      a if c else b, elementwise
    reduce     sum, max, norm, argmax, argmin over each of R rows
    softmax    over each of R rows, or its logarithm
    concat     rows of several values, one after another
    take       rows of a table by index
    normal     standard normal noise times the temperature
    uniform    uniform noise on [0, 1)
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Value:
    """Value of a program in progress.

    Attributes:
        tensor: result of the traced call, for its shape; the numbers of a constant.
        slot: number of the value in the program, or None for a constant that is not in use yet.
    """

    tensor: Tensor
    slot: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape, batch of 1 included."""
        return tuple(self.tensor.shape)


@dataclass
class Pool:
    """Constants of several programs, each stored once.

    Large ones are kept as float16 if no number leaves its range, all others as float32.
    """

    tensors: list[Tensor] = field(default_factory=list)
    places: dict[bytes, int] = field(default_factory=dict)

    def add(self, t: Tensor) -> int:
        """Index of a constant."""
        t = packed(t)
        digest = hashlib.sha256(t.numpy().tobytes() + str(t.dtype).encode()).digest()
        if digest not in self.places:
            self.places[digest] = len(self.tensors)
            self.tensors.append(t)
        return self.places[digest]

    @property
    def num_bytes(self) -> int:
        """Size of all constants."""
        return sum(t.numel() * t.element_size() for t in self.tensors)

    def layout(self) -> tuple[list[tuple[int, int, int]], bytes]:
        """Offset in bytes, length and bytes a number of every constant; and their bytes."""
        rows, parts, offset = [], [], 0
        for t in self.tensors:
            content = t.numpy().tobytes()
            rows.append((offset, t.numel(), t.element_size()))
            padding = bytes(-len(content) % 4)
            parts += [content, padding]
            offset += len(content) + len(padding)
        return rows, b"".join(parts)


SMALL = 256
"""Constants of fewer numbers are not worth rounding."""


def packed(t: Tensor) -> Tensor:
    """A tensor as a dense vector of float16, or of float32 if it is small or out of range."""
    flat = t.detach().cpu().to(torch.float32).contiguous().flatten()
    if flat.numel() < SMALL:
        return flat
    half = flat.to(torch.float16)
    close = torch.isfinite(half).all() and bool(((half.float() - flat).abs() <= 1e-3).all())
    return half if close else flat


class Program:
    """Builder of a program; its constants go to a pool that several programs share."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.sizes: list[int] = []
        self.constants: dict[int, int] = {}
        self.steps: list[list[Any]] = []
        self.inputs: list[int] = []
        self.outputs: list[int] = []
        self._slots: dict[int, int] = {}

    def input(self, t: Tensor) -> Value:
        """Next input."""
        value = self.new(t)
        assert value.slot is not None
        self.inputs.append(value.slot)
        return value

    def new(self, t: Tensor) -> Value:
        """Value of the shape of `t`, to be computed."""
        self.sizes.append(t.numel())
        return Value(t, len(self.sizes) - 1)

    def use(self, value: Value) -> int:
        """Number of a value; a constant moves to the pool at its first use."""
        if value.slot is not None:
            return value.slot
        place = self.pool.add(value.tensor)
        if place not in self._slots:
            self.sizes.append(value.tensor.numel())
            self._slots[place] = len(self.sizes) - 1
            self.constants[self._slots[place]] = place
        return self._slots[place]

    def step(self, operator: str, out: Tensor, inputs: Sequence[Value], **settings: Any) -> Value:
        """Append a step and return its value, of the shape of `out`."""
        used = [self.use(v) for v in inputs]
        value = self.new(out)
        self.steps.append([operator, value.slot, used, settings])
        return value

    def finish(self, outputs: Sequence[Value]) -> None:
        """Set the outputs."""
        self.outputs = [self.use(v) for v in outputs]

    def to_json(self) -> dict[str, Any]:
        """JSON object of the page."""
        return {
            "sizes": self.sizes,
            "constants": [[slot, place] for slot, place in self.constants.items()],
            "inputs": self.inputs,
            "outputs": self.outputs,
            "steps": self.steps,
        }


def collapse(
    shape: Sequence[int], *strides: Sequence[int]
) -> tuple[list[int], tuple[list[int], ...]]:
    """Merge neighbouring axes that every operand walks as one; axes of 1 are dropped.

    >>> collapse((1, 4, 3, 5), (60, 15, 5, 1), (0, 0, 5, 1))
    ([4, 15], ([15, 1], [0, 1]))
    """
    kept: list[tuple[int, tuple[int, ...]]] = []
    for n, at in zip(shape, zip(*strides, strict=True), strict=True):
        if n == 1:
            continue
        if kept and all(before == here * n for before, here in zip(kept[-1][1], at, strict=True)):
            kept[-1] = (kept[-1][0] * n, at)
        else:
            kept.append((n, at))
    if not kept:
        kept = [(1, (0,) * len(strides))]
    return [n for n, _ in kept], tuple([at[i] for _, at in kept] for i in range(len(strides)))


def dense(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides of a dense array of a shape.

    >>> dense((2, 3, 4))
    (12, 4, 1)
    """
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def broadcast(shape: Sequence[int], to: Sequence[int]) -> tuple[int, ...]:
    """Strides at which a dense array of a shape is read as an array of the shape `to`.

    >>> broadcast((3, 1), (2, 3, 4))
    (0, 1, 0)
    """
    own = (1,) * (len(to) - len(shape)) + tuple(shape)
    return tuple(0 if n == 1 else at for n, at in zip(own, dense(own), strict=True))
