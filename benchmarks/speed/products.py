r"""The floor: the matrix products of a training step and nothing else.

784-512-32, 16-512-784 at batch B: y = x Wᵀ + b for four layers, δW = δyᵀ x for four, δx = δy W for
the last three (the data needs no gradient). Everything is preallocated.
"""

from __future__ import annotations

import time

import torch

from speed.worker import Record, Settings, answer

LAYERS = ((784, 512), (512, 32), (16, 512), (512, 784))


@torch.no_grad()
def products(settings: Settings) -> Record:
    """Images a second of the products alone, the median over blocks of steps."""
    dtype = find_dtype(settings["precision"])
    batch, blocks, steps = settings["batch"], settings["blocks"], settings["steps"]
    tensors = [
        (
            torch.randn(batch, n, dtype=dtype),
            torch.randn(m, n, dtype=dtype),
            torch.randn(m, dtype=dtype),
            torch.randn(batch, m, dtype=dtype),
            torch.empty(batch, m, dtype=dtype),
            torch.zeros(m, n, dtype=dtype),
            torch.zeros(batch, n, dtype=dtype),
        )
        for n, m in LAYERS
    ]
    seconds = []
    for _ in range(blocks + 1):
        started = time.perf_counter()
        for _ in range(steps):
            for i, (x, w, b, dy, y, dw, dx) in enumerate(tensors):
                torch.addmm(b, x, w.t(), out=y)
                torch.addmm(dw, dy.t(), x, beta=0, out=dw)
                if i > 0:
                    torch.addmm(dx, dy, w, beta=0, out=dx)
        seconds.append(time.perf_counter() - started)
    later = sorted(seconds[1:])
    rate = batch * steps / later[len(later) // 2]
    return {"images_per_s": rate, "blocks_s": seconds, "precision": str(dtype)}


def find_dtype(precision: str) -> torch.dtype:
    """The type of a precision; auto is bf16 where the processor multiplies matrices in it."""
    if precision == "auto":
        read = getattr(torch.cpu, "get_capabilities", dict)
        precision = "bf16" if read().get("amx_bf16") else "fp32"
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]


if __name__ == "__main__":
    answer({"train": products})
