"""Segments to pictures: the decoder half, which needs no encoder weights.

Tiles are decoded a row at a time and drawn when the row below is there too, since synthesis sees the latents around a tile:
working memory is two rows of tiles beside the pixels themselves, and a pipe is enough to read from.
"""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from PIL import Image

from vqc.bitstream import Corrupt, ImageHeader, Reader, Segment, SymbolDecoder, TableSet, UnsupportedModel, VqcError
from vqc.models import weights
from vqc.models.image_hyperprior import ImageDecoder
from vqc.models.transform import LATENTS

from .image_files import unguarded
from .image_tiles import HALO, PATCH, Tiling, Window
from .pixels import Pixels
from .timing import span

PROFILE = 1  # numeric profile: integers below 2^24 carried in floating point (models/exact.py)
COLOUR, ALPHA = 0, 1  # planes
GREY = 0.5  # level of what a damaged file has lost


@dataclass(frozen=True)
class Lost:
    """A tile that could not be decoded, its plane and why."""

    number: int
    plane: int
    error: VqcError


@functools.lru_cache(maxsize=4)
def table_set(decoder: ImageDecoder) -> TableSet:
    """The coder's tables of a model, built once."""
    return TableSet(*decoder.tables)


def load_decoder(header: ImageHeader, device: torch.device) -> ImageDecoder:
    """The decoder that a file asks for; raises UnsupportedModel naming what is asked for and what is here."""
    wanted = f"model '{header.model}' with weights {header.weights.hex()}"
    try:
        here = weights.fingerprint(header.model)
    except weights.ModelNotFound:
        ours = weights.fingerprint(weights.IMAGE_MODEL).hex()
        raise UnsupportedModel(f"the file needs {wanted}; installed is '{weights.IMAGE_MODEL}' with weights {ours}") from None
    if here != header.weights:
        raise UnsupportedModel(f"the file needs {wanted}; installed is '{header.model}' with weights {here.hex()}")
    if header.profile != PROFILE:
        raise UnsupportedModel(f"the file needs numeric profile {header.profile}; this program has profile {PROFILE}")
    return weights.image_decoder(header.model, device)


def decode_latents(decoder: ImageDecoder, segment: Segment, h: int, w: int, quality: int) -> np.ndarray:
    """A tile's segment to latents (h * w, 320) in 1/64 steps; raises Corrupt when the symbols are not those written."""
    source = SymbolDecoder(table_set(decoder), segment.payload)
    steps = decoder.entropy.steps(h, w, quality)
    step = next(steps)
    while True:
        with span("coder"), _named_after(segment):
            symbols = source.read(step.table_ids)
        try:
            with span("entropy networks"):
                step = steps.send(symbols)
        except StopIteration as end:
            latents = end.value
            break
    with _named_after(segment):
        source.finish()
        if source.digest != segment.digest:
            raise Corrupt(f"decoded symbols have digest {source.digest:08x}, not {segment.digest:08x}")
    return latents


@contextmanager
def _named_after(segment: Segment) -> Iterator[None]:
    """Puts the tile into the message of a fault in its symbols: the coder does not know whose they are."""
    try:
        yield
    except Corrupt as error:
        raise Corrupt(f"tile {segment.number}: {error.message}") from error


