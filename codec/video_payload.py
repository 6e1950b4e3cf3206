"""What stands in a segment of frames before and around its coded symbols (FORMAT.md, section 5). Reads without torch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from vqc.bitstream import Corrupt, Entry, Reader, Segment, VideoHeader
from vqc.bitstream.cursor import Cursor
from vqc.bitstream.varint import pack_varint
from vqc.models.frame_order import LONGEST, Place, levels

FRAMES, SOUND = 0, 1  # planes
MAX_TICK = 2**62
HIGHEST = 1000  # quality, in tenths
MAX_PATTERN = 64  # qualities in turn
# Stand where the number of qualities is expected when something else comes first: lengths of runs; quality of an enhancement;
# by how much runs are better.
IN_RUNS = 0
ENHANCED, RAISED = MAX_PATTERN + 1, MAX_PATTERN + 2


@dataclass(frozen=True)
class Group:
    """Frames that are coded together: the time stamps of all, and the coded symbols of the first and of the others.

    intra_quality: of the first, 0..1000; qualities: of the others. runs: the lengths of the runs that these are coded in
    (frame_order.py); they have the quality of their depth, or the last one if there are fewer. None, as in groups of vid1 and
    vid2: each is predicted from the one before, and they have the qualities in turn, again and again. short: frames that the
    groups before this one lack of those that they may have. enhancement: quality of what is added to the first frame, coded
    before the others; None where it stays the picture that it is. raises: what the quality of the frames of each run is above
    that, where any is.
    """

    ticks: tuple[int, ...]
    intra_quality: int
    qualities: tuple[int, ...]
    intra: bytes
    predicted: bytes
    runs: tuple[int, ...] | None = None
    short: int = 0
    enhancement: int | None = None
    raises: tuple[int, ...] = ()

    def levels(self, two_before: bool) -> Iterator[tuple[tuple[Place, ...], int]]:
        """The predicted frames in the order of coding, those of a level together, and their quality. two_before: as the model
        has it, see frame_order.py."""
        count = len(self.qualities)
        if self.runs is None:
            for level in levels(itertools.repeat(1, len(self.ticks) - 1), two_before):
                yield level, self.qualities[(level[0].number - 1) % count]
            return
        run = -1
        for level in levels(self.runs, two_before):
            run += level[0].after is None
            quality = self.qualities[min(level[0].depth, count - 1)]
            yield level, raised_quality(quality, self.raises[run] if self.raises else 0)


def raised_quality(quality: int, raised: int) -> int:
    """Quality of frames of a run that is better by so much."""
    return min(quality + raised, HIGHEST)


def regular_ticks(header: VideoHeader, begin: int, count: int, first: int) -> tuple[int, ...]:
    """Time stamps of `count` frames from frame `begin` and tick `first` on, when they come at the header's rate; rounded to
    whole ticks."""
    numerator = header.rate_denominator * header.denominator
    denominator = header.rate_numerator * header.numerator

    def since_start(frame: int) -> int:
        return (2 * frame * numerator + denominator) // (2 * denominator)

    return tuple(first + since_start(begin + k) - since_start(begin) for k in range(count))


def pack_group(group: Group, header: VideoHeader, number: int) -> bytes:
    """The payload of a segment. Raises ValueError for time stamps that do not rise, or below 0, and raises without runs."""
    first, count = group.ticks[0], len(group.ticks)
    regular = group.ticks == regular_ticks(header, number * header.group - group.short, count, first)
    head = pack_varint(2 * (count - 1) + (not regular)) + pack_varint(first)
    if not regular:
        for before, after in zip(group.ticks, group.ticks[1:]):
            if after <= before:
                raise ValueError(f"time stamp {after} follows {before}")
            head += pack_varint(after - before)
    if any(group.raises) and group.runs is None:
        raise ValueError("qualities of runs, where there are none")
    head += pack_varint(group.intra_quality)
    if group.enhancement is not None:
        head += pack_varint(ENHANCED) + pack_varint(group.enhancement)
    if group.runs is not None:
        head += pack_varint(IN_RUNS) + pack_varint(group.short) + _pack_repeated(group.runs)
        if any(group.raises):
            head += pack_varint(RAISED) + _pack_repeated(group.raises)
    head += pack_varint(len(group.qualities)) + b"".join(map(pack_varint, group.qualities)) + pack_varint(len(group.intra))
    return head + group.intra + group.predicted


def _pack_repeated(values: tuple[int, ...]) -> bytes:
    repeated = [(value, len(list(same))) for value, same in itertools.groupby(values)]
    return pack_varint(len(repeated)) + b"".join(pack_varint(value) + pack_varint(times) for value, times in repeated)


def unpack_group(segment: Segment, header: VideoHeader) -> Group:
    """The inverse. Raises Corrupt."""
    cursor = Cursor(segment.payload, 0, "segment")
    count, irregular = divmod(cursor.varint(), 2)
    count += 1
    if count > header.group:
        raise Corrupt(f"group {segment.number} has {count} frames, more than {header.group}")
    stamps = [cursor.varint()]
    for _ in range((count - 1) * irregular):
        step = cursor.varint()
        if step < 1:
            raise Corrupt(f"group {segment.number}: time stamps do not rise")
        stamps.append(stamps[-1] + step)
    intra_quality, pattern = cursor.varint(), cursor.varint()
    enhancement, runs, short, raises = None, None, 0, ()
    if pattern == ENHANCED:
        enhancement, pattern = cursor.varint(), cursor.varint()
    if pattern == IN_RUNS:
        short = cursor.varint()
        if short > segment.number * (header.group - 1):
            raise Corrupt(f"group {segment.number}: {short} frames fewer before it than groups may have")
        runs, pattern = _unpack_runs(cursor, count - 1, segment.number), cursor.varint()
        if pattern == RAISED:
            raises, pattern = _unpack_raises(cursor, len(runs), segment.number), cursor.varint()
    ticks = tuple(stamps) if irregular else regular_ticks(header, segment.number * header.group - short, count, stamps[0])
    if ticks[-1] > MAX_TICK:
        raise Corrupt(f"group {segment.number}: time stamp {ticks[-1]} is too large")
    if not 1 <= pattern <= MAX_PATTERN:
        raise Corrupt(f"group {segment.number}: {pattern} qualities")
    qualities = tuple(cursor.varint() for _ in range(pattern))
    highest = max(intra_quality, enhancement or 0, *qualities, *raises)
    if highest > HIGHEST:
        raise Corrupt(f"group {segment.number}: quality {highest / 10} is outside 0..100")
    intra = cursor.take(cursor.varint())
    return Group(ticks, intra_quality, qualities, intra, cursor.rest(), runs, short, enhancement, raises)


def _unpack_runs(cursor: Cursor, frames: int, number: int) -> tuple[int, ...]:
    """Lengths of the runs that `frames` predicted frames are coded in."""
    runs = _unpack_repeated(cursor, frames, number)
    if sum(runs) != frames or not all(1 <= length <= LONGEST for length in runs):
        raise Corrupt(f"group {number}: runs of {runs} frames, where there are {frames}")
    return runs


def _unpack_raises(cursor: Cursor, runs: int, number: int) -> tuple[int, ...]:
    """By how much each of so many runs is better."""
    raises = _unpack_repeated(cursor, runs, number)
    if len(raises) != runs:
        raise Corrupt(f"group {number}: qualities of {len(raises)} runs, where there are {runs}")
    return raises


def _unpack_repeated(cursor: Cursor, most: int, number: int) -> tuple[int, ...]:
    """The inverse of `_pack_repeated`, for `most` values at most: what is damaged must not fill the memory."""
    values: list[int] = []
    for _ in range(cursor.varint()):
        value, times = cursor.varint(), cursor.varint()
        if not 1 <= times <= most - len(values):
            raise Corrupt(f"group {number}: {value} for {times} runs, where there are {most - len(values)} at most")
        values += [value] * times
    return tuple(values)


def groups_of(reader: Reader) -> list[Entry]:
    """Where the groups of frames stand, by number."""
    return sorted(entry for entry in reader.index() if entry.plane == FRAMES)


def frames_of(reader: Reader) -> int:
    """Frames of the whole video; 0 where they cannot be counted without reading it all."""
    last = max(groups_of(reader), default=None) if reader.seekable else None
    segment = reader.segment(last.number, FRAMES) if last else None
    header: VideoHeader = reader.header  # type: ignore[assignment]
    if segment is None:
        return 0
    group = unpack_group(segment, header)
    return segment.number * header.group - group.short + len(group.ticks)
