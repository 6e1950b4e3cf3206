"""Bit rates of video are kept to from group to group, whatever the content does."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqc.rate_control import STEP, RateControl


def run(costs, slope=0.003, rate=50_000.0, quality=500, seconds=1.28):
    control, total, qualities = RateControl(rate, quality), 0, []
    for cost in costs:
        qualities.append(control.quality)
        size = round(seconds * rate * math.exp(cost + slope * (control.quality - 500)))
        total += size
        control.spent(size, seconds, control.quality)
    return total / (len(costs) * seconds * rate), qualities


@pytest.mark.parametrize("slope", [0.0022, 0.003, 0.004])
@pytest.mark.parametrize("change", [-0.7, 0.7])
def test_the_rate_is_met_within_a_twentieth_though_the_content_changes(slope, change):
    rng = np.random.default_rng(1)
    costs = np.where(np.arange(40) < 15, 0, change) + rng.normal(0, 0.1, 40)
    ratio, qualities = run(costs, slope)
    assert ratio == pytest.approx(1, abs=0.05)
    assert np.abs(np.diff(qualities)).max() <= STEP


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=30), st.integers(0, 1000))
def test_qualities_stay_in_range_and_change_by_small_steps(costs, quality):
    _, qualities = run(costs, quality=quality)
    assert min(qualities) >= 0 and max(qualities) <= 1000
    assert np.abs(np.diff(qualities)).max(initial=0) <= STEP
