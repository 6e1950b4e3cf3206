"""Damage as lines: one for each place, and one for many segments that share a fault."""

import re

from hypothesis import given
from hypothesis import strategies as st

from vqc.bitstream import Damage
from vqc.commands.damage import damage_lines


def test_missing_tiles_share_a_line_of_each_plane():
    lost = [Damage(None, None, f"tile {n} of plane {p} is missing") for n in (3, 4, 5, 9) for p in (0, 1)]
    lost += [Damage(80, "segment", "checksum is wrong"), Damage(None, None, "span 7 is missing")]
    assert damage_lines(lost) == (
        "tiles 3-5, 9 of plane 0 are missing",
        "tiles 3-5, 9 of plane 1 are missing",
        "checksum is wrong (chunk segment, byte 80)",
        "span 7 is missing",
    )


def test_places_with_an_offset_keep_a_line_each():
    lost = [Damage(n, "SEGM", "checksum is wrong") for n in range(3)]
    assert len(damage_lines(lost)) == 3


@given(st.lists(st.integers(0, 60), min_size=1))
def test_the_ranges_name_every_tile_and_no_other(numbers):
    (line,) = damage_lines([Damage(None, None, f"tile {n} of plane 0 is missing") for n in numbers])
    named = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", line.split(" of ")[0]):
        named |= set(range(int(first), int(last or first) + 1))
    assert named == set(numbers)
