"""What stands in a segment of copied sound: a run of packets (FORMAT.md, section 5). Reads without torch."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from vqc.bitstream import Corrupt, Segment
from vqc.bitstream.cursor import Cursor
from vqc.bitstream.varint import pack_varint

TRACK = "track"  # kind of the metadata that tell how packets are decoded
MAX_TICK = 2**61  # of time stamps, either side of 0


@dataclass(frozen=True)
class Track:
    """How packets are decoded.

    codec: its name, and channels: how many there are, for people. base: seconds of a tick. entry: children of a Matroska
    TrackEntry.
    """

    codec: str
    channels: int
    base: Fraction
    entry: bytes


class SoundPacket(NamedTuple):
    """A packet as its source had it. tick: time stamp, below 0 where only decoders need it. duration: in ticks, at least 1."""

    tick: int
    duration: int
    data: bytes


def pack_run(packets: list[SoundPacket]) -> bytes:
    """The payload of a segment; a packet lasts until the next. Raises ValueError for time stamps that do not rise."""
    first = packets[0].tick
    parts = [pack_varint(2 * first if first >= 0 else -2 * first - 1)]
    ends = [packet.tick for packet in packets[1:]] + [packets[-1].tick + packets[-1].duration]
    for packet, end in zip(packets, ends):
        if end <= packet.tick:
            raise ValueError(f"time stamp {end} follows {packet.tick}")
        parts += [pack_varint(end - packet.tick), pack_varint(len(packet.data)), packet.data]
    return b"".join(parts)


def unpack_run(segment: Segment) -> list[SoundPacket]:
    """The inverse. Raises Corrupt."""
    cursor = Cursor(segment.payload, 0, "segment")
    if segment.digest:
        raise Corrupt(f"run {segment.number} has a digest, yet no symbols")
    tick = _first(cursor)
    packets = []
    while cursor.position < len(cursor.data):
        duration = cursor.varint()
        packet = SoundPacket(tick, duration, cursor.take(cursor.varint()))
        if not packet.data or not duration:
            raise Corrupt(f"run {segment.number} has a packet that is empty or takes no time")
        packets.append(packet)
        tick += duration
    if not packets:
        raise Corrupt(f"run {segment.number} has no packets")
    if not -MAX_TICK <= packets[0].tick <= tick <= MAX_TICK:
        raise Corrupt(f"run {segment.number}: a time stamp is too large")
    return packets


def first_tick(segment: Segment) -> int:
    """Time stamp of the first packet of a run. Raises Corrupt."""
    return _first(Cursor(segment.payload, 0, "segment"))


def _first(cursor: Cursor) -> int:
    folded = cursor.varint()
    return -(folded + 1) // 2 if folded % 2 else folded // 2
