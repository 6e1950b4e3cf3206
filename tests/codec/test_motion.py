"""What the encoder finds out about motion: x264's vectors are read right, and refinement only makes them better."""

import numpy as np
import pytest
import torch

from vqc.models.frame_order import levels
from vqc.models.motion import AFTER, ALL, BEFORE, DIRECT
from vqc.models.video_transform import warp
from vqc.motion_refinement import Reference, refine, with_older
from vqc.motion_search import Found, MotionSearch

SIZE = 96, 128


def scene(shift, count, seed=0):
    """Frames (3/2 H, W) uint8 of a picture that moves by `shift` pixels (x, y) a frame."""
    rng = np.random.default_rng(seed)
    small = torch.from_numpy(rng.random((1, 1, 40, 48), np.float32))
    picture = torch.nn.functional.interpolate(small, scale_factor=8, mode="bicubic")[0, 0].clamp(0, 1).numpy()
    h, w = SIZE
    frames = []
    for t in range(count):
        y, x = 80 + shift[1] * t, 80 + shift[0] * t
        planes = np.full((h * 3 // 2, w), 128, np.uint8)
        planes[:h] = picture[y : y + h, x : x + w] * 255
        frames.append(planes)
    return frames


def luma(frame):
    return frame[: SIZE[0]].astype(np.float32)


@pytest.mark.parametrize("longest", [1, 2, 3, 4])
@pytest.mark.parametrize("shift", [(0, 0), (3, -1), (-4, 2)])
def test_steady_motion_is_found_in_runs_of_any_length(longest, shift):
    search = MotionSearch(SIZE[1], SIZE[0], 20, longest, adapt=False)
    frames = scene(shift, 1 + 2 * longest)
    runs = [run for frame in frames for run in search(frame)] + search.rest()
    assert [len(run) for run in runs] == [longest] * 2
    found = [one for run in runs for one in run]
    for place in (place for level in levels(map(len, runs), two_before=False) for place in level):
        wrong = []
        for source, field in zip(place.sources, found[place.number - 1].fields, strict=True):
            wanted = np.array(shift) * (place.number - source) * 4
            wrong.append(np.median(np.abs(field[2:-2, 2:-2] - wanted).sum(2)))
        assert min(wrong) <= 1  # x264 leaves out a side that tells no more than the other


def test_without_frames_in_between_there_is_no_delay():
    search = MotionSearch(SIZE[1], SIZE[0], 20, 1)
    assert [len(search(frame)) for frame in scene((2, 0), 4)] == [0, 1, 1, 1] and search.rest() == []


def test_references_are_read_as_the_decoder_moves_them():
    rng = np.random.default_rng(0)
    y = (rng.random(SIZE) * 255).astype(np.float32)
    field = rng.integers(-700, 700, (SIZE[0] // 8, SIZE[1] // 8, 2))
    rows, columns = (i.ravel() for i in np.indices(field.shape[:2]))
    blocks = Reference(y).blocks(rows, columns, field.reshape(-1, 2)).reshape(*field.shape[:2], 8, 8)
    moved = warp(torch.from_numpy(y)[None, None], torch.from_numpy(field)[None])[0, 0].numpy()
    np.testing.assert_allclose(blocks.transpose(0, 2, 1, 3).reshape(SIZE), moved.clip(0, 255), atol=0.51)


def noisy(shape, wanted, seed=1):
    """Fields that are right but for some blocks."""
    rng = np.random.default_rng(seed)
    fields = np.broadcast_to(wanted, shape).astype(np.int16)
    return np.where(rng.random((*shape[:-1], 1)) < 0.1, rng.integers(-40, 40, shape), fields).astype(np.int16)


def test_refinement_mends_blocks_that_went_astray():
    before, frame = scene((3, 1), 2)
    fields = noisy((1, 12, 16, 2), (12, 4))
    modes = np.full((6, 8), ALL)
    refined = refine(Found(fields, modes), [Reference(luma(before))], frame[: SIZE[0]], 0.05, np.zeros_like(fields))
    assert (refined.modes == ALL).all()
    wrong = (refined.fields[0, 2:-2, 2:-2] != (12, 4)).any(-1).mean()
    assert wrong < 0.02 < (fields[0, 2:-2, 2:-2] != (12, 4)).any(-1).mean()


def test_squares_follow_what_is_expected_where_that_is_right():
    before, frame, after = scene((3, 1), 3)
    wanted = np.array([[12, 4], [-12, -4]])[:, None, None]
    fields = noisy((2, 12, 16, 2), wanted)
    expected = np.broadcast_to(wanted, fields.shape).astype(np.int16)
    sources = [Reference(luma(before)), Reference(luma(after))]
    refined = refine(Found(fields, np.full((6, 8), ALL)), sources, frame[: SIZE[0]], 0.05, expected)
    assert (refined.modes[1:-1, 1:-1] == DIRECT).all()  # at the edges one side sees more
    assert np.array_equal(refined.fields[:, 2:-2, 2:-2], expected[:, 2:-2, 2:-2])


@pytest.mark.parametrize(("side", "mode"), [(0, BEFORE), (1, AFTER)])
def test_a_side_that_shows_something_else_is_left_out(side, mode):
    same, other = scene((0, 0), 1)[0], scene((0, 0), 1, seed=5)[0]
    sources = [Reference(luma(same)), Reference(luma(other))]
    fields = np.zeros((2, 12, 16, 2), np.int16)
    found = Found(fields, np.full((6, 8), ALL))
    refined = refine(found, sources[::-1] if side else sources, same[: SIZE[0]], 0.05, fields)
    assert (refined.modes == mode).all()


def test_motion_from_two_frames_before_is_that_of_the_block_where_it_comes_from():
    """A block that came from 16 pixels to the right has the vectors of what stands there added."""
    field = np.zeros((1, 4, 6, 2), np.int16)
    field[0, :, :2] = (64, 0)
    before = np.zeros((1, 4, 6, 2), np.int16)
    before[0, :, 2:4] = (0, -8)
    found = with_older(Found(field, np.full((2, 3), ALL)), before)
    assert np.array_equal(found.fields[0], field[0])
    assert np.array_equal(
        found.fields[1], field[0] + np.roll(before[0], -2, 1) * (field[0, ..., :1] > 0) + before[0] * (field[0, ..., :1] == 0)
    )
    assert np.array_equal(with_older(Found(field, found.modes), None).fields[1], 2 * field[0])


def test_motion_from_two_frames_before_stays_within_its_limits():
    field = np.full((1, 4, 6, 2), 2**15 - 1, np.int16)
    for far in (field, -field):
        older = with_older(Found(far, np.full((2, 3), ALL)), far).fields[1]
        assert np.array_equal(older, far[0])
