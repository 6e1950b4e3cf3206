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

from vqc.bitstream import ImageHeader, Segment, SymbolEncoder
from vqc.models import weights
from vqc.models.image_hyperprior import ImageDecoder, ImageEncoder

from .image_decoding import ALPHA, COLOUR, PROFILE, table_set
from .image_tiles import HALO, PATCH, Tiling, Window
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
        payload, digest = _encode_latents(encoder, decoder, latents, hyper, header.quality)
        yield Segment(number, COLOUR, payload, digest)
        if pixels.alpha is not None:
            with span("I/O"):
                rows, columns = window.scaled(PATCH).slices(Window(0, 0, 0, 0))
                data = _pack_alpha(pixels.alpha[rows, columns])
            yield Segment(number, ALPHA, data, 0)


def _encode_latents(
    encoder: ImageEncoder, decoder: ImageDecoder, latents: torch.Tensor, hyper: np.ndarray, quality: int
) -> tuple[bytes, int]:
    """One tile's latents (1, 320, h, w) and hyper-latent symbols to bytes and digest of the symbols."""
    h, w = latents.shape[2:]
    with span("transform"):
        steps_per_unit = np.float32(65536) / decoder.entropy.step_sizes(quality).fixed.astype(np.float32)
        scaled = latents[0].permute(1, 2, 0).reshape(h * w, -1).cpu().numpy() * steps_per_unit
    sink = SymbolEncoder(table_set(decoder))
    steps = decoder.entropy.steps(h, w, quality)
    step = next(steps)
    while True:
        with span("transform"):
            symbols = hyper if step.means is None else encoder.quantise(scaled, step)
        with span("coder"):
            sink.write(symbols, step.table_ids)
        try:
            with span("entropy networks"):
                step = steps.send(symbols)
        except StopIteration:
            break
    with span("coder"):
        return sink.finish(), sink.digest




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
