"""Vector fields survive their coding whatever they are, and any symbols decode to some field."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vqc.models.motion_coding import TABLES, motion_steps, to_differences, to_field


def run(h, w, before, symbols_of):
    steps, written = motion_steps(h, w, before), []
    step = next(steps)
    while True:
        symbols = symbols_of(step)
        assert symbols.shape == step.table_ids.shape and step.table_ids.max() < TABLES
        written.append(symbols)
        try:
            step = steps.send(symbols)
        except StopIteration as end:
            return written, end.value


@st.composite
def fields(draw):
    h, w = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    reach = draw(st.sampled_from([0, 3, 200, 2**14]))
    return draw(arrays(np.int16, (2 * h, 2 * w, 2), elements=st.integers(-reach, reach)))


@given(st.lists(fields(), min_size=1, max_size=1), st.integers(0, 2**32 - 1))
def test_every_field_comes_back_and_the_next_one_too(given_fields, seed):
    first = given_fields[0]
    following = np.random.default_rng(seed).integers(-50, 50, first.shape).astype(np.int16)
    before_writer = before_reader = None
    for field in (first, following):
        h, w = field.shape[0] // 2, field.shape[1] // 2
        differences = to_differences(field)
        written, (_, before_writer) = run(h, w, before_writer, lambda step, d=differences: step.symbols(d))
        assert sum(map(len, written)) == 8 * h * w
        queue = iter(written)
        _, (decoded, before_reader) = run(h, w, before_reader, lambda step, q=queue: next(q))
        assert np.array_equal(to_field(decoded), field)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_any_symbols_make_a_field_within_sixteen_bits(h, w, seed):
    rng = np.random.default_rng(seed)
    wild = lambda step: rng.integers(-(2**31), 2**31, step.table_ids.shape, dtype=np.int64).astype(np.int32)  # noqa: E731
    _, (differences, surprise) = run(h, w, None, wild)
    field = to_field(differences)
    assert field.dtype == np.int16 and field.shape == (2 * h, 2 * w, 2)
    assert surprise.squares.min() >= 0 and surprise.squares.max() <= 99 and surprise.blocks.max() <= 99


def test_a_field_that_moves_as_one_costs_nothing_but_its_first_vector():
    field = np.full((8, 10, 2), (5, -3), np.int16)
    differences = to_differences(field)
    assert np.count_nonzero(differences.blocks) == 0
    assert np.argwhere(differences.squares.any(-1)).tolist() == [[0, 0]]


@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 20, 2), (20, 2, 2)])
def test_narrow_fields_come_back(shape):
    field = np.random.default_rng(1).integers(-9, 9, shape).astype(np.int16)
    assert np.array_equal(to_field(to_differences(field)), field)
