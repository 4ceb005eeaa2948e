r"""Perceptual similarity of images: x against x̂, the mean of p(x|z).

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
    """Structural distortion D (1 − MS-SSIM(x, x̂)), averaged over the K samples.

    D is the number of values in an image. The term is 0 for equal images and at most D (2 D for
    opposite ones at a single scale): of the size of a distortion in nats, without being one. Small
    images have as many scales as their window of 11 fits into (28 × 28: two), with weights made to
    sum to 1; below 11 the window shrinks with the image.

    Reference: Multiscale structural similarity for image quality assessment, Wang et al., 2003.

    >>> image = torch.rand(1, 1, 28, 28)
    >>> ms_ssim(image, image).round(decimals=4)
    tensor([1.])

    Args:
        data_range: difference between the largest and the smallest value of x.

    Raises:
        ValueError: if data_range is not positive.
    """

    def __init__(self, data_range: float = 1.0) -> None:
        super().__init__()
        if not data_range > 0:
            raise ValueError(f"data_range is {data_range}; values of x must differ")
        self.data_range = data_range

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        """Return the loss of x.

        Raises:
            ValueError: if x is not an image (C, H, W).
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
        # Opposite structures are below 0 and have no real power.
        log_alike = log_alike + weight * torch.log(map_.mean((1, 2, 3)).clamp(min=LEAST))
    return torch.exp(log_alike / sum(WEIGHTS[:scales]))


def _window(size: int, like: Tensor) -> Tensor:
    """Gaussian window of `size` points that sums to 1."""
    at = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    return torch.softmax(-0.5 * (at / SIGMA) ** 2, 0)


def _blur(t: Tensor, window: Tensor) -> Tensor:
    """Convolve every channel with the window, without padding: (B, C, H, W) → (B, C, H', W')."""
    one = t.flatten(0, 1)[:, None]
    rows = F.conv2d(F.conv2d(one, window[None, None, :, None]), window[None, None, None, :])
    return rows[:, 0].unflatten(0, t.shape[:2])


class FeatureDistortion(Objective):
    """Feature distortion ‖f(x) − f(x̂)‖² / 2σ² of a network, averaged over the K samples.

    >>> FeatureDistortion(nn.Flatten(), sigma=0.5).formula
    'feature distortion'

    Args:
        network: f, from x (B, …) at the model's scale to features (B, …). A copy is kept, frozen
            and in evaluation mode.
        sigma: standard deviation of a feature, > 0.

    Raises:
        ValueError: if sigma is not finite and positive.
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
        target = cast(Tensor, tile(self.network(x), trace.samples))
        apart = (target - self.network(trace.likelihood.mean)).flatten(1).square().sum(1)
        value = trace.unfold(apart).mean(0) / (2 * self.sigma**2)
        return Loss(value, {"features": value})
