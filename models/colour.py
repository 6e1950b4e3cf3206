"""Planes of a video frame to red, green and blue and back, so that the image model can code frames.

The matrix is that of JFIF on the values as they are, whatever the colour space: it only has to be undone. Values outside
0..1 are kept. Shapes: y (B, 1, H, W), uv (B, 2, H/2, W/2), image (B, 3, H, W), 0..1.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_TO_RGB = torch.tensor([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]])


def planes_to_rgb(y: Tensor, uv: Tensor) -> Tensor:
    """Chroma is enlarged so smoothly that means of 2x2 pixels give it back but for a small error."""

    def enlarge(planes: Tensor) -> Tensor:
        return F.interpolate(planes, scale_factor=2, mode="bilinear", align_corners=False)

    chroma = enlarge(uv + (uv - F.avg_pool2d(enlarge(uv), 2))) - 0.5
    return torch.einsum("rc,bchw->brhw", _TO_RGB.to(y.device), torch.cat([y, chroma], dim=1))


def rgb_to_planes(image: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of `planes_to_rgb`."""
    y, u, v = torch.einsum("cr,brhw->bchw", torch.linalg.inv(_TO_RGB).to(image.device), image).split(1, dim=1)
    return y, F.avg_pool2d(torch.cat([u, v], dim=1), 2) + 0.5
