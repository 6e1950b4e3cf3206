"""What stands in a segment of sound before its coded symbols (FORMAT.md, section 5). Reads without torch."""

from __future__ import annotations

from typing import NamedTuple

from vqc.bitstream import AudioHeader, Corrupt, Reader, Segment
from vqc.bitstream.cursor import Cursor

HOP, CODED_RATE = 960, 48000  # samples of a frame; samples a second inside the codec


class Span(NamedTuple):
    """frames: of this segment. samples: of the whole sound, told by the last segment. data: coded symbols, None for silence."""

    frames: int
    samples: int | None
    data: bytes | None


def split_payload(segment: Segment, header: AudioHeader) -> Span:
    """Takes a segment apart and checks its counts. Raises Corrupt."""
    cursor = Cursor(segment.payload, 0, "segment")
    (frames, silent), samples = divmod(cursor.varint(), 2), cursor.varint()
    if frames > header.span or (samples == 0 and frames != header.span):
        raise Corrupt(f"span {segment.number} has {frames} frames")
    if samples and header.samples not in (0, samples - 1):
        raise Corrupt(f"the last span tells {samples - 1} samples, the header {header.samples}")
    if samples:
        total = -(-coded_length(samples - 1, header.rate) // HOP) + 1 if samples > 1 else 0
        # the resampler may give a few samples more or fewer than the rates say
        if abs(total - segment.number * header.span - frames) > 1:
            raise Corrupt(f"span {segment.number} has {frames} frames, which do not end with sample {samples - 1}")
    data = segment.payload[cursor.position :]
    if silent and (data or segment.digest):
        raise Corrupt(f"span {segment.number} is silent, yet has symbols")
    if not (frames or silent):
        raise Corrupt(f"span {segment.number} has no frames")
    return Span(frames, samples - 1 if samples else None, None if silent else data)


def coded_length(samples: int, rate: int) -> int:
    """Samples at 48 kHz that stand for `samples` at `rate`."""
    return -(-samples * CODED_RATE // rate)


def samples_of(reader: Reader) -> int:
    """Samples of each channel in the whole sound; of a file made from a pipe, as its last segment tells (0: it does not)."""
    header: AudioHeader = reader.header  # type: ignore[assignment]
    if header.samples or not reader.seekable:
        return header.samples
    last = max(reader.index(), default=None)
    segment = reader.segment(last.number) if last else None
    return (split_payload(segment, header).samples or 0) if segment else 0
