"""What a coded frame leaves for the coding of later ones, all of it integers, and what is expected from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .frame_order import Place
from .motion import scaled_field
from .motion_coding import Surprise


@dataclass(frozen=True)
class Trace:
    """Tokens (1, H/8, W/8, L) of the latents, surprise (1, h, w), fields (s, H/8, W/8, 2) and the place that they belong to.
    All None: of a frame that was coded as a picture, or is to be forgotten; only tokens: of an enhanced picture."""

    tokens: Tensor | None = None
    surprise: Surprise | None = None
    fields: np.ndarray | None = None
    place: Place | None = None

    def forgetful(self) -> Trace:
        """What is left when errors that may have built up are to end."""
        return Trace()


Traces = Mapping[int, Trace]  # of the frames of a group, by number


def guide(place: Place, traces: Traces) -> Trace:
    """Of the frames that one is predicted from, the one whose motion tells most of its own: between two frames, the one that
    was itself predicted from the other. An empty trace where that is forgotten."""
    before = traces[place.before]
    if place.after is None:
        return before
    after = traces[place.after]
    if after.place and after.place.before == place.before:
        return after
    return before if before.place and before.place.after == place.after else Trace()


def expected_fields(place: Place, traces: Traces, shape: tuple[int, int]) -> np.ndarray:
    """Fields (s, *shape, 2) int16 if all goes on to move as it did where the frame's `guide` was coded; else 0.

    As in temporal direct mode of H.264, for whole frames: of each block the vector of the same block there.
    """
    sides = len(place.sources)
    trace = guide(place, traces)
    if trace.fields is None or trace.place is None:
        return np.zeros((sides, *shape, 2), np.int16)
    # The side of the guide that spans the frame; where it stands before, up to the other one that the frame is predicted from.
    side = 1 if place.after is not None and trace.place.number == place.before else 0
    total = trace.place.sources[side] - trace.place.number
    return np.stack([scaled_field(trace.fields[side], source - place.number, total) for source in place.sources])


def surprise_of(places: Sequence[Place], traces: Traces, shape: tuple[int, int]) -> Surprise:
    """How surprising motion was in the guides of frames: (n, *shape)."""
    none = np.zeros((1, *shape), np.int32)
    found = [guide(place, traces).surprise or Surprise(none, none) for place in places]
    return Surprise(*(np.concatenate([getattr(s, part) for s in found]) for part in ("squares", "blocks")))
