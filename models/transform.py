"""Analysis and synthesis transforms of the image model: gated residual blocks at 1/8 resolution.

The first and last 1x1 layers start as a Karhunen-Loeve transform (KLT) of 8x8x3 patches and of 2x2 groups of those, and
every residual branch starts at zero, so that the untrained network is already a linear transform codec (docs/architecture.md).

Shapes: image (B, 3, H, W) with values 0..1, features (B, 192, H/8, W/8), latents (B, 320, H/16, W/16).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEATURES = 192  # 8 * 8 * 3: one feature per sample of an 8x8 RGB patch
LATENTS = 320
STRIP = 2**13  # positions of which the wide half of a block is computed at once, without a gradient
QUALITY_ROWS = 11  # rows of every quality-dependent table; quality 0..100 is row 0..10, linear between rows


def interpolate_rows(table: Tensor, row: Tensor) -> Tensor:
    """Linear interpolation between the rows of `table` (R, C) at positions `row` (B,) in 0..R-1; returns (B, C)."""
    low = row.floor().clamp(0, table.shape[0] - 2).long()
    fraction = (row - low).unsqueeze(1)
    return torch.lerp(table[low], table[low + 1], fraction)


class GatedBlock(nn.Module):
    """Residual block: 1x1, depthwise (3x3), 1x1, then a gated 1x1 pair (SiLU gate, as in SwiGLU, Shazeer 2020).

    Both branches are scaled, and the gate is shifted, by vectors that depend on the quality row: smoothing pays at low
    rates and harms at high ones (feature modulation by the quantiser step, DCVC-FM section 3.2).
    """

    def __init__(
        self, channels: int = FEATURES, width: int = 2, rows: int = QUALITY_ROWS, kernel: tuple[int, int] = (3, 3)
    ) -> None:
        super().__init__()
        self.mix_in = nn.Conv2d(channels, channels, 1)
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.spatial = nn.Conv2d(channels, channels, kernel, padding=padding, groups=channels)
        self.mix_out = nn.Conv2d(channels, channels, 1)
        self.expand = nn.Conv2d(channels, 2 * width * channels, 1)
        self.project = nn.Conv2d(width * channels, channels, 1)
        self.mix_scale = nn.Parameter(torch.ones(rows, channels))
        self.gate_scale = nn.Parameter(torch.ones(rows, channels))
        self.gate_shift = nn.Parameter(torch.zeros(rows, width * channels))
        for last in (self.mix_out, self.project):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, row: Tensor) -> Tensor:
        """Features (B, C, H, W) and quality rows (B,) to features of the same shape."""
        mix_scale, gate_scale, gate_shift = (
            interpolate_rows(t, row)[:, :, None, None].to(x.dtype)
            for t in (self.mix_scale, self.gate_scale, self.gate_shift)
        )
        branch = self.spatial(F.leaky_relu(self.mix_in(x), 0.01, inplace=True))
        x = x + mix_scale * self.mix_out(branch)
        if torch.is_grad_enabled() or x[0, 0].numel() <= STRIP:
            return self._gated(x, gate_scale, gate_shift)
        strips = x.split(max(STRIP // x.shape[3], 1), dim=2)  # so that what is wide never stands in memory as a whole
        return torch.cat([self._gated(strip, gate_scale, gate_shift) for strip in strips], dim=2)

    def _gated(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        weight, bias = self.expand.weight.chunk(2), self.expand.bias.chunk(2)
        gate, value = (F.conv2d(x, *half) for half in zip(weight, bias))  # each contiguous, unlike halves of one result
        return x + scale * self.project(F.silu(gate + shift, inplace=True) * value)


class Analysis(nn.Module):
    """Image (B, 3, H, W), H and W multiples of 16, to latents (B, 320, H/16, W/16) in pixel units."""

    def __init__(self, blocks: int = 2) -> None:
        super().__init__()
        self.patch = nn.Conv2d(FEATURES, FEATURES, 1)
        self.blocks = nn.ModuleList(GatedBlock() for _ in range(blocks))
        self.to_latents = nn.Conv2d(4 * FEATURES, LATENTS, 1)

    def forward(self, image: Tensor, row: Tensor) -> Tensor:
        x = self.patch(F.pixel_unshuffle(image - 0.5, 8).contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            x = block(x, row)
        return self.to_latents(F.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last))


class Synthesis(nn.Module):
    """Latents (B, 320, H/16, W/16) in pixel units to an image (B, 3, H, W), not clamped to 0..1."""

    def __init__(self, blocks: int = 4) -> None:
        super().__init__()
        self.from_latents = nn.Conv2d(LATENTS, 4 * FEATURES, 1)
        self.blocks = nn.ModuleList(GatedBlock() for _ in range(blocks))
        self.patch = nn.Conv2d(FEATURES, FEATURES, 1)

    def forward(self, latents: Tensor, row: Tensor) -> Tensor:
        x = F.pixel_shuffle(self.from_latents(latents), 2).contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x, row)
        return F.pixel_shuffle(self.patch(x), 8) + 0.5
