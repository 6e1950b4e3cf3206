"""Sound through the container: what vqc.api does once it knows that its source is sound."""

from __future__ import annotations

import io
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import torch

from vqc.bitstream import AudioHeader, Damage, Reader, Writer
from vqc.models import weights

from .audio_decoding import SpanDecoder
from .audio_encoding import SpanEncoder, header_for
from .rate_search import TargetOutOfRange, search_quality
from .sound import SoundFormat
from .sound_files import SoundWriter
from .timing import span

SEARCHED = 60  # seconds from the start on which the quality for a bit rate is searched
TAGS = "tags"


@dataclass(frozen=True)
class DecodedSound:
    """A decoded sound. `damage` is empty when the file was whole.

    samples: (N, C) float32, full scale at -1 and 1, not clipped. rate: in Hz. depth: of the original, 16, 24 or 32 (float).
    """

    samples: np.ndarray
    rate: int
    depth: int
    tags: dict[str, str] = field(default_factory=dict)
    damage: list[Damage] = field(default_factory=list)


def write_sound(
    kind: SoundFormat,
    blocks: Iterator[np.ndarray],
    file: BinaryIO,
    device: torch.device,
    quality: float,
    bitrate: float | None,
    model: str | None = None,
) -> None:
    """Codes blocks (C, n) to a file as they come; with `bitrate` (kbit/s) at the quality that gives it within 2 %.

    The quality is searched on the first minute. model: None for the usual one, or where a bit rate is below its least, that of
    vectors. Raises TargetOutOfRange, ModelNotFound.
    """
    chosen = model or weights.AUDIO_MODEL
    weights.check_sound_model(chosen)
    if bitrate is not None:
        ahead, seconds = [], 0.0
        for block in blocks:
            ahead.append(block)
            seconds += block.shape[1] / kind.rate
            if seconds >= SEARCHED:
                break
        try:
            quality = _search(kind, ahead, seconds, bitrate, device, chosen)
        except TargetOutOfRange as error:
            if model is not None or error.size < error.target_bytes:
                raise
            chosen = weights.TOKEN_MODEL
            quality = _search(kind, ahead, seconds, bitrate, device, chosen)
        blocks = itertools.chain(ahead, blocks)
    _write(kind, blocks, file, quality, device, chosen)


def _search(
    kind: SoundFormat, blocks: list[np.ndarray], seconds: float, bitrate: float, device: torch.device, model: str
) -> float:
    def size_at(quality: float) -> int:
        trial = io.BytesIO()
        _write(kind, iter(blocks), trial, quality, device, model)
        return trial.tell()

    return search_quality(size_at, max(1, round(bitrate * 1000 * seconds / 8)), start=30).quality


def _write(
    kind: SoundFormat, blocks: Iterator[np.ndarray], file: BinaryIO, quality: float, device: torch.device, model: str
) -> None:
    header = header_for(kind, round(quality * 10), model)
    writer = Writer(file, header)
    if kind.tags:
        writer.metadata(TAGS, pack_tags(kind.tags))
    for segment in SpanEncoder(header, device).segments(blocks):
        with span("I/O"):
            writer.segment(segment)
    writer.close()


class SoundStream:
    """The sound in `reader` from `start` seconds on, `duration` seconds of it (None: all): its format, then its blocks."""

    def __init__(self, reader: Reader, device: torch.device, partial: bool, start: float, duration: float | None) -> None:
        header: AudioHeader = reader.header  # type: ignore[assignment]
        if not start >= 0 or (duration is not None and not duration > 0):
            raise ValueError(f"start {start} and duration {duration}: at least 0, and above 0")
        first = round(start * header.rate)
        stop = None if duration is None else first + max(1, round(duration * header.rate))
        if header.samples and first >= header.samples:
            raise ValueError(f"start {start:g} s is beyond the end, {header.samples / header.rate:.3f} s")
        self.kind = SoundFormat(header.rate, header.channels, header.depth, header.samples, tags_of(reader))
        self._reader = reader
        self._decoder = SpanDecoder(reader, device, partial, first, stop)

    def blocks(self) -> Iterator[np.ndarray]:
        """Blocks (C, n) float32, as they are decoded."""
        return self._decoder.blocks()

    @property
    def damage(self) -> list[Damage]:
        """What was wrong so far."""
        return self._reader.damage + [Damage(e.error.offset, e.error.chunk, e.error.message) for e in self._decoder.lost]


def tags_of(reader: Reader) -> dict[str, str]:
    """Tags of a sound; damaged ones are none."""
    return unpack_tags(reader.metadata.get(TAGS, b"{}"))


def pack_tags(tags: dict[str, str]) -> bytes:
    """Tags as a file has them."""
    return json.dumps(tags, ensure_ascii=False, sort_keys=True).encode()


def unpack_tags(data: bytes) -> dict[str, str]:
    """The inverse of `pack_tags`; of anything else no tags."""
    try:
        tags = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return {k: v for k, v in tags.items() if isinstance(v, str)} if isinstance(tags, dict) else {}


def decode_sound(reader: Reader, device: torch.device, partial: bool, start: float, duration: float | None) -> DecodedSound:
    """The whole of a `SoundStream` in memory."""
    stream = SoundStream(reader, device, partial, start, duration)
    parts = [np.zeros((stream.kind.channels, 0), np.float32), *stream.blocks()]
    samples = np.ascontiguousarray(np.concatenate(parts, axis=1).T)
    return DecodedSound(samples, stream.kind.rate, stream.kind.depth, stream.kind.tags, stream.damage)


def write_sound_file(sound: DecodedSound, file: BinaryIO, name: str) -> None:
    """Writes a decoded sound in the format of the extension of `name`; raises ValueError for an unknown one."""
    kind = SoundFormat(sound.rate, sound.samples.shape[1], sound.depth, len(sound.samples), sound.tags)
    writer = SoundWriter(file, kind, os.path.splitext(name)[1].lower())
    writer.write(np.ascontiguousarray(sound.samples.T))
    writer.close()
