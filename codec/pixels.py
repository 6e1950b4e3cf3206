"""A still picture in memory: its samples, its metadata, and which way up it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

METADATA_KINDS = ("icc", "exif", "xmp")

# EXIF 2.32, tag 0x0112: what to do with the stored rows and columns to show them, as (transpose, flip rows, flip columns).
_TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


@dataclass(frozen=True, eq=False)
class Pixels:
    """One picture, not premultiplied.

    colour: (H, W, 1) grey or (H, W, 3) RGB, uint8 or uint16, full range of the type.
    alpha: (H, W) of the same type, 0 = transparent, or None where the picture has no alpha channel.
    metadata: whole blocks of bytes under the keys icc, exif (from its TIFF header on, without the `Exif` prefix) and xmp.
    orientation: EXIF orientation 1..8; the samples are as stored, not turned.
    Raises TypeError for samples of another type and ValueError for shapes, metadata or an orientation that do not fit.
    """

    colour: np.ndarray
    alpha: np.ndarray | None = None
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    orientation: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.colour, np.ndarray) or self.colour.dtype not in (np.uint8, np.uint16):
            kind = getattr(self.colour, "dtype", type(self.colour).__name__)
            raise TypeError(f"colour must be an array of uint8 or uint16, not {kind}")
        if self.colour.ndim != 3 or self.colour.shape[2] not in (1, 3):
            raise ValueError(f"colour must have the shape (H, W, 1) or (H, W, 3), not {self.colour.shape}")
        if self.colour.size == 0:
            raise ValueError(f"a picture of {self.width}x{self.height} has no pixels")
        alpha, expected = self.alpha, (self.colour.dtype, self.colour.shape[:2])
        if alpha is not None and (alpha.dtype, alpha.shape) != expected:
            raise ValueError(f"alpha must be {expected[0]} of the shape {expected[1]}, not {alpha.dtype} {alpha.shape}")
        for kind, block in self.metadata.items():
            if kind not in METADATA_KINDS:
                raise ValueError(f"unknown kind of metadata {kind!r}, known are {', '.join(METADATA_KINDS)}")
            if not isinstance(block, bytes) or not block:
                raise ValueError(f"metadata {kind} must be bytes, and not empty")
        if self.orientation not in _TURNS:
            raise ValueError(f"orientation must be 1 to 8, not {self.orientation!r}")

    @property
    def width(self) -> int:
        return self.colour.shape[1]

    @property
    def height(self) -> int:
        return self.colour.shape[0]

    @property
    def channels(self) -> int:
        """Colour channels, alpha not counted: 1 or 3."""
        return self.colour.shape[2]

    @property
    def depth(self) -> int:
        """Bits per sample: 8 or 16."""
        return self.colour.dtype.itemsize * 8

    @property
    def interleaved(self) -> np.ndarray:
        """(H, W, C) with alpha, where there is one, as the last channel."""
        return self.colour if self.alpha is None else np.dstack((self.colour, self.alpha))

    def upright(self) -> Pixels:
        """The picture turned as it is shown, with orientation 1."""
        if self.orientation == 1:
            return self
        return replace(
            self, colour=_turned(self.colour, self.orientation), orientation=1,
            alpha=None if self.alpha is None else _turned(self.alpha, self.orientation),
        )  # fmt: skip

    def eight_bit(self) -> Pixels:
        """The picture with 8 bits per sample, each rounded to the nearest."""
        if self.depth == 8:
            return self
        return replace(self, colour=_narrowed(self.colour), alpha=None if self.alpha is None else _narrowed(self.alpha))

    def stripped(self) -> Pixels:
        """The picture without metadata; the orientation is part of how it looks, and stays."""
        return replace(self, metadata={})


def _turned(samples: np.ndarray, orientation: int) -> np.ndarray:
    transpose, flip_rows, flip_columns = _TURNS[orientation]
    if transpose:
        samples = samples.swapaxes(0, 1)
    return np.ascontiguousarray(samples[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])


def _narrowed(samples: np.ndarray) -> np.ndarray:
    # 65535 = 255 * 257, so dividing by 257 maps black and white exactly; 128 makes the division round.
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
