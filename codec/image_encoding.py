"""Pictures to segments: analysis, exact entropy networks and range coder, tile by tile.

A tile's segment on plane 0 holds the colours; a segment on plane 1 with the same number holds its alpha channel, without
loss, as a PNG.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image

from vqc.bitstream import ImageHeader, Segment
from vqc.models import weights

from .image_decoding import ALPHA, COLOUR
from .image_tiles import HALO, PATCH, Tiling, Window, colour_window
from .latent_coding import PROFILE, encode_latents
from .pixels import Pixels
from .tile_refinement import TileRefiner
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


def encode_segments(pixels: Pixels, header: ImageHeader, device: torch.device, effort: int = 0) -> Iterator[Segment]:
    """Codes a picture tile by tile, in raster order, colour before alpha. effort: 0 to EFFORT_MAX, see tile_refinement.py."""
    tiling = Tiling(header.height, header.width, header.tile)
    code = TileRefiner(pixels.colour, header, device, effort).code if effort else _plain_coder(pixels, header, device)
    for number in range(tiling.count):
        window = tiling.window(number)
        payload, digest = code(number)
        yield Segment(number, COLOUR, payload, digest)
        if pixels.alpha is not None:
            with span("I/O"):
                rows, columns = window.scaled(PATCH).slices(Window(0, 0, 0, 0))
                data = _pack_alpha(pixels.alpha[rows, columns])
            yield Segment(number, ALPHA, data, 0)


def _plain_coder(pixels: Pixels, header: ImageHeader, device: torch.device) -> Callable[[int], tuple[bytes, int]]:
    """Number of a tile to payload and digest, with the latents as analysed."""
    encoder = weights.image_encoder(header.model, device)
    decoder = weights.image_decoder(header.model, device)
    tiling = Tiling(header.height, header.width, header.tile)

    def code(number: int) -> tuple[bytes, int]:
        window = tiling.window(number)
        seen = window.grown(HALO, tiling.latents)
        with span("transform"):
            latents = encoder.analyse(colour_window(pixels.colour, seen.scaled(PATCH)), header.quality)
            latents = latents[(..., *window.slices(seen))]
            hyper = encoder.hyper(latents)
        return encode_latents(encoder, decoder, latents, hyper, header.quality)

    return code


def _pack_alpha(alpha: np.ndarray) -> bytes:
    """Alpha channel (H, W) of a tile to a PNG of 8 or 16 bits."""
    file = io.BytesIO()
    Image.fromarray(alpha).save(file, "PNG", optimize=True)
    return file.getvalue()
