"""How a picture is cut into tiles, and the windows of pixels and latents that a tile sees around itself.

All numbers are latents (16 pixels each way) unless a name says pixels. Tiles are independent for the entropy coder only:
analysis sees the pixels around a tile and synthesis the latents around it, more than the receptive fields reach, so tiles
join as if the picture had been coded whole and no bits go into overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PATCH = 16
HALO = 2
REACH = 1  # beyond a tile, whose pixels count when its latents are refined


@dataclass(frozen=True)
class Window:
    """Half-open rectangle: rows top..bottom, columns left..right."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    def grown(self, halo: int, within: Window) -> Window:
        """This window with `halo` more on every side, cut to `within`."""
        return Window(
            max(self.top - halo, within.top),
            min(self.bottom + halo, within.bottom),
            max(self.left - halo, within.left),
            min(self.right + halo, within.right),
        )

    def scaled(self, factor: int) -> Window:
        """The same window in a grid that is `factor` times finer."""
        return Window(self.top * factor, self.bottom * factor, self.left * factor, self.right * factor)

    def slices(self, origin: Window) -> tuple[slice, slice]:
        """Rows and columns of this window in an array that begins at `origin`'s top left corner."""
        return (
            slice(self.top - origin.top, self.bottom - origin.top),
            slice(self.left - origin.left, self.right - origin.left),
        )

    def intersection(self, other: Window) -> Window | None:
        """What both cover, or None."""
        cut = other.grown(0, self)
        return cut if cut.height > 0 and cut.width > 0 else None


@dataclass(frozen=True)
class Tiling:
    """Tiles of a picture of `height` x `width` pixels, sides 2^`log2_side` pixels, numbered in raster order."""

    height: int
    width: int
    log2_side: int

    @property
    def latents(self) -> Window:
        """The whole picture, rounded up to whole latents."""
        return Window(0, -(-self.height // PATCH), 0, -(-self.width // PATCH))

    @property
    def side(self) -> int:
        return (1 << self.log2_side) // PATCH

    @property
    def rows(self) -> int:
        return -(-self.latents.height // self.side)

    @property
    def columns(self) -> int:
        return -(-self.latents.width // self.side)

    @property
    def count(self) -> int:
        return self.rows * self.columns

    def window(self, number: int) -> Window:
        """Latents of tile `number`."""
        row, column = divmod(number, self.columns)
        top, left = row * self.side, column * self.side
        return Window(top, min(top + self.side, self.latents.bottom), left, min(left + self.side, self.latents.right))

    def touching(self, window: Window) -> list[int]:
        """Numbers of the tiles that share latents with `window`, ascending."""
        rows = range(window.top // self.side, -(-window.bottom // self.side))
        columns = range(window.left // self.side, -(-window.right // self.side))
        return [row * self.columns + column for row in rows for column in columns]


def colour_window(colour: np.ndarray, window: Window) -> np.ndarray:
    """Part of a picture (H, W, 1 or 3), uint8 or uint16, as RGB (h, w, 3) float32 0..1; beyond it, its border again."""
    rows, columns = window.slices(Window(0, 0, 0, 0))
    part = colour[rows, columns]
    missing = ((0, window.height - part.shape[0]), (0, window.width - part.shape[1]), (0, 0))
    if missing[0][1] or missing[1][1]:
        part = np.pad(part, missing, mode="edge")
    scaled = part.astype(np.float32) / np.float32(np.iinfo(part.dtype).max)
    return scaled if scaled.shape[2] == 3 else np.repeat(scaled, 3, axis=2)
