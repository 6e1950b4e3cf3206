"""The order of coding: every frame once, after all that it is predicted from, the frames of a level side by side."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vqc.models.frame_order import LONGEST, Place, levels
from vqc.models.motion_coding import Surprise
from vqc.models.trace import Trace, expected_fields, guide, surprise_of


@given(st.lists(st.integers(1, LONGEST), max_size=8), st.booleans())
def test_every_frame_comes_once_and_after_its_sources(runs, two_before):
    known = {0}
    for level in levels(runs, two_before):
        assert len({(place.depth, len(place.sources)) for place in level}) == 1
        for place in level:
            assert set(place.sources) <= known
            assert place.before < place.number and (place.after is None or place.number < place.after)
        known |= {place.number for place in level}
    assert known == set(range(sum(runs) + 1))
    assert sum(map(len, levels(runs, two_before))) == sum(runs)


def test_a_run_of_four_is_halved_twice():
    assert list(levels([4], False)) == [(Place(4, 0),), (Place(2, 0, 4, 1),), (Place(1, 0, 2, 2), Place(3, 2, 4, 2))]
    assert list(levels([1, 1], False)) == [(Place(1, 0),), (Place(2, 1),)]


def test_runs_after_the_first_end_with_a_frame_that_knows_two_before():
    ends = [level[0] for level in levels([4, 1, 2], True) if level[0].depth == 0]
    assert [place.sources for place in ends] == [(0,), (4, 0), (5, 4)]
    assert ends[1].later(10) == Place(15, 14, older=10)


@given(st.lists(st.integers(1, LONGEST), min_size=1, max_size=4), st.booleans())
def test_steady_motion_is_expected_wherever_there_is_something_to_go_by(runs, two_before):
    def moved(place):
        return np.stack([np.full((2, 4, 2), (8 * (source - place.number), 0), np.int16) for source in place.sources])

    traces = {0: Trace()}
    for place in itertools.chain.from_iterable(levels(runs, two_before)):
        expected = expected_fields(place, traces, (2, 4))
        assert np.array_equal(expected, moved(place) * (place.before > 0 or place.after is not None))
        traces[place.number] = Trace(fields=moved(place), place=place)


@given(st.lists(st.integers(1, LONGEST), min_size=1, max_size=6), st.booleans(), st.integers(1, 20))
def test_motion_is_never_expected_from_frames_that_are_forgotten(runs, two_before, refresh):
    traces = {0: Trace()}
    for place in itertools.chain.from_iterable(levels(runs, two_before)):
        trace = guide(place, traces)
        assert trace.place is None or trace.place.number % refresh
        expected_fields(place, traces, (2, 2))
        field = np.ones((len(place.sources), 2, 2, 2), np.int16)
        trace = Trace(fields=field, place=place)
        traces[place.number] = trace if place.number % refresh else trace.forgetful()


def test_frames_whose_trace_is_forgotten_tell_nothing():
    place = Place(2, 0, 4, 1)
    field = np.ones((1, 2, 2, 2), np.int16)
    surprise = Surprise(np.ones((1, 1, 1), np.int32), np.ones((1, 1, 1), np.int32))
    known = {0: Trace(), 4: Trace(None, surprise, field, Place(4, 0))}
    assert guide(place, known) is known[4] and surprise_of([place], known, (1, 1)).squares.sum() == 1
    known[4] = known[4].forgetful()
    assert not expected_fields(place, known, (2, 2)).any() and surprise_of([place], known, (1, 1)).squares.sum() == 0
