r"""A function of tensors as one program.

f(x) → y,  reading and writing tensors of its own in place

The first calls are calls as any other, while what they do is written down. As soon as two of them
did the same, that is what f does: from then on a program runs in its place, with the noise that f
would have drawn. What f decides in Python, and does not decide anew from its tensors, stays as it
was; so that this is not overlooked, now and then a call is written down again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from vaelab.compile.cache import Run, make
from vaelab.compile.recording import Recording, layout

T = TypeVar("T")

log = logging.getLogger(__name__)

CALLS = 4
"""In so many, two that follow each other must have done the same; the first may set things up."""

AGAIN = 2_000
"""Once in so many calls, it is seen whether the function still does what its program does."""


class Program(Generic[T]):
    """A function of tensors, and the program that takes its place.

    Args:
        name: what it is, in words, for what is said of it.
        function: of tensors to tensors, and None, both in tuples, lists and dictionaries. It may
            read tensors of its own, and change them in place.

    Attributes:
        run: the program, once there is one.
        why: why there is none and will be none, in words; None where nothing speaks against it.
    """

    def __init__(self, name: str, function: Callable[..., T]) -> None:
        self.name, self.function = name, function
        self.seen: Recording | None = None
        self.run: Run | None = None
        self.why: str | None = None
        self.calls = 0

    def __call__(self, *given: Any) -> T:
        """f(*given), by the program where it is laid out as in the first call."""
        inputs = tree_leaves(given)
        if self.why is not None or not self._fits(inputs):
            return self.function(*given)
        self.calls += 1
        if self.run is None or self.seen is None or self.calls % AGAIN == 0:
            return self._watch(given, inputs)
        with torch.no_grad():
            return self._shaped(self.run([*inputs, *self.seen.outside]))

    def _fits(self, inputs: Sequence[Tensor]) -> bool:
        return self.seen is None or [layout(x) for x in inputs] == self.seen.given

    def _watch(self, given: Sequence[Any], inputs: Sequence[Tensor]) -> T:
        """A call as any other, written down, and what follows from it for the program."""
        now = Recording(inputs)
        with now:
            found = self.function(*given)
        leaves, self.spec = tree_flatten(found)
        self.there = [leaf is not None for leaf in leaves]
        now.close([leaf for leaf in leaves if leaf is not None])
        differs = "it was not seen before" if self.seen is None else now.differs(self.seen)
        self.seen, self.why = now, now.why
        if self.why is None and differs is None and self.run is None:
            self._make(inputs)
        elif self.why is None and differs is not None and self.calls >= CALLS:
            self.run, self.why = None, differs
        if self.why is not None:
            log.warning("%s cannot be compiled: %s; going on without", self.name, self.why)
        return found

    def _make(self, inputs: Sequence[Tensor]) -> None:
        assert self.seen is not None
        try:
            self.run = make(self.name, self.seen, [*inputs, *self.seen.outside])
        except Exception as error:  # whatever a compiler may come to
            lines = str(error).strip().splitlines() or [""]
            self.why = f"{type(error).__name__}: {lines[0]}"

    def _shaped(self, tensors: Sequence[Tensor]) -> T:
        """What the program returned, in the shape that the function returns it in."""
        rest = iter(tensors)
        leaves = [next(rest) if there else None for there in self.there]
        found: T = tree_unflatten(leaves, self.spec)
        return found
