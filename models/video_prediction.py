"""What a frame is predicted from: frames on one side or both, moved, and blended where a square of 16x16 pixels takes both.

Shapes: B frames with s sides each; fields (B, s, H/8, W/8, 2) integers in quarters of a pixel; modes (B, H/16, W/16) of
motion.py; packed planes as in video_transform.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .motion import AFTER, ALL, BEFORE, DIRECT
from .moved_blocks import moved_blocks
from .overlap import Edges
from .video_transform import motion_tokens, move_latents, pack, pack_blocks, warp, warped_blocks

TOLD = 8  # numbers that the entropy model is told of each position


class Source(Protocol):
    """A decoded frame: planes y (B, 1, H, W) and uv (B, 2, H/2, W/2), and features (B, 32, H/8, W/8)."""

    y: Tensor
    uv: Tensor
    features: Tensor


@dataclass(frozen=True)
class Prediction:
    """The blended frame, packed; by how much the sides differ where both are taken; blended features; and what they follow
    from."""

    packed: Tensor
    difference: Tensor
    memory: Tensor
    fields: Tensor
    modes: Tensor

    def of(self, number: int) -> Prediction:
        """That of one of the frames."""
        return Prediction(*(getattr(self, field.name)[number : number + 1] for field in dataclasses.fields(self)))


def shares(modes: Tensor, sides: int) -> list[Tensor]:
    """What each side contributes to each block: (B, 1, H/8, W/8) float32 of 0, 1/2 and 1."""
    blocks = modes[:, None].repeat_interleave(2, 2).repeat_interleave(2, 3)
    if sides == 1:
        return [torch.ones_like(blocks, dtype=torch.float32)]
    both = (blocks == ALL) | (blocks == DIRECT)
    return [torch.where(both, 0.5, (blocks == mode).float()) for mode in (BEFORE, AFTER)]


def predict(sources: Sequence[Source], fields: Tensor, modes: Tensor, overlapped: bool) -> Prediction:
    """The prediction of B frames from one source a side. overlapped: whether blocks overlap, see overlap.py."""
    parts = shares(modes, len(sources))
    packed = []
    for source, field, part in zip(sources, fields.unbind(1), parts):
        used = part[:, 0] > 0
        if torch.is_grad_enabled():
            planes = [warped_blocks(plane, field) for plane in (source.y, source.uv)]
        else:
            planes = [moved_blocks(plane, field, used) for plane in (source.y, source.uv)]
        if overlapped:
            edges = Edges.of(field, used)
            planes = [edges.blend(plane, there) for plane, there in zip(planes, (source.y, source.uv))]
        packed.append(pack_blocks(*planes, columns=field.shape[2]))
    memory = [warp(s.features, field, "bilinear") for s, field in zip(sources, fields.unbind(1))]
    if len(sources) == 1:
        return Prediction(packed[0], torch.zeros_like(packed[0]), memory[0], fields, modes)
    one, other = parts
    blended, features = (one * a + other * b for a, b in (packed, memory))
    return Prediction(blended, (packed[0] - packed[1]) * (4 * one * other), features, fields, modes)


def unmoved(picture: Source) -> Prediction:
    """Frames that are predicted from themselves, as coded worse."""
    b, _, h, w = picture.features.shape
    packed = pack(picture.y, picture.uv)
    fields = torch.zeros(b, 1, h, w, 2, dtype=torch.int16, device=packed.device)
    modes = torch.full((b, h // 2, w // 2), ALL, device=packed.device)
    return Prediction(packed, torch.zeros_like(packed), picture.features, fields, modes)


def told_of(fields: Tensor, modes: Tensor, depth: int, distance: Tensor) -> Tensor:
    """What the entropy model is told of frames: (B, TOLD, H/8, W/8), small integers as float32; exact.

    Roughness and length of the vectors of each side, whether each counts, `depth` of the level and `distance` (B,) in frames.
    """
    b, sides = fields.shape[:2]
    tokens = [motion_tokens(field) for field in fields.unbind(1)]
    counts = [(share > 0).float() for share in shares(modes, sides)]
    none = torch.zeros_like(counts[0])
    if sides == 1:
        tokens, counts = [*tokens, torch.cat([none, none], dim=1)], [*counts, none]
    whole = [none + depth, none + distance.to(none.device).view(b, 1, 1, 1)]
    return torch.cat([*tokens, *counts, *whole], dim=1)


def told_of_picture(row: Tensor, h: int, w: int) -> Tensor:
    """The same, (B, TOLD, h, w), of frames that were coded as pictures of a quality row (B,), rounded here: no side counts."""
    told = torch.zeros(len(row), TOLD, h, w, device=row.device)
    told[:, -1] = row.round().view(-1, 1, 1)
    return told


def moved_sizes(latents: Sequence[Tensor], fields: Tensor, modes: Tensor) -> Tensor:
    """Sizes of the latents (B, L, H/8, W/8) of the sources where the vectors find them, the larger of both sides; exact."""
    parts = shares(modes, len(latents))
    moved = [
        move_latents(one, field).abs() * (share > 0) for one, field, share in zip(latents, fields.unbind(1), parts)
    ]
    return moved[0] if len(moved) == 1 else torch.maximum(*moved)
