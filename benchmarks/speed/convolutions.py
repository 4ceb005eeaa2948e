"""The floor of a convolutional step: the convolutions of pythae's networks and nothing else.

Forward, and backward to the weights and to what came in (but for the data, which need none);
everything that a layer is given lies ready.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from speed.products import find_dtype
from speed.worker import Record, Settings, answer

DOWN = ((1, 128, 28), (128, 256, 14), (256, 512, 7), (512, 1024, 3))
"""Channels before and after and the side of the map: kernel 4, stride 2, padding 1."""

UP = ((1024, 512, 4, 0), (512, 256, 7, 1), (256, 1, 14, 1))
"""Channels before and after, the side of the map, rows added: kernel 3, stride 2, padding 1."""


def convolutions(settings: Settings) -> Record:
    """Images a second, the median over blocks of steps."""
    device, batch = torch.device(settings["device"]), settings["batch"]
    like = {"device": device, "dtype": find_dtype(settings["precision"])}

    def tensor(*shape: int) -> Tensor:
        return torch.randn(*shape, **like).contiguous(memory_format=torch.channels_last)

    calls = []
    for n, m, side in DOWN:
        conv = partial(F.conv2d, stride=2, padding=1)
        calls.append(call(conv, tensor(batch, n, side, side), tensor(m, n, 4, 4), n > 1))
    for n, m, side, extra in UP:
        conv = partial(F.conv_transpose2d, stride=2, padding=1, output_padding=extra)
        calls.append(call(conv, tensor(batch, n, side, side), tensor(n, m, 3, 3), True))
    seconds = []
    for _ in range(settings["blocks"] + 1):
        started = time.perf_counter()
        for _ in range(settings["steps"]):
            for once in calls:
                once()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    later = sorted(seconds[1:])
    return {"images_per_s": batch * settings["steps"] / later[len(later) // 2]}


def call(
    conv: Callable[[Tensor, Tensor], Tensor], x: Tensor, w: Tensor, through: bool
) -> Callable[[], object]:
    """One layer forward and backward, to its input as well where the gradient goes `through`."""
    wanted = [t.requires_grad_() for t in ((w, x) if through else (w,))]
    dy = torch.randn_like(conv(x, w))
    return lambda: torch.autograd.grad(conv(x, w), wanted, dy)


if __name__ == "__main__":
    answer({"train": convolutions})
