"""Properties of tensors, and of torch itself, that a compiled program takes for granted."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter, is_
from typing import Any

import torch
from torch import Tensor

from vaelab.compile.denormals import flushes_denormals

_properties = attrgetter("shape", "dtype", "device", "requires_grad")

# `_backward_hooks` is private to torch: gradients pass through the hooks of a tensor, and nothing
# public lists them. If it goes, hooks that are added later are unnoticed until the next trace, and
# test_hooks_are_seen_that_are_added_later fails first.
_attached = attrgetter("_backward_hooks", "grad")


class TensorState:
    """Layout, dtype, device, address, hooks and gradient of tensors when it is made.

    Args:
        tensors: tensors on any devices.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.tensors = list(tensors)
        self.leaves = [t for t in self.tensors if t.is_leaf]
        self.properties, self.attached = self._read(), self._read_attached()

    def unchanged(self) -> bool:
        """Return True if only values have changed."""
        try:
            return self._read() == self.properties and all(
                map(is_, self._read_attached(), self.attached)
            )
        except RuntimeError:  # a tensor that has become one without strides or memory
            return False

    def _read(self) -> list[Any]:
        found = list(map(_properties, self.tensors))
        return [found, *map(list, (map(f, self.tensors) for f in (Tensor.stride, Tensor.data_ptr)))]

    def _read_attached(self) -> list[Any]:
        return [value for pair in map(_attached, self.leaves) for value in pair]


def ambient(device: str) -> tuple[Any, ...]:
    """Settings of torch and of the processor that decide what an operator computes.

    Args:
        device: type of device whose autocast counts.
    """
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled(device),
        torch.get_autocast_dtype(device),
        *numeric_settings(),
        # Private to torch: counts of the modes that see every operator or function, and the
        # transforms of torch.func. If one goes, run the function where its kind is in use;
        # test_modes_and_transforms_are_counted fails first.
        torch._C._len_torch_dispatch_stack(),
        torch._C._len_torch_function_stack(),
        torch._C._functorch.peek_interpreter_stack() is None,
    )


def numeric_settings() -> tuple[Any, ...]:
    """Settings that the compiler builds into a program."""
    return (
        torch.get_default_dtype(),
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.get_num_threads(),
        flushes_denormals(),
    )