class TileDecoder:
    """Draws `region` (a window in pixels) of the picture in `reader`.

    `lost` lists what could not be had: with partial=True those tiles stay grey, or transparent; otherwise the first raises.
    """

    def __init__(self, reader: Reader, region: Window | None, device: torch.device, partial: bool) -> None:
        header = self.header = reader.header
        self.decoder = load_decoder(header, device)
        self.reader, self.partial = reader, partial
        self.tiling = Tiling(header.height, header.width, header.tile)
        whole = Window(0, header.height, 0, header.width)
        self.region = region or whole
        self.window = Window(
            self.region.top // PATCH, -(-self.region.bottom // PATCH), self.region.left // PATCH, -(-self.region.right // PATCH)
        )
        self.lost: list[Lost] = []
        places = [(entry.number, entry.plane) for entry in reader.index()] if reader.seekable else []
        self._by_index = reader.seekable and (self.region != whole or places != sorted(places))
        self._stream = iter(reader.segments()) if not self._by_index else iter(())
        self._next: Segment | None = None
        self._latents: dict[int, np.ndarray] = {}

    def decode(self) -> Pixels:
        """The region's pixels, without metadata."""
        header, region = self.header, self.region
        dtype = np.uint16 if header.depth == 16 else np.uint8
        colour = np.empty((region.height, region.width, header.channels), dtype)
        alpha = np.zeros((region.height, region.width), dtype) if header.alpha else None

        columns = self.tiling.columns
        drawn = {number // columns for number in self.tiling.touching(self.window)}
        needed = self.tiling.touching(self.window.grown(HALO, self.tiling.latents))
        for row, numbers in groupby(needed, key=lambda number: number // columns):
            for number in numbers:
                self._read_colour(number)
                if alpha is not None:
                    self._read_alpha(number, alpha)
            if row - 1 in drawn:
                self._draw_row(row - 1, colour)
            self._latents = {n: t for n, t in self._latents.items() if n // columns >= row - 1}
        if row in drawn:
            self._draw_row(row, colour)
        if self.region == Window(0, header.height, 0, header.width):
            for extra in self._rest():
                self._fault(extra.number, extra.plane, Corrupt(f"segment {extra.number} is one too many"))
        return Pixels(colour, alpha, {}, header.orientation)

    def _rest(self) -> Iterator[Segment]:
        if self._next is not None:
            yield self._next
        yield from self._stream

    def _fault(self, number: int, plane: int, error: VqcError) -> None:
        if not self.partial:
            raise error
        self.lost.append(Lost(number, plane, error))

    def _fetch(self, number: int, plane: int) -> Segment | None:
        """The segment of a tile, or None (a fault) when the file does not hold it where it belongs."""
        with span("I/O"):
            if self._by_index:
                try:
                    return self.reader.segment(number, plane)
                except VqcError as error:
                    self._fault(number, plane, error)
                    return None
            wanted = (number, plane)
            while True:
                if self._next is None:
                    self._next = next(self._stream, None)
                found = self._next
                if found is None or (found.number, found.plane) > wanted:
                    self._fault(number, plane, Corrupt(f"tile {number} of plane {plane} is missing"))
                    return None
                self._next = None
                if (found.number, found.plane) == wanted:
                    return found

    def _read_colour(self, number: int) -> None:
        segment = self._fetch(number, COLOUR)
        if segment is None:
            return
        window = self.tiling.window(number)
        quality = self.header.quality
        try:
            latents = decode_latents(self.decoder, segment, window.height, window.width, quality)
        except VqcError as error:
            self._fault(number, COLOUR, error)
            return
        with span("transform"):
            self._latents[number] = self.decoder.dequantise(latents, window.height, window.width, quality)

    def _read_alpha(self, number: int, alpha: np.ndarray) -> None:
        window = self.tiling.window(number).scaled(PATCH)
        window = window.intersection(Window(0, self.header.height, 0, self.header.width))
        shared = window.intersection(self.region)
        if shared is None:
            return
        segment = self._fetch(number, ALPHA)
        if number in self._latents:  # where only alpha is lost, the colours shall be seen
            alpha[shared.slices(self.region)] = np.iinfo(alpha.dtype).max
        if segment is None:
            return
        try:
            plane = _unpack_alpha(segment, window, self.header.depth)
        except Corrupt as error:
            self._fault(number, ALPHA, error)
            return
        alpha[shared.slices(self.region)] = plane[shared.slices(window)]

    def _draw_row(self, row: int, colour: np.ndarray) -> None:
        for number in range(row * self.tiling.columns, (row + 1) * self.tiling.columns):
            part = self.tiling.window(number).intersection(self.window)
            if part is None:
                continue
            target = part.scaled(PATCH).intersection(self.region)
            with span("transform"):
                if number in self._latents:
                    levels = self._synthesise(part)[target.slices(part.scaled(PATCH))]
                else:
                    levels = np.full((target.height, target.width, 3), GREY, np.float32)
                if colour.shape[2] == 1:
                    levels = levels.mean(axis=2, keepdims=True)
                colour[target.slices(self.region)] = np.rint(levels * np.float32(np.iinfo(colour.dtype).max))

    def _synthesise(self, part: Window) -> np.ndarray:
        """Pixels of `part` (16 h, 16 w, 3), from its latents and those around it."""
        seen = part.grown(HALO, self.tiling.latents)
        latents = np.zeros((LATENTS, seen.height, seen.width), np.float32)
        for number in self.tiling.touching(seen):
            if number in self._latents:
                window = self.tiling.window(number)
                shared = window.intersection(seen)
                latents[(slice(None), *shared.slices(seen))] = self._latents[number][(slice(None), *shared.slices(window))]
        pixels = self.decoder.synthesise(latents, self.header.quality)
        return pixels[part.scaled(PATCH).slices(seen.scaled(PATCH))]


def _unpack_alpha(segment: Segment, window: Window, depth: int) -> np.ndarray:
    """The PNG of an alpha segment to (H, W) uint8 or uint16, its own header checked before it is decoded."""
    expected = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBB", 13, b"IHDR", window.width, window.height, depth, 0)
    if not segment.payload.startswith(expected):
        raise Corrupt(f"alpha of tile {segment.number} is not a grey PNG of {window.width}x{window.height} and {depth} bits")
    try:
        with unguarded(), Image.open(io.BytesIO(segment.payload), formats=["PNG"]) as image:
            plane = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise Corrupt(f"alpha of tile {segment.number}: {error}") from error
    if plane.shape != (window.height, window.width):
        raise Corrupt(f"alpha of tile {segment.number} has the shape {plane.shape}")
    return plane.astype(np.uint16 if depth == 16 else np.uint8)


def check_segments(reader: Reader, device: torch.device) -> tuple[int, list[Lost]]:
    """Decodes the symbols of every segment without drawing anything; returns their number and what is wrong."""
    header = reader.header
    decoder = load_decoder(header, device)
    tiling = Tiling(header.height, header.width, header.tile)
    wanted = {(n, plane) for n in range(tiling.count) for plane in ((COLOUR, ALPHA) if header.alpha else (COLOUR,))}
    lost: list[Lost] = []
    count = 0
    for segment in reader.segments():
        count += 1
        key = (segment.number, segment.plane)
        if key not in wanted:
            lost.append(Lost(*key, Corrupt(f"segment {segment.number} of plane {segment.plane} is one too many")))
            continue
        wanted.remove(key)
        window = tiling.window(segment.number)
        try:
            if segment.plane == COLOUR:
                decode_latents(decoder, segment, window.height, window.width, header.quality)
            else:
                whole = Window(0, header.height, 0, header.width)
                _unpack_alpha(segment, window.scaled(PATCH).intersection(whole), header.depth)
        except VqcError as error:
            lost.append(Lost(*key, error))
    lost += [Lost(n, plane, Corrupt(f"tile {n} of plane {plane} is missing")) for n, plane in sorted(wanted)]
    return count, lost
