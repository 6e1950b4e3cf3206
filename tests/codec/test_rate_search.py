"""The search meets any target that a quality can meet, in few encodes, and says so when none can."""

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqc.rate_search import TargetOutOfRange, search_quality


class Encoder:
    """Sizes from `low` to `high` bytes over quality 0..100: log(size) bent by `bend`, and rounded to whole `step` bytes."""

    def __init__(self, low=4_000, high=100_000, bend=1.0, step=1):
        self.low, self.high, self.bend, self.step = low, high, bend, step
        self.qualities = []

    def __call__(self, quality):
        self.qualities.append(quality)
        size = self.low * (self.high / self.low) ** ((quality / 100) ** self.bend)
        return self.step * round(size / self.step)


def test_straight_line_takes_at_most_three_encodes():
    for target in (4_000, 5_000, 20_000, 77_777, 100_000):
        result = search_quality(Encoder(), target)
        assert result.met and abs(result.size - target) <= 0.02 * target
        assert result.encodes <= 3


@given(
    low=st.integers(200, 100_000),
    ratio=st.floats(1.5, 50),
    bend=st.floats(0.8, 2.0),
    place=st.floats(0, 1),
    start=st.floats(0, 100),
)
def test_meets_every_target_within_range(low, ratio, bend, place, start):
    encoder = Encoder(low, low * ratio, bend)
    target = max(1, round(low * ratio**place))
    result = search_quality(encoder, target, start=start)
    assert result.met and abs(result.size - target) <= 0.02 * target
    assert result.encodes == len(encoder.qualities) <= 12
    assert encoder.qualities[-1] == result.quality, "the last encode must be the one that is returned"
    assert all(0 <= quality <= 100 for quality in encoder.qualities)


def test_few_encodes_on_average():
    counts = [
        search_quality(Encoder(bend=bend), target).encodes for bend in (0.7, 1, 1.4) for target in range(5_000, 99_000, 2_000)
    ]
    assert sum(counts) / len(counts) <= 4


def test_tolerance_is_respected():
    result = search_quality(Encoder(bend=1.3), 31_000, tolerance=0.001)
    assert abs(result.size - 31_000) <= 31


@pytest.mark.parametrize(("target", "side", "quality"), [(1_000, "smallest", 0), (1_000_000, "largest", 100)])
def test_target_out_of_range_names_the_nearest_size(target, side, quality):
    encoder = Encoder()
    with pytest.raises(TargetOutOfRange, match=f"{target} bytes is out of range: the {side} file is") as caught:
        search_quality(encoder, target)
    assert caught.value.quality == quality and caught.value.size == encoder(quality)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value), "errors cross process borders"


def test_sizes_that_jump_over_the_target_give_the_nearest():
    encoder = Encoder(low=100, high=2_000, step=100)
    result = search_quality(encoder, 1_040)
    assert not result.met and result.size == 1_000
    assert result.encodes <= 16
    assert encoder(result.quality) == 1_000


def test_sizes_that_are_not_monotone_end_with_the_nearest_tried():
    encoder = Encoder()
    sizes = []

    def uneven(quality):
        sizes.append(round(encoder(quality) * (1 + 0.03 * math.sin(40 * quality))))
        return sizes[-1]

    result = search_quality(uneven, 30_000)
    assert result.encodes <= 16
    assert abs(result.size - 30_000) == min(abs(size - 30_000) for size in sizes)


def test_constant_size_is_out_of_range_unless_it_is_the_target():
    assert search_quality(lambda quality: 500, 500).encodes == 1
    with pytest.raises(TargetOutOfRange):
        search_quality(lambda quality: 500, 700)


def test_target_below_one_byte_is_refused():
    with pytest.raises(ValueError, match="at least 1 byte"):
        search_quality(Encoder(), 0)
