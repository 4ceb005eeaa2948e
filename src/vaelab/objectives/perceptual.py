r"""How alike two images look, or are to a network: x against x̂, the mean of p(x|z).

MS-SSIM    Π_s cs_s^{w_s} · l_S^{w_S}      over S scales, each half as fine   (Wang et al. 2003)
features   ‖f(x) − f(x̂)‖² / 2σ²            −log N(f(x); f(x̂), σ² I) without its constant
"""

from __future__ import annotations

import copy
import math
from typing import Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaelab.core import Trace, tile
from vaelab.objectives.terms import Loss, Objective

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03
LEAST = 1e-6


class StructuralDistortion(Objective):
    """D (1 − MS-SSIM(x, x̂)), D the numbers in an image, averaged over the K samples.

    Between 0 for equal images and D, or 2 D for opposite ones of a single scale: of the size of
    a distortion in nats, without being one. An image as small as these often are has as many
    scales as its window of 11 fits into (28 × 28: two), their weights made to sum to 1; below 11
    the window shrinks with it.

    Args:
        data_range: the difference between the greatest and the least value of x.
    """

    def __init__(self, data_range: float = 1.0) -> None:
        super().__init__()
        if not data_range > 0:
            raise ValueError(f"data_range is {data_range}; values of x must differ")
        self.data_range = data_range

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        """The loss of x.

        Raises:
            ValueError: where x is no image (C, H, W).
        """
        if x.ndim != 4:
            raise ValueError(f"MS-SSIM compares images (C, H, W); these are {tuple(x.shape[1:])}")
        repeated = cast(Tensor, tile(x, trace.samples))
        alike = ms_ssim(trace.likelihood.mean, repeated, self.data_range)
        value = x[0].numel() * trace.unfold(1 - alike).mean(0)
        return Loss(value, {"structural": value})


def ms_ssim(a: Tensor, b: Tensor, data_range: float = 1.0) -> Tensor:
    """Multi-scale structural similarity of images (B, C, H, W), averaged over channels: (B,)."""
    side = min(a.shape[-2:])
    size = min(WINDOW, side - 1 + side % 2)
    scales = 1
    while scales < len(WEIGHTS) and side // 2**scales >= size:
        scales += 1
    window = _window(size, a)
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    log_alike = torch.zeros_like(a[:, 0, 0, 0])
    for scale, weight in enumerate(WEIGHTS[:scales]):
        if scale:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        mu_a, mu_b = _blur(a, window), _blur(b, window)
        var_a, var_b = _blur(a * a, window) - mu_a**2, _blur(b * b, window) - mu_b**2
        cov = _blur(a * b, window) - mu_a * mu_b
        map_ = (2 * cov + c2) / (var_a + var_b + c2)
        if scale == scales - 1:
            map_ = map_ * (2 * mu_a * mu_b + c1) / (mu_a**2 + mu_b**2 + c1)
        # Below 0, where structures are opposite, a power of it does not exist.
        log_alike = log_alike + weight * torch.log(map_.mean((1, 2, 3)).clamp(min=LEAST))
    return torch.exp(log_alike / sum(WEIGHTS[:scales]))


def _window(size: int, like: Tensor) -> Tensor:
    """A Gaussian of `size` points that sums to 1."""
    at = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    return torch.softmax(-0.5 * (at / SIGMA) ** 2, 0)


def _blur(t: Tensor, window: Tensor) -> Tensor:
    """Every channel by the window, where all of it fits: (B, C, H, W) → (B, C, H', W')."""
    one = t.flatten(0, 1)[:, None]
    rows = F.conv2d(F.conv2d(one, window[None, None, :, None]), window[None, None, None, :])
    return rows[:, 0].unflatten(0, t.shape[:2])


class FeatureDistortion(Objective):
    """‖f(x) − f(x̂)‖² / 2σ² in the features of a network, averaged over the K samples.

    Args:
        network: f, from x (B, …) at the model's scale to features (B, …). A copy of it is kept,
            frozen and in evaluation mode.
        sigma: the deviation of a feature, > 0.
    """

    def __init__(self, network: nn.Module, sigma: float = 1.0) -> None:
        super().__init__()
        if not 0 < sigma < math.inf:
            raise ValueError(f"sigma is {sigma}; a standard deviation is finite and above 0")
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.sigma = sigma

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        known = cast(Tensor, tile(self.network(x), trace.samples))
        apart = (known - self.network(trace.likelihood.mean)).flatten(1).square().sum(1)
        value = trace.unfold(apart).mean(0) / (2 * self.sigma**2)
        return Loss(value, {"features": value})
