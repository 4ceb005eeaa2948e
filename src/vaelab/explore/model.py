"""Programs of a run: encode, draw and decode one example on the raw scale.

encode   x, c ↦ z, σ      posterior means of all latents, and deviations if they are normal
draw     x, c ↦ z         a draw from the posterior, its noise times the temperature
decode   z, c ↦ x         mean of the likelihood
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vaelab.core import cut, join
from vaelab.core.model import Trace
from vaelab.explore.lowering import lower
from vaelab.explore.program import Pool, Program
from vaelab.explore.rules import Unsupported
from vaelab.runs.run import Run

LARGEST = 24 * 2**20
"""Bytes of constants up to which a model goes into a file."""


def programs(run: Run, pool: Pool) -> dict[str, Program]:
    """Lower a run.

    Args:
        run: trained run, on the CPU.
        pool: place of the constants.

    Raises:
        Unsupported: if the model uses an operator without a kernel, or is too large.
    """
    size = sum(p.numel() for p in run.model.parameters()) * 2
    if size > LARGEST:
        raise Unsupported(
            f"the model has {size / 2**20:.0f} MiB of weights at 16 bits; a file holds up to "
            f"{LARGEST / 2**20:.0f} MiB"
        )
    x = torch.full((1, *run.spec.shape), float(run.spec.low))
    x = x + torch.rand_like(x) * 0  # a tensor of its own
    z = torch.zeros(1, run.latent)
    condition = run.example_condition

    def encode(x: Tensor, *c: Tensor) -> Sequence[Tensor]:
        trace = run.model(run.spec.prepare(x), temperature=0.0, condition=c)
        sigma = deviations(trace)
        return [join(trace.latents), *([] if sigma is None else [sigma])]

    def draw(x: Tensor, *c: Tensor) -> Sequence[Tensor]:
        return [join(run.model(run.spec.prepare(x), condition=c).latents)]

    def decode(z: Tensor, *c: Tensor) -> Sequence[Tensor]:
        latents = cut(z, run.shapes)
        return [run.spec.unscale(run.model.decode(latents, condition=c).likelihood.mean)]

    return {
        "encode": lower(encode, [x, *condition], pool),
        "draw": lower(draw, [x, *condition], pool),
        "decode": lower(decode, [z, *condition], pool),
    }


def deviations(trace: Trace) -> Tensor | None:
    """Deviations of the posteriors of all sites, (B, L); None unless all are diagonal normals."""
    sigmas = [getattr(site.posterior, "sigma", None) for site in trace.sites]
    if any(
        not isinstance(s, Tensor) or s.shape != z.shape
        for s, z in zip(sigmas, trace.latents, strict=True)
    ):
        return None
    return join(s for s in sigmas if isinstance(s, Tensor))
