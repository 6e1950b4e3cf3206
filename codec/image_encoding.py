"""Pictures to segments: analysis, exact entropy networks and range coder, tile by tile.

A tile's segment on plane 0 holds the colours; a segment on plane 1 with the same number holds its alpha channel, without
loss, as a PNG.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image

from vqc.bitstream import ImageHeader, Segment
from vqc.models import weights

from .image_decoding import ALPHA, COLOUR
from .image_tiles import HALO, PATCH, Tiling, Window
from .latent_coding import PROFILE, encode_latents
from .pixels import Pixels
from .timing import span

TILE = 10  # log2 of the tile side in pixels


def header_for(pixels: Pixels, quality: int, model: str = weights.IMAGE_MODEL) -> ImageHeader:
    """The header of a picture coded at `quality` (0..1000)."""
    return ImageHeader(
        model=model,
        weights=weights.fingerprint(model),
        profile=PROFILE,
        width=pixels.width,
        height=pixels.height,
        depth=pixels.depth,
        channels=pixels.channels,
        alpha=pixels.alpha is not None,
        orientation=pixels.orientation,
        quality=quality,
        tile=TILE,
    )


def encode_segments(pixels: Pixels, header: ImageHeader, device: torch.device) -> Iterator[Segment]:
    """Codes a picture tile by tile, in raster order, colour before alpha."""
    encoder = weights.image_encoder(header.model, device)
    decoder = weights.image_decoder(header.model, device)
    tiling = Tiling(header.height, header.width, header.tile)
    for number in range(tiling.count):
        window = tiling.window(number)
        seen = window.grown(HALO, tiling.latents)
        with span("transform"):
            latents = encoder.analyse(_colour_window(pixels, seen.scaled(PATCH)), header.quality)
            rows, columns = window.slices(seen)
            latents = latents[:, :, rows, columns]
            hyper = encoder.hyper(latents)
        payload, digest = encode_latents(encoder, decoder, latents, hyper, header.quality)
        yield Segment(number, COLOUR, payload, digest)
        if pixels.alpha is not None:
            with span("I/O"):
                rows, columns = window.scaled(PATCH).slices(Window(0, 0, 0, 0))
                data = _pack_alpha(pixels.alpha[rows, columns])
            yield Segment(number, ALPHA, data, 0)


def _colour_window(pixels: Pixels, window: Window) -> np.ndarray:
    """Pixels of `window` as RGB (H, W, 3) float32 0..1; what lies outside the picture repeats its last row and column."""
    rows, columns = window.slices(Window(0, 0, 0, 0))
    part = pixels.colour[rows, columns]
    missing = ((0, window.height - part.shape[0]), (0, window.width - part.shape[1]), (0, 0))
    if missing[0][1] or missing[1][1]:
        part = np.pad(part, missing, mode="edge")
    colour = part.astype(np.float32) / np.float32(np.iinfo(part.dtype).max)
    return colour if colour.shape[2] == 3 else np.repeat(colour, 3, axis=2)


def _pack_alpha(alpha: np.ndarray) -> bytes:
    """Alpha channel (H, W) of a tile to a PNG of 8 or 16 bits."""
    file = io.BytesIO()
    Image.fromarray(alpha).save(file, "PNG", optimize=True)
    return file.getvalue()
