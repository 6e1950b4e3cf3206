"""Blocks of planes as the vectors find them, without the work that many of them do not need.

Most blocks of still scenes move by whole samples or not at all, and are copied; of frames with two sides, many blocks are
predicted from one.

Shapes: planes (B, C, H, W) of any resolution; vectors (B, h, w, 2) in quarters of a pixel, horizontal first, of blocks of 8x8
pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .video_transform import BLOCK, places


def moved_blocks(source: Tensor, vectors: Tensor, used: Tensor) -> Tensor:
    """The same as `warped_blocks`, (B, C, h w, block^2), of blocks that are `used` (B, h, w) bool, and 0 of the others. No
    gradient."""
    source = source.float()
    block = source.shape[2] // vectors.shape[1]
    unit = 4 * BLOCK // block  # of vectors, that a sample has
    whole = (vectors % unit == 0).all(-1)
    moved = source.new_zeros(*source.shape[:2], whole[0].numel(), block**2)
    for one, plane, field, copied, filtered in zip(moved, source, vectors, used & whole, used & ~whole):
        for chosen, move in ((copied, _copied), (filtered, _interpolated)):
            rows, columns = chosen.nonzero(as_tuple=True)
            if len(rows):
                one.index_copy_(1, rows * field.shape[1] + columns, move(plane, field[rows, columns], rows, columns, block))
    return moved


def _copied(plane: Tensor, vectors: Tensor, rows: Tensor, columns: Tensor, block: int) -> Tensor:
    """Blocks (C, n, block^2) that vectors (n, 2) of whole samples find, edges continued."""
    height, width = plane.shape[1:]
    unit = 4 * BLOCK // block
    padded = F.pad(plane[None], (block, block, block, block), mode="replicate")[0]  # all is alike beyond
    x, y = (
        (at * block + torch.div(part.long(), unit, rounding_mode="floor")).clamp(-block, size) + block
        for at, part, size in ((columns, vectors[:, 0], width), (rows, vectors[:, 1], height))
    )
    return padded.unfold(1, block, 1).unfold(2, block, 1)[:, y, x].flatten(2)


def _interpolated(plane: Tensor, vectors: Tensor, rows: Tensor, columns: Tensor, block: int) -> Tensor:
    """The same for any vectors: bicubic."""
    height, width = plane.shape[1:]
    unit = torch.tensor([width, height], device=plane.device) * (2 * BLOCK / block)  # quarters of a pixel in half the side
    move = vectors.t() / unit[:, None]
    grid = places(height, width, block, plane.device).index_select(1, rows * (width // block) + columns) + move[..., None]
    grid = grid.view(2, 1, -1).permute(1, 2, 0)[None]
    found = F.grid_sample(plane[None], grid, mode="bicubic", padding_mode="border", align_corners=False)
    return found.view(len(plane), len(rows), -1)
