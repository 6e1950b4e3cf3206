"""Payloads of groups of frames: what is packed comes back, and nonsense is Corrupt."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqc.bitstream import Corrupt, Segment, VideoHeader, unpack_header
from vqc.bitstream.header import AudioHeader
from vqc.video_payload import FRAMES, Group, pack_group, regular_ticks, unpack_group

HEADER = VideoHeader("vid1", b"12345678", 1, "img1", b"abcdefgh", 352, 288, 1, 1000, 30000, 1001)


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=32),
    st.integers(0, 10**9),
    st.integers(0, 1000),
    st.lists(st.integers(0, 1000), min_size=1, max_size=32),
    st.binary(max_size=40),
    st.binary(max_size=40),
    st.integers(0, 10**6),
    st.sampled_from([None, 1, 3, 4, 16]),
    st.none() | st.integers(0, 1000),
    st.none() | st.integers(0, 1000),
)
def test_groups_come_back(steps, first, quality, qualities, intra, predicted, number, run, enhancement, raised):
    ticks = [first]
    for step in steps[1:]:
        ticks.append(ticks[-1] + step)
    whole, rest = divmod(len(ticks) - 1, run or 1)
    runs = None if run is None else (run,) * whole + (1,) * rest
    raises = tuple(raised * (k % 3 > 0) for k in range(len(runs))) if raised and runs and len(runs) > 1 else ()
    short = 0 if run is None else number
    group = Group(tuple(ticks), quality, tuple(qualities), intra, predicted, runs, short, enhancement, raises)
    payload = pack_group(group, HEADER, number)
    assert unpack_group(Segment(number, FRAMES, payload, 0), HEADER) == group


def test_regular_time_stamps_cost_a_byte_whatever_the_group():
    for number in (0, 1, 77):
        ticks = regular_ticks(HEADER, 32 * number, 32, 100)
        payload = pack_group(Group(ticks, 10, (10,), b"", b""), HEADER, number)
        assert len(payload) == 6
    # 30000/1001 frames a second in milliseconds: 33 and 34 in turn, without drift
    assert regular_ticks(HEADER, 0, 4, 0) == (0, 33, 67, 100)
    whole = [t for g in range(40) for t in regular_ticks(HEADER, 32 * g, 32, round(g * 32 * 1001 / 30))]
    assert all(abs(t - k * 1001 / 30) < 1 for k, t in enumerate(whole))


def test_time_stamps_stay_regular_behind_a_group_that_ended_early():
    ticks = regular_ticks(HEADER, 64 - 11, 16, 1768)
    payload = pack_group(Group(ticks, 10, (10,), b"", b"", (4, 4, 4, 3), 11), HEADER, 2)
    assert len(payload) == 14 and unpack_group(Segment(2, FRAMES, payload, 0), HEADER).ticks == ticks


@pytest.mark.parametrize(
    "runs", [(), (4, 4), (4, 4, 4, 4), (17,)], ids=["none", "too few", "too many", "too long"]
)
def test_runs_that_do_not_fit_are_corrupt(runs):
    group = Group(tuple(range(13)), 10, (10,), b"", b"", runs)
    with pytest.raises(Corrupt, match="run"):
        unpack_group(Segment(0, FRAMES, pack_group(group, HEADER, 0), 0), HEADER)


def test_qualities_go_by_depth_in_runs_and_in_turn_without():
    def qualities(runs, count):
        levels = list(Group(tuple(range(count)), 10, (30, 20), b"", b"", runs).levels(two_before=False))
        return [(place.number, quality) for places, quality in levels for place in places]

    assert qualities(None, 4) == [(1, 30), (2, 20), (3, 30)]
    assert qualities((4, 1), 6) == [(4, 30), (2, 20), (1, 20), (3, 20), (5, 30)]


def test_runs_can_be_better_than_the_qualities_say_but_not_beyond_the_best():
    group = Group(tuple(range(8)), 10, (950, 20), b"", b"", (4, 1, 2), raises=(0, 100, 30))
    levels = [(place.number, quality) for places, quality in group.levels(two_before=True) for place in places]
    assert levels == [(4, 950), (2, 20), (1, 20), (3, 20), (5, 1000), (7, 980), (6, 50)]


@pytest.mark.parametrize(
    ("raises", "message"),
    [((1,), "runs"), ((1, 2, 3), "runs"), ((1, 1001), "quality")],
    ids=["too few", "too many", "too large"],
)
def test_raises_that_do_not_fit_are_corrupt(raises, message):
    group = Group(tuple(range(9)), 10, (10,), b"", b"", (4, 4), raises=raises)
    with pytest.raises(Corrupt, match=message):
        unpack_group(Segment(0, FRAMES, pack_group(group, HEADER, 0), 0), HEADER)


def test_raises_without_runs_are_refused():
    with pytest.raises(ValueError, match="runs"):
        pack_group(Group((0, 1, 2), 10, (10,), b"", b"", raises=(3,)), HEADER, 0)


@pytest.mark.parametrize("ticks", [(5, 5), (5, 4)])
def test_time_stamps_that_do_not_rise_are_refused(ticks):
    with pytest.raises(ValueError, match="follows"):
        pack_group(Group(ticks, 0, (0,), b"", b""), HEADER, 0)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_group_or_corrupt(payload):
    try:
        group = unpack_group(Segment(0, FRAMES, payload, 0), HEADER)
    except Corrupt:
        return
    assert sum(len(places) for places, _ in group.levels(two_before=True)) == len(group.ticks) - 1
    assert len(group.ticks) <= HEADER.group and max(*group.qualities, group.intra_quality, group.enhancement or 0) <= 1000


@given(
    st.integers(1, 2**18), st.integers(1, 2**10), st.integers(1, 2**31 - 1), st.sampled_from([0, 90, 180, 270]), st.booleans()
)
def test_headers_come_back(width, height, rate, rotation, full_range):
    sound = AudioHeader("aud1", b"87654321", 1, 44100, 0, 2)
    for track in (None, sound):
        header = dataclasses.replace(
            HEADER, width=width, height=height, rate_numerator=rate, rotation=rotation, full_range=full_range, sound=track
        )
        assert unpack_header(header.pack()) == header
