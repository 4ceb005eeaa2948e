r"""What a codebook and its encoder are trained with (van den Oord et al., 1711.00937).

    codebook    ‖sg(e) − c‖²          the codes move to what they stand for
    commitment  ‖e − sg(c)‖²          the encoder stays near its codes

Both are sums over an example's positions and dimensions, as every term here: on the scale of nats
they are −log of a normal density of variance ½, up to its constant. sg stops the gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaelab.objectives.terms import Loss, Objective
from vaelab.walk import Quantized, Trace, UniformCodes, sum_dims


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


class Perplexity(Objective):
    """How many of its codes a codebook uses, exp of the entropy of their use: a figure, no term.

    It is the codebook's own running figure and so the same for every example; its total is 0. With
    several codebooks it is their geometric mean.

    Raises:
        TypeError: where no latent is quantised.
    """

    @property
    def formula(self) -> str:
        return ""

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        _quantized(trace)
        # The same in every row, as the draw expanded it.
        usages = [s.prior.usage[0] for s in trace.sites if isinstance(s.prior, UniformCodes)]
        entropies = torch.stack([entropy(usage) for usage in usages])
        figure = torch.exp(entropies.mean()).expand(len(x))
        return Loss(torch.zeros_like(figure), {"perplexity": figure})


def entropy(usage: Tensor) -> Tensor:
    """H in nats (…) of shares (…, K), which need not sum to 1; 0 where nothing was ever used.

    >>> round(float(entropy(torch.tensor([2.0, 2.0, 0.0])).exp()), 4)
    2.0
    """
    p = usage / usage.sum(-1, keepdim=True).clamp(min=torch.finfo(usage.dtype).tiny)
    return -torch.xlogy(p, p).sum(-1)
