"""In which order the frames of a group are coded, and from which others each is predicted.

Frames are coded in runs. The last frame of a run is predicted from the frame before the run, and from vid5 on also from the one
before the run before that; every other one from both sides, the one in the middle first and so on by halves, as hierarchical B
frames in H.264 (Schwarz, Marpe and Wiegand 2006). A run of one frame is predicted from the one before, or the two before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LONGEST = 16  # frames of a run


@dataclass(frozen=True)
class Place:
    """Where a predicted frame stands: its number in the group, those of the frames before and after it that it is predicted
    from (None: not from one after), how often its run was halved for it, and that of a second frame before it."""

    number: int
    before: int
    after: int | None = None
    depth: int = 0
    older: int | None = None

    @property
    def sources(self) -> tuple[int, ...]:
        """The frames that it is predicted from."""
        return tuple(n for n in (self.before, self.after, self.older) if n is not None)

    def later(self, frames: int) -> Place:
        """The same so many frames later."""
        after, older = (None if n is None else n + frames for n in (self.after, self.older))
        return Place(self.number + frames, self.before + frames, after, self.depth, older)


def levels(runs: Iterable[int], two_before: bool) -> Iterator[tuple[Place, ...]]:
    """The predicted frames of a group, those together that can be coded at once: each knows only levels before its own.

    two_before: whether the last frame of a run is predicted from two frames before, where there are two.
    """
    older, begin, end = None, None, 0
    for length in runs:
        older, begin, end = begin, end, end + length
        yield (Place(end, begin, older=older if two_before else None),)
        spans, depth = [(begin, end)], 1
        while spans := [(low, high) for low, high in spans if high - low > 1]:
            middle = [(low, (low + high) // 2, high) for low, high in spans]
            yield tuple(Place(number, low, high, depth) for low, number, high in middle)
            spans = [half for low, number, high in middle for half in ((low, number), (number, high))]
            depth += 1
