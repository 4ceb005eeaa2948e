"""The features that published FIDs are computed in, if torch-fidelity is installed.

Images are brought to 8 bits, grey ones to three equal channels; torch-fidelity itself resizes to
299 × 299 as the original network does. Its weights are downloaded by torch-fidelity at first use.
"""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

FEATURES, ROWS = "2048", 64


@final
class Inception:
    """A `FeatureSpace`: the last pooling layer of Inception v3.

    Args:
        shape: shape of one example, (C, H, W) with one or three channels.
        device: device of the images.

    Raises:
        ValueError: if the data are no such images, or torch-fidelity is missing.
    """

    name = "2048 features of Inception v3 (torch-fidelity)"

    def __init__(self, shape: tuple[int, ...], device: torch.device) -> None:
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise ValueError(
                f"Inception sees images of 1 or 3 channels; the data are {shape}. Use --features "
                "pixels or classifier"
            )
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import (  # type: ignore[import-not-found]
                FeatureExtractorInceptionV3,
            )
        except ImportError:
            raise ValueError(
                "--features inception needs torch-fidelity: pip install torch-fidelity. Without "
                "it, use --features classifier or pixels"
            ) from None
        network: Any = FeatureExtractorInceptionV3("inception-v3-compat", [FEATURES])
        self.network = network.to(device)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Features (N, 2048) of images (N, C, H, W) in [0, 1]."""
        parts = []
        for part in x.split(ROWS):
            levels = (part.clamp(0, 1) * 255).round().to(torch.uint8)
            parts.append(self.network(levels.expand(-1, 3, -1, -1).contiguous())[0])
        return torch.cat(parts).float()
