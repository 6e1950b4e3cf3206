"""Motion survives its coding whatever it is, and any symbols decode to some motion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqc.models.motion import (
    ABOVE,
    AFTER,
    ALL,
    BEFORE,
    BESIDE,
    DIRECT,
    LEFT,
    NEW,
    PREDICTED,
    coded_sides,
    scaled_field,
    to_fields,
    to_motion,
)
from vqc.models.motion_coding import ONE_SIDE_TABLES, SHAPED_TABLES, TABLES, TWO_BEFORE_TABLES, Syntax, motion_steps

FIRST, SHAPED = Syntax.of(ONE_SIDE_TABLES, False), Syntax.of(SHAPED_TABLES, True)
NEWEST = Syntax.of(TABLES, True)


def run(n, sides, h, w, before, syntax, symbols_of, two_before=False):
    steps, written = motion_steps(n, sides, h, w, before, syntax, two_before), []
    step = next(steps)
    while True:
        symbols = symbols_of(step)
        assert symbols.shape == step.table_ids.shape and step.table_ids.max() < TABLES
        assert syntax.modes or syntax.shapes or step.table_ids.max() < ONE_SIDE_TABLES
        if step.part == "merges":
            assert syntax.merges and step.table_ids.min() >= TWO_BEFORE_TABLES
        elif two_before and sides == 2:
            assert step.table_ids.min() >= SHAPED_TABLES and step.table_ids.max() < TWO_BEFORE_TABLES
        else:
            assert step.table_ids.max() < SHAPED_TABLES
        written.append(symbols)
        try:
            step = steps.send(symbols)
        except StopIteration as end:
            return written, end.value


def random_motion(n, sides, h, w, reach, rng):
    fields, expected = rng.integers(-reach, reach + 1, (2, n, sides, 2 * h, 2 * w, 2)).astype(np.int16)
    for axis in (2, 3):  # so that there are squares that are not divided, or in halves
        alike = rng.random(fields.shape[:4]) < 0.5
        before = np.roll(fields, 1, axis)
        fields[alike] = before[alike]
    modes = rng.integers(ALL, DIRECT + 1, (n, h, w)) if sides == 2 else rng.choice([ALL, DIRECT], (n, h, w))
    return fields, modes, expected


def same(one, other):
    parts = ("modes", "squares", "blocks", "shapes", "merges")
    return all(np.array_equal(getattr(one, part), getattr(other, part)) for part in parts)


SIZES = {"n": st.integers(1, 3), "h": st.integers(1, 5), "w": st.integers(1, 5), "seed": st.integers(0, 2**32 - 1)}


UNSHAPED = Syntax(modes=True, shapes=False, two_before=False, merges=False)
KINDS = st.sampled_from(
    [(1, UNSHAPED, False), (2, UNSHAPED, False)]
    + [(sides, syntax, sides == 2 and two) for syntax in (SHAPED, NEWEST) for sides in (1, 2) for two in (False, True)]
)


@given(kind=KINDS, reach=st.sampled_from([0, 3, 200, 2**14]), **SIZES)
def test_all_motion_comes_back_and_that_of_the_next_frames_too(kind, reach, n, h, w, seed):
    sides, syntax, two_before = kind
    rng = np.random.default_rng(seed)
    writer = reader = None
    for _ in range(2):
        fields, modes, expected = random_motion(n, sides, h, w, reach, rng)
        motion, told = to_motion(fields, modes, expected, syntax.merges)
        written, (_, writer) = run(n, sides, h, w, writer, syntax, lambda step, m=motion: step.symbols(m), two_before)
        coded = coded_sides(modes, sides)
        parts = np.array([0, 1, 1, 3])[motion.shapes[coded]]
        vectors = (motion.merges[coded] == NEW).sum() + (parts.sum() if syntax.shapes else 3 * coded.sum())
        assert sum(map(len, written)) == 2 * vectors + (syntax.shapes + syntax.merges) * coded.sum() + n * h * w
        queue = iter(written)
        _, (decoded, reader) = run(n, sides, h, w, reader, syntax, lambda step, q=queue: next(q), two_before)
        motion.shapes *= syntax.shapes
        assert same(decoded, motion)
        result = to_fields(decoded, expected)
        assert np.array_equal(told, result)
        coded = coded_sides(modes, sides).repeat(2, 2).repeat(2, 3)
        assert np.array_equal(result[coded], fields[coded])
        direct = np.broadcast_to((modes == DIRECT)[:, None], (n, sides, h, w)).repeat(2, 2).repeat(2, 3)
        assert np.array_equal(result[direct], expected[direct])
        again, _ = to_motion(result, modes, expected, syntax.merges)
        again.shapes *= syntax.shapes
        assert same(again, motion)  # what no mode uses is what decoders find for it


@given(reach=st.sampled_from([0, 3, 200, 2**14]), **SIZES)
def test_fields_of_models_without_modes_come_back(reach, n, h, w, seed):
    fields, _, _ = random_motion(n, 1, h, w, reach, np.random.default_rng(seed))
    motion, _ = to_motion(fields, np.full((n, h, w), ALL))
    written, _ = run(n, 1, h, w, None, FIRST, lambda step: step.symbols(motion))
    queue = iter(written)
    _, (decoded, _) = run(n, 1, h, w, None, FIRST, lambda step: next(queue))
    assert sum(map(len, written)) == 8 * n * h * w and np.array_equal(to_fields(decoded), fields)


@given(kind=st.one_of(KINDS, st.just((1, FIRST, False))), **SIZES)
def test_any_symbols_make_fields_within_sixteen_bits(kind, n, h, w, seed):
    sides, syntax, two_before = kind
    rng = np.random.default_rng(seed)
    wild = lambda step: rng.integers(-(2**31), 2**31, step.table_ids.shape, dtype=np.int64).astype(np.int32)  # noqa: E731
    _, (motion, surprise) = run(n, sides, h, w, None, syntax, wild, two_before)
    assert motion.modes.min() >= ALL and motion.modes.max() <= DIRECT
    fields = to_fields(motion, np.zeros((n, sides, 2 * h, 2 * w, 2), np.int16))
    assert fields.dtype == np.int16 and fields.shape == (n, sides, 2 * h, 2 * w, 2)
    assert surprise.squares.min() >= 0 and surprise.squares.max() <= 99 and surprise.blocks.max() <= 99


def test_a_field_that_moves_as_one_costs_nothing_but_its_first_vector():
    fields = np.full((1, 1, 8, 10, 2), (5, -3), np.int16)
    motion, _ = to_motion(fields, np.zeros((1, 4, 5), int))
    assert np.count_nonzero(motion.blocks) == 0
    assert np.argwhere(motion.squares.any(-1)).tolist() == [[0, 0, 0, 0]]


def test_a_vector_is_taken_from_where_it_is_found_first():
    left, above, beside = (1, 9), (2, 4), (3, 5)
    squares = np.zeros((2, 3, 2), np.int16)
    squares[0] = [(7, 7), above, beside]
    for vector, merge in ((2, 5), PREDICTED), (left, LEFT), (above, ABOVE), (beside, BESIDE), ((2, 6), NEW):
        squares[1] = [left, vector, (0, 0)]
        motion, _ = to_motion(squares.repeat(2, 0).repeat(2, 1)[None, None], np.full((1, 2, 3), ALL), merged=True)
        assert motion.merges[0, 0, 1, 1] == merge
        assert motion.squares[0, 0, 1, 1].tolist() == ([0, 1] if merge == NEW else [0, 0])


def test_squares_that_one_side_is_enough_for_have_one_vector():
    fields = np.random.default_rng(0).integers(1, 9, (1, 2, 4, 4, 2)).astype(np.int16)
    motion, _ = to_motion(fields, np.array([[[BEFORE, AFTER], [ALL, DIRECT]]]), np.zeros_like(fields))
    assert motion.squares.any(-1).astype(int)[0, 1, 0, 0] == 0 and not motion.blocks[:, 0, 0, 0, 1].any()
    assert to_fields(motion, np.zeros_like(fields))[0, :, 2:, 2:].tolist() == np.zeros((2, 2, 2, 2)).tolist()


def test_fields_scale_with_the_distance_and_turn_with_its_sign():
    field = np.array([[8, -8], [3, 1], [-32767, 32767]], np.int16)
    assert scaled_field(field, 2, 4).tolist() == [[4, -4], [2, 1], [-16383, 16384]]
    assert scaled_field(field, -1, 4).tolist() == [[-2, 2], [-1, 0], [8192, -8192]]
    assert scaled_field(field, 16, 1).tolist() == [[128, -128], [48, 16], [-32767, 32767]]


@pytest.mark.parametrize("shape", [(1, 1, 2, 2, 2), (1, 1, 2, 20, 2), (1, 1, 20, 2, 2)])
def test_narrow_fields_come_back(shape):
    field = np.random.default_rng(1).integers(-9, 9, shape).astype(np.int16)
    modes = np.full((1, shape[2] // 2, shape[3] // 2), ALL)
    assert np.array_equal(to_fields(to_motion(field, modes)[0]), field)
