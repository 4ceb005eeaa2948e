r"""What a codebook and its encoder are trained with (van den Oord et al., 1711.00937).

    codebook    ‖sg(e) − c‖²          the codes move to what they stand for
    commitment  ‖e − sg(c)‖²          the encoder stays near its codes

Both are sums over an example's positions and dimensions, as every term here: on the scale of nats
they are −log of a normal density of variance ½, up to its constant. sg stops the gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaelab.core import Trace
from vaelab.distributions import Quantized, sum_dims
from vaelab.objectives.terms import Loss, Objective


def _quantized(trace: Trace) -> list[Quantized]:
    found = [s.posterior for s in trace.sites if isinstance(s.posterior, Quantized)]
    if not found:
        kinds = ", ".join(type(s.posterior).__name__ for s in trace.sites)
        raise TypeError(
            f"no latent here is quantised (its posteriors: {kinds}), so there is no codebook to be "
            "trained; use a posterior with a codebook, or leave the term out"
        )
    return found


def _apart(trace: Trace, a: list[Tensor], b: list[Tensor]) -> Tensor:
    squares = [sum_dims((u - v) ** 2) for u, v in zip(a, b, strict=True)]
    return trace.unfold(torch.stack(squares).sum(0)).mean(0)


class CodebookLoss(Objective):
    """Σ ‖sg(e) − c‖² over all quantised latents; for codes that follow a gradient.

    Raises:
        TypeError: where no latent is quantised.
    """

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        found = _quantized(trace)
        nats = _apart(trace, [q.encoded.detach() for q in found], [q.code for q in found])
        return Loss(nats, {"codebook": nats})


class Commitment(Objective):
    """Σ ‖e − sg(c)‖² over all quantised latents.

    Raises:
        TypeError: where no latent is quantised.
    """

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        found = _quantized(trace)
        nats = _apart(trace, [q.encoded for q in found], [q.code.detach() for q in found])
        return Loss(nats, {"commitment": nats})
