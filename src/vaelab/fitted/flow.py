r"""A normalizing flow fitted to codes by maximum likelihood, stopped by held-out codes.

max_f Σ_n log N(f(z_n)) + log |det ∂f/∂z_n|                    (1705.07057)
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vaelab.core import Site
from vaelab.fitted.base import PriorEstimator, kind, standardizer
from vaelab.parts.flows import Flow, FlowName
from vaelab.utils.progress import ProgressCallback, no_progress
from vaelab.utils.validation import Count, check_fields

EPOCHS, PATIENCE = 500, 20
BATCH, RATE, DECAY = 256, 1e-3, 1e-4


@kind
@dataclass(frozen=True)
class FittedFlow(PriorEstimator):
    """A normalizing flow of the standardized codes: finer than a mixture where codes are many.

    Attributes:
        flow: autoregressive, or coupling, which is coarser and samples fast in many dimensions.
        layers: maps in the flow, at least 1.
        width: of the two hidden layers behind every map.
    """

    name: ClassVar[str] = "flow"
    flow: FlowName = "autoregressive"
    layers: Count = 5
    width: Count = 128

    def __post_init__(self) -> None:
        check_fields(self)

    def build(self, site: Site) -> Flow:
        return Flow(*site.z.shape[1:], flow=self.flow, layers=self.layers, width=self.width)

    def fit(
        self, site: Site, codes: Tensor, held_out: Tensor, progress: ProgressCallback = no_progress
    ) -> tuple[FittedFlow, Flow]:
        prior = self.build(site).to(codes.device)
        for buffer, found in zip((prior.shift, prior.log_scale), standardizer(codes), strict=True):
            buffer.copy_(found)
        optimizer = torch.optim.AdamW(prior.parameters(), RATE, weight_decay=DECAY)
        best, least, since = copy.deepcopy(prior.state_dict()), math.inf, 0
        for epoch in range(1, EPOCHS + 1):
            for rows in codes[torch.randperm(len(codes))].split(BATCH):
                optimizer.zero_grad()
                (-prior().expand(len(rows)).log_prob(rows).mean()).backward()
                optimizer.step()
            with torch.no_grad():
                nats = float(-prior().expand(len(held_out)).log_prob(held_out).mean())
            progress("epochs", epoch, EPOCHS, nats)
            since += 1
            if nats < least:
                best, least, since = copy.deepcopy(prior.state_dict()), nats, 0
            if since == PATIENCE:
                break
        prior.load_state_dict(best)
        return self, prior
