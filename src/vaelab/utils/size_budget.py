"""Bound on the modules that are built for a file: its header decides, not the settings beside it.

A run's JSON may ask for any number of layers of any width. Building stops at the first parameter or
buffer that exceeds what the files of its tensors can fill, before its memory is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

SHARE = 4
"""Most values built per value in the files: constants and parts built twice are not in them."""

VALUES, TENSORS = 2**22, 1000
"""Values and tensors that may be built in any case."""


class TooLarge(ValueError):
    """Settings that ask for more than the files of their tensors hold."""


@contextmanager
def within(*files: Path) -> Iterator[None]:
    """Build modules in the body within the sizes of safetensors files; missing files hold nothing.

    Raises:
        TooLarge: if more is built; states both sizes.
        ValueError: for a damaged file.
    """
    shapes = [shape for file in files if file.is_file() for shape in _shapes(file)]
    values = SHARE * sum(map(math.prod, shapes)) + VALUES
    tensors = SHARE * len(shapes) + TENSORS
    built = [0, 0]

    def count(module: nn.Module, name: str, tensor: Any) -> None:
        if not isinstance(tensor, Tensor):
            return
        built[0] += tensor.numel()
        built[1] += 1
        if built[0] > values or built[1] > tensors:
            raise TooLarge(
                f"its settings ask for more than {built[0]:,} values in {built[1]:,} tensors; "
                f"{', '.join(f.name for f in files if f.is_file()) or 'no file'} holds "
                f"{sum(map(math.prod, shapes)):,} in {len(shapes):,}"
            )

    hooks = (
        register_module_parameter_registration_hook(count),
        register_module_buffer_registration_hook(count),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _shapes(file: Path) -> list[tuple[int, ...]]:
    try:
        with safe_open(file, framework="pt") as tensors:
            names = tensors.keys()
            return [tuple(tensors.get_slice(name).get_shape()) for name in names]
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged: {error}") from None
