"""In which order the frames of a group are coded, and from which others each is predicted.

Frames are coded in runs. The last frame of a run is predicted from the frame before the run, and every other one from both
sides, the one in the middle first and so on by halves, as hierarchical B frames in H.264 (Schwarz, Marpe and Wiegand 2006).
A run of one frame is a frame predicted from the one before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LONGEST = 16  # frames of a run


@dataclass(frozen=True)
class Place:
    """Where a predicted frame stands: its number in the group, those of the frames before and after it that it is predicted
    from (None: from one side only), and how often its run was halved for it."""

    number: int
    before: int
    after: int | None = None
    depth: int = 0

    @property
    def sources(self) -> tuple[int, ...]:
        """The frames that it is predicted from."""
        return (self.before,) if self.after is None else (self.before, self.after)

    def later(self, frames: int) -> Place:
        """The same so many frames later."""
        after = None if self.after is None else self.after + frames
        return Place(self.number + frames, self.before + frames, after, self.depth)


def levels(runs: Iterable[int]) -> Iterator[tuple[Place, ...]]:
    """The predicted frames of a group, those together that can be coded at once: each knows only levels before its own."""
    end = 0
    for length in runs:
        begin, end = end, end + length
        yield (Place(end, begin),)
        spans, depth = [(begin, end)], 1
        while spans := [(low, high) for low, high in spans if high - low > 1]:
            middle = [(low, (low + high) // 2, high) for low, high in spans]
            yield tuple(Place(number, low, high, depth) for low, number, high in middle)
            spans = [half for low, number, high in middle for half in ((low, number), (number, high))]
            depth += 1
