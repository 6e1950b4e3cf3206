"""What stands in a segment of frames before and around its coded symbols (FORMAT.md, section 5). Reads without torch."""

from __future__ import annotations

from dataclasses import dataclass

from vqc.bitstream import Corrupt, Entry, Reader, Segment, VideoHeader
from vqc.bitstream.cursor import Cursor
from vqc.bitstream.varint import pack_varint

FRAMES, SOUND = 0, 1  # planes
MAX_TICK = 2**62
MAX_PATTERN = 64  # qualities in turn


@dataclass(frozen=True)
class Group:
    """Frames that are coded together: the time stamps of all, and the coded symbols of the first and of the others.

    intra_quality: of the first, 0..1000; qualities: of the others in turn, again and again.
    """

    ticks: tuple[int, ...]
    intra_quality: int
    qualities: tuple[int, ...]
    intra: bytes
    predicted: bytes

    def quality(self, number: int) -> int:
        """Quality of predicted frame `number`, from 1."""
        return self.qualities[(number - 1) % len(self.qualities)]


def regular_ticks(header: VideoHeader, number: int, count: int, first: int) -> tuple[int, ...]:
    """Time stamps of group `number` from tick `first` on, when frames come at the header's rate; rounded to whole ticks."""
    numerator = header.rate_denominator * header.denominator
    denominator = header.rate_numerator * header.numerator

    def since_start(frame: int) -> int:
        return (2 * frame * numerator + denominator) // (2 * denominator)

    begin = number * header.group
    return tuple(first + since_start(begin + k) - since_start(begin) for k in range(count))


def pack_group(group: Group, header: VideoHeader, number: int) -> bytes:
    """The payload of a segment. Raises ValueError for time stamps that do not rise, or below 0."""
    first, count = group.ticks[0], len(group.ticks)
    regular = group.ticks == regular_ticks(header, number, count, first)
    head = pack_varint(2 * (count - 1) + (not regular)) + pack_varint(first)
    if not regular:
        for before, after in zip(group.ticks, group.ticks[1:]):
            if after <= before:
                raise ValueError(f"time stamp {after} follows {before}")
            head += pack_varint(after - before)
    head += pack_varint(group.intra_quality) + pack_varint(len(group.qualities))
    head += b"".join(map(pack_varint, group.qualities)) + pack_varint(len(group.intra))
    return head + group.intra + group.predicted


def unpack_group(segment: Segment, header: VideoHeader) -> Group:
    """The inverse. Raises Corrupt."""
    cursor = Cursor(segment.payload, 0, "segment")
    count, irregular = divmod(cursor.varint(), 2)
    count += 1
    if count > header.group:
        raise Corrupt(f"group {segment.number} has {count} frames, more than {header.group}")
    first = cursor.varint()
    if irregular:
        stamps = [first]
        for _ in range(count - 1):
            step = cursor.varint()
            if step < 1:
                raise Corrupt(f"group {segment.number}: time stamps do not rise")
            stamps.append(stamps[-1] + step)
        ticks = tuple(stamps)
    else:
        ticks = regular_ticks(header, segment.number, count, first)
    if ticks[-1] > MAX_TICK:
        raise Corrupt(f"group {segment.number}: time stamp {ticks[-1]} is too large")
    intra_quality, pattern = cursor.varint(), cursor.varint()
    if not 1 <= pattern <= MAX_PATTERN:
        raise Corrupt(f"group {segment.number}: {pattern} qualities in turn")
    qualities = tuple(cursor.varint() for _ in range(pattern))
    if max(intra_quality, *qualities) > 1000:
        raise Corrupt(f"group {segment.number}: quality {max(intra_quality, *qualities) / 10} is outside 0..100")
    intra = cursor.take(cursor.varint())
    return Group(ticks, intra_quality, qualities, intra, cursor.rest())


def groups_of(reader: Reader) -> list[Entry]:
    """Where the groups of frames stand, by number."""
    return sorted(entry for entry in reader.index() if entry.plane == FRAMES)


def frames_of(reader: Reader) -> int:
    """Frames of the whole video; 0 where they cannot be counted without reading it all."""
    last = max(groups_of(reader), default=None) if reader.seekable else None
    segment = reader.segment(last.number, FRAMES) if last else None
    header: VideoHeader = reader.header  # type: ignore[assignment]
    return segment.number * header.group + len(unpack_group(segment, header).ticks) if segment else 0
