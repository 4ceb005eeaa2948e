r"""AdamW (Loshchilov & Hutter 1711.05101).

m ← β₁ m + (1−β₁) g        v ← β₂ v + (1−β₂) g²        θ ← θ − η (m̂ / (√v̂ + ε) + λ θ)

The step is torch's, by its function: its class imports torch's compiler, which takes a second and
75 MB, to keep the lists that are kept here. If a whole step is one compiled program, the same
update is written out for the compiler, which then reads every weight, moment and gradient once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.optim.adamw import adamw

Gradients = Sequence[Tensor | None]

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8

TINY, EVERY = 1e-25, 200
"""Moments below this become 0, looked for once in so many steps: the root of such a v is 10⁻⁴ of ε.
Left alone, those of a weight whose gradient has become 0 shrink until they are no normal numbers,
with which a processor takes a hundred times as long."""


class AdamW:
    """Some weights with their moments.

    Args:
        weights: at least one, on one device; changed in place.
        lr: peak learning rate.
        decay: decoupled weight decay.

    Attributes:
        lr: the learning rate of the next step; the peak at first.
        eps: ε.
        taken: steps.
    """

    # Read by `prepare` and `count` alone, outside of a compiled step; moments are nobody else's.
    unguarded = frozenset({"lr", "taken", "m", "v"})

    def __init__(self, weights: Sequence[Tensor], lr: float, decay: float) -> None:
        self.weights, self.lr, self.peak, self.decay = list(weights), lr, lr, decay
        self.m, self.v = ([torch.zeros_like(w) for w in self.weights] for _ in range(2))
        self.eps = EPS
        device = self.weights[0].device
        self.fused, self.taken = device.type != "mps", 0
        # Counted by weight, as some may have no gradient now and then.
        self.counts = torch.zeros(len(self.weights), device=device if self.fused else "cpu")
        self.shrink = torch.ones((), device=device)
        self.size, self.root = (torch.ones(len(self.weights), device=device) for _ in range(2))

    def scale(self, share: float) -> None:
        """Set the learning rate to a share of its peak."""
        self.lr = self.peak * share

    @torch.no_grad()
    def step(self, gradients: Gradients, total: Tensor | None = None) -> None:
        """A step by torch's function.

        Args:
            gradients: gradients of the weights, in their order; None leaves a weight as it is.
            total: not finite if anything in the step is not; a fused step then moves nothing.
        """
        rows = zip(self.weights, gradients, self.m, self.v, self.counts.unbind(), strict=True)
        # The fused step goes through memory in order, whatever the strides say.
        moved = [
            (w, g if g.stride() == w.stride() else torch.empty_like(w).copy_(g), m, v, n)
            for w, g, m, v, n in rows
            if g is not None
        ]
        if not moved:
            return
        weights, aligned, m, v, counts = (list(column) for column in zip(*moved, strict=True))
        broken = None if total is None or not self.fused else (~torch.isfinite(total)).float()
        adamw(
            weights,
            aligned,
            m,
            v,
            [],
            counts,
            foreach=False,
            fused=self.fused,
            found_inf=broken,
            amsgrad=False,
            maximize=False,
            beta1=BETA1,
            beta2=BETA2,
            eps=self.eps,
            lr=self.lr,
            weight_decay=self.decay,
        )
        # What is fused forgets to say that it changed them.
        increment_version(weights)

    def prepare(self) -> None:
        """Before `step_traced`: this step's numbers, worked out where no element repeats them."""
        step = self.counts.double() + 1
        self.shrink.fill_(1 - self.lr * self.decay)
        self.size.copy_((self.lr / (1 - BETA1**step)).float())
        self.root.copy_((1 - BETA2**step).rsqrt().float())

    @torch.no_grad()
    def step_traced(self, gradients: Gradients, share: Tensor, total: Tensor) -> None:
        """`step` for the compiler, along gradients times a share."""
        finite = torch.isfinite(total)
        sizes, roots = self.size.unbind(), self.root.unbind()
        rows = zip(self.weights, gradients, self.m, self.v, sizes, roots, strict=True)
        for w, g, m, v, size, root in rows:
            if g is None:
                continue
            g = g * share
            new_m = m + (1 - BETA1) * (g - m)
            new_v = v + (1 - BETA2) * (g * g - v)
            new_w = w * self.shrink - size * new_m / (new_v.sqrt() * root + self.eps)
            for old, new in ((w, new_w), (m, new_m), (v, new_v)):
                old.copy_(torch.where(finite, new, old))
        moved = [float(g is not None) for g in gradients]
        self.counts.add_(1 if all(moved) else torch.tensor(moved, device=self.counts.device))

    def count(self) -> None:
        """After every step."""
        self.taken += 1
        if self.taken % EVERY == 0 and self.counts.device.type == "cpu":
            for moment in (*self.m, *self.v):
                torch.hardshrink(moment, TINY, out=moment)

    def tensors(self) -> dict[str, Tensor]:
        """The state by "weight.moment", the weights numbered in their order."""
        rows = zip(self.m, self.v, self.counts.unbind(), strict=True)
        named = [{"exp_avg": m, "exp_avg_sq": v, "step": n} for m, v, n in rows]
        return {f"{i}.{name}": t for i, row in enumerate(named) for name, t in row.items()}
