"""Blocks that overlap: near its edges a block is also what the vectors of the blocks beside it find there.

Overlapped block motion compensation (Orchard and Sullivan 1994), with the weights of H.263 (annex F). Only where two neighbours
of the same side move differently is there anything to do.

Shapes: B frames; field (B, h, w, 2) in quarters of a pixel, horizontal first, of blocks of 8x8 pixels; planes (B, C, H, W) of
any resolution.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .video_transform import BLOCK, places

_BESIDE = (-1, 0), (1, 0), (0, -1), (0, 1)  # rows and columns to the blocks above, below, left and right
# Eighths that the vectors of the block above and of that on the left have in the upper left quarter of a block.
_ABOVE = (2, 2, 2, 2), (1, 1, 2, 2), (1, 1, 1, 1), (1, 1, 1, 1)
_LEFT = (2, 1, 1, 1), (2, 2, 1, 1), (2, 2, 1, 1), (2, 2, 1, 1)


@functools.lru_cache(maxsize=8)
def _strips(block: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The half of a block of `block` samples each way that is next to each neighbour: samples in raster order and weights
    (4, block^2 / 2)."""
    with torch.inference_mode(False):  # kept, and used in training too
        quarter = torch.tensor((_ABOVE, _LEFT), dtype=torch.float32, device=device) / 8
        whole = torch.cat([quarter, quarter.flip(2)], dim=2)
        above, left = F.avg_pool2d(torch.cat([whole, whole.flip(1)], dim=1)[None], BLOCK // block)[0]
        index = torch.arange(block, device=device)
        rows, columns = index[:, None].expand(block, block), index.expand(block, block)
        half = block // 2
        parts = [(rows < half, above), (rows >= half, above), (columns < half, left), (columns >= half, left)]
        picked = [((rows * block + columns)[where], weight[where]) for where, weight in parts]
        return tuple(map(torch.stack, zip(*picked)))


@dataclass(frozen=True)
class Edges:
    """Where a block meets one that moves differently: n edges of each frame, as many as that with most has.

    vectors (B, n, 2): of the neighbours; rows, columns (B, n): of the blocks; sides (B, n): index of _BESIDE; real (B, n): 0 of
    those that only fill up. shape: of the field.
    """

    vectors: Tensor
    rows: Tensor
    columns: Tensor
    sides: Tensor
    real: Tensor
    shape: tuple[int, int]

    @staticmethod
    def of(field: Tensor, used: Tensor) -> Edges:
        """used (B, h, w) bool: blocks that are predicted with this field."""
        b, h, w = used.shape
        found = []
        for y, x in _BESIDE:
            here = [slice(max(-step, 0), n - max(step, 0)) for step, n in ((y, h), (x, w))]
            there = [slice(max(step, 0), n - max(-step, 0)) for step, n in ((y, h), (x, w))]
            differ = used.new_zeros(b, h, w)
            other, own = field[:, there[0], there[1]], field[:, here[0], here[1]]
            both = used[:, there[0], there[1]] & used[:, here[0], here[1]]
            differ[:, here[0], here[1]] = (other != own).any(-1) & both
            found.append(differ)
        frame, side, row, column = torch.stack(found, dim=1).nonzero(as_tuple=True)
        counts = torch.bincount(frame, minlength=b)
        most = int(counts.max()) if len(frame) else 0
        place = frame * most + torch.arange(len(frame), device=frame.device) - (counts.cumsum(0) - counts)[frame]
        beside = torch.tensor(_BESIDE, device=field.device)
        vectors = field[frame, row + beside[side, 0], column + beside[side, 1]]

        def filled(values: Tensor) -> Tensor:
            whole = values.new_zeros(b * most, *values.shape[1:])
            whole[place] = values
            return whole.view(b, most, *values.shape[1:])

        return Edges(*map(filled, (vectors, row, column, side, torch.ones_like(row))), (h, w))

    def blend(self, moved: Tensor, source: Tensor) -> Tensor:
        """A plane as moved block by block, (B, C, n, block^2), with what blocks overlap. source: the plane that it was moved
        from."""
        b, n = self.rows.shape
        if n == 0:
            return moved
        count, height, width = source.shape[1:]
        block = height // self.shape[0]
        strips, weights = _strips(block, source.device)
        place = ((self.rows * self.shape[1] + self.columns) * block**2)[..., None] + strips[self.sides]
        unit = torch.tensor([width, height], device=source.device) * (4 * BLOCK / block / 2)  # of vectors, as in `warp`
        move = self.vectors.permute(2, 0, 1).contiguous() / unit.view(2, 1, 1)
        grid = places(height, width, block, source.device).flatten(1)[:, place] + move[..., None]
        grid = grid.permute(1, 2, 3, 0)
        there = F.grid_sample(source.float(), grid, mode="bicubic", padding_mode="border", align_corners=False).flatten(2)
        place = place.view(b, 1, -1).expand(b, count, -1)
        flat = moved.flatten(2)
        weight = (weights[self.sides] * self.real[..., None]).view(b, 1, -1)
        return flat.scatter_add(2, place, (there - flat.gather(2, place)) * weight).view(moved.shape)
