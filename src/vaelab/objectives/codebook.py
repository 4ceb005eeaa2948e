r"""Codebook and commitment losses (van den Oord et al., 1711.00937).

    codebook    ‖sg(e) − c‖²          codes move to the vectors they encode
    commitment  ‖e − sg(c)‖²          the encoder stays near its codes

Both are sums over an example's positions and dimensions, as all terms: on the scale of nats they
are −log of a normal density of variance ½, up to its constant. sg stops the gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaelab.core import Trace
from vaelab.distributions import Quantized, sum_dims
from vaelab.objectives.terms import Loss, Objective


def _quantized(trace: Trace) -> list[Quantized]:
    quantized = [s.posterior for s in trace.sites if isinstance(s.posterior, Quantized)]
    if not quantized:
        kinds = ", ".join(type(s.posterior).__name__ for s in trace.sites)
        raise TypeError(
            f"no latent of this model is quantized (its posteriors: {kinds}), so there is no "
            "codebook to train; use a posterior with a codebook, or omit the term"
        )
    return quantized


def _apart(trace: Trace, a: list[Tensor], b: list[Tensor]) -> Tensor:
    squares = [sum_dims((u - v) ** 2) for u, v in zip(a, b, strict=True)]
    return trace.unfold(torch.stack(squares).sum(0)).mean(0)


class CodebookLoss(Objective):
    """Codebook loss Σ ‖sg(e) − c‖² over all quantized latents, for codes that follow a gradient.

    Reference: Neural Discrete Representation Learning, van den Oord et al., 2017, arXiv:1711.00937.

    Raises:
        TypeError: if no latent is quantized.
    """

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        latents = _quantized(trace)
        nats = _apart(trace, [q.encoded.detach() for q in latents], [q.code for q in latents])
        return Loss(nats, {"codebook": nats})


class Commitment(Objective):
    """Commitment loss Σ ‖e − sg(c)‖² over all quantized latents.

    Reference: Neural Discrete Representation Learning, van den Oord et al., 2017, arXiv:1711.00937.

    Raises:
        TypeError: if no latent is quantized.
    """

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        latents = _quantized(trace)
        nats = _apart(trace, [q.encoded for q in latents], [q.code.detach() for q in latents])
        return Loss(nats, {"commitment": nats})
