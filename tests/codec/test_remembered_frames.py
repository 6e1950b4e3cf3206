"""What is kept of coded frames for later ones: no more than they need, and nothing beyond a refresh."""

import dataclasses
from fractions import Fraction

import pytest
import torch

from vqc.models.frame_order import Place, levels
from vqc.models.video_net import Reference
from vqc.video import VideoFormat
from vqc.video_decoding import remember
from vqc.video_encoding import header_for

HEADER = dataclasses.replace(header_for(VideoFormat(32, 32, Fraction(1, 25), Fraction(25)), 300), refresh=8)


def left() -> Reference:
    return Reference(torch.ones(1), torch.ones(1), torch.ones(1), torch.ones(1))


def forgotten(reference: Reference) -> bool:
    return not reference.features.any()


@pytest.mark.parametrize("two_before", [False, True])
@pytest.mark.parametrize("runs", [[1] * 9, [4, 4, 4], [3, 1, 5, 2, 16]])
def test_sources_are_known_and_nothing_else_for_long(runs, two_before):
    known = {0: left()}
    for places in levels(runs, two_before):
        assert all(set(place.sources) <= set(known) for place in places)
        remember(HEADER, places, [left() for _ in places], known)
        assert len(known) <= 2 + max(runs)
        if places[0].after is None:
            assert min(known) == places[0].before


def test_a_frame_at_a_refresh_is_forgotten_and_others_are_not():
    known = {0: left()}
    for places in levels([4, 4, 4], two_before=False):
        remember(HEADER, places, [left() for _ in places], known)
        assert all(forgotten(one) == (number == 8) for number, one in known.items())


def test_nothing_older_passes_a_refresh_where_frames_know_two_before():
    """The run of 7 to 9 passes 8: what its last frame leaves is forgotten, and all before it; not what follows."""
    known = {0: left()}
    for places in levels([3, 3, 3, 3], two_before=True):
        remember(HEADER, places, [left() for _ in places], known)
        if places[0] == Place(9, 6, older=3):
            assert all(map(forgotten, known.values()))
    assert not forgotten(known[12]) and not forgotten(known[11])
