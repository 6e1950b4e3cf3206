"""The model of predicted frames: what moves, moves right; the exact model is told what the trained one is."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode

from vqc.models import weights
from vqc.models.colour import planes_to_rgb, rgb_to_planes
from vqc.models.entropy_model import EntropyModel
from vqc.models.motion import AFTER, ALL, BEFORE, DIRECT
from vqc.models.video_net import Reference, VideoNet, worth_coding
from vqc.models.video_prediction import TOLD, moved_sizes, predict, told_of, told_of_picture, unmoved
from vqc.models.video_transform import (
    LATENTS,
    MEMORY,
    VideoSynthesis,
    active_blocks,
    motion_tokens,
    move_latents,
    pack,
    unpack,
    warp,
)


def picture(height=64, width=96, seed=0):
    rng = np.random.default_rng(seed)
    small = torch.from_numpy(rng.random((1, 3, height // 8, width // 8), np.float32))
    image = torch.nn.functional.interpolate(small, (height, width), mode="bicubic").clamp(0, 1)
    return image[:, :1], torch.nn.functional.avg_pool2d(image[:, 1:], 2)


def test_packing_is_undone():
    y, uv = picture()
    back = unpack(pack(y, uv))
    torch.testing.assert_close(back[0], y)
    torch.testing.assert_close(back[1], uv)


def test_whole_vectors_move_planes_by_whole_pixels():
    y, uv = picture()
    vectors = torch.zeros(1, 8, 12, 2, dtype=torch.int16)
    vectors[..., 0], vectors[..., 1] = 4 * 4, -2 * 4  # 4 pixels right, 2 up
    moved = warp(y, vectors)
    torch.testing.assert_close(moved[..., 8:-8, 8:-8], y[..., 6:-10, 12:-4], atol=1e-5, rtol=0)
    moved = warp(uv, vectors)
    torch.testing.assert_close(moved[..., 4:-4, 4:-4], uv[..., 3:-5, 6:-2], atol=1e-5, rtol=0)


@pytest.mark.parametrize("blocks", [1, 2], ids=["vid2", "vid1"])
def test_latents_move_by_whole_positions_and_stay_within_the_frame(blocks):
    latents = torch.arange(4 * 6).float().view(1, 1, 4, 6)
    vectors = torch.zeros(1, 4 * blocks, 6 * blocks, 2, dtype=torch.int16)
    assert torch.equal(move_latents(latents, vectors), latents)
    vectors[..., 0] = 8 * blocks * 4
    assert torch.equal(move_latents(latents, vectors)[..., :-1], latents[..., 1:])
    vectors[..., 0] = 32767
    assert torch.equal(move_latents(latents, vectors), latents[..., -1:].expand(1, 1, 4, 6))
    vectors[..., 0] = -16 * blocks - 1  # half a position and more to the left
    assert torch.equal(move_latents(latents, vectors)[..., 1:], latents[..., :-1])


def test_tokens_of_vectors_tell_how_long_and_how_rough_they_are():
    vectors = torch.zeros(1, 4, 6, 2, dtype=torch.int16)
    assert torch.equal(motion_tokens(vectors), torch.zeros(1, 2, 4, 6))
    vectors[0, 1, 2] = torch.tensor([3, -4])  # 7 from each of its four neighbours, 28 together: five bits
    rough, size = motion_tokens(vectors)[0]
    assert rough[1, 2] == 5 and rough[0, 2] == rough[1, 1] == rough[1, 3] == rough[2, 2] == 3
    assert size[1, 2] == 3 and size.sum() == 3 and rough.sum() == 5 + 4 * 3
    vectors[..., :] = torch.tensor([-32768, 32767])
    assert torch.equal(motion_tokens(vectors)[0], torch.stack([torch.zeros(4, 6), torch.full((4, 6), 15.0)]))


def test_blocks_that_stand_still_and_are_not_coded_are_not_touched():
    torch.manual_seed(0)
    synthesis = VideoSynthesis()
    torch.nn.init.normal_(synthesis.correct.weight)
    in_steps, fields = torch.full((1, LATENTS, 6, 9), 0.4), torch.zeros(1, 2, 6, 9, 2, dtype=torch.int16)
    in_steps[0, 7, 1, 1], fields[0, 1, 4, 7, 0] = -0.5, 1
    active = active_blocks(in_steps, fields)
    expected = torch.zeros(6, 9)
    expected[0:3, 0:3] = expected[3:6, 6:9] = 1
    assert torch.equal(active[0, 0], expected)
    prediction = torch.rand(1, 96, 6, 9)
    difference, memory = torch.rand(1, 96, 6, 9), torch.zeros(1, MEMORY, 6, 9)
    packed, _ = synthesis(in_steps, prediction, difference, memory, torch.tensor([5.0]), active)
    still = (packed == prediction).all(1)[0]
    assert torch.equal(still, expected == 0)


def two_sides(modes):
    y, uv = picture()
    one, other = (Reference(y * k, uv * k, torch.full((1, MEMORY, 8, 12), k), torch.zeros(1, 1, 8, 12)) for k in (1.0, 0.5))
    fields = torch.zeros(1, 2, 8, 12, 2, dtype=torch.int16)
    return pack(y, uv), predict([one, other], fields, torch.full((1, 4, 6), modes), overlapped=True)


@pytest.mark.parametrize(
    ("mode", "share", "difference"), [(ALL, 0.75, 0.5), (DIRECT, 0.75, 0.5), (BEFORE, 1, 0), (AFTER, 0.5, 0)]
)
def test_a_square_is_predicted_from_the_sides_that_its_mode_names(mode, share, difference):
    packed, prediction = two_sides(mode)
    torch.testing.assert_close(prediction.packed, packed * share)
    torch.testing.assert_close(prediction.difference, packed * difference)
    torch.testing.assert_close(prediction.memory, torch.full((1, MEMORY, 8, 12), float(share)))


def test_the_entropy_model_is_told_of_both_sides_but_of_those_that_count():
    fields = torch.zeros(1, 2, 4, 6, 2, dtype=torch.int16)
    fields[:, 1, ..., 0] = 3
    modes = torch.tensor([[[ALL, BEFORE, AFTER], [DIRECT] * 3]])
    told = told_of(fields, modes, 2, torch.tensor([1]))
    assert told.shape == (1, TOLD, 4, 6)
    assert told[0, :, 0, 2].tolist() == [0, 0, 0, 2, 1, 0, 2, 1]
    assert told[0, :, 0, 4].tolist() == [0, 0, 0, 2, 0, 1, 2, 1]
    assert told_of(fields[:, 1:], modes * 0, 0, torch.tensor([4]))[0, :, 1, 1].tolist() == [0, 2, 0, 0, 1, 0, 0, 4]
    latents = [torch.full((1, 1, 4, 6), value) for value in (-2.0, 3.0)]
    assert moved_sizes(latents, fields, modes)[0, 0, ::2, ::2].tolist() == [[3, 2, 3], [3, 3, 3]]


def test_blocks_with_one_small_latent_are_not_coded():
    scaled = torch.zeros(1, LATENTS, 1, 4)
    scaled[0, 3, 0] = torch.tensor([0.8, 0.9, 1.1, -3.0])
    scaled[0, 4:20, 0, 0] = 0.7  # below the dead zone
    assert worth_coding(scaled).flatten().tolist() == [0, 0, 1, 1]


def test_colours_come_back_but_for_a_small_error():
    y, uv = picture(seed=3)
    back = rgb_to_planes(planes_to_rgb(y, uv))
    assert (back[0] - y).abs().max() < 1e-5
    assert (back[1] - uv).square().mean().sqrt() < 0.5 / 255


def test_an_untrained_model_returns_the_prediction_and_gradients_reach_every_parameter():
    torch.manual_seed(0)
    net = VideoNet()
    y, uv = picture()
    fields, row, modes = torch.zeros(1, 2, 8, 12, 2, dtype=torch.int16), torch.tensor([5.0]), torch.zeros(1, 4, 6)
    first = Reference.intra(y, uv)
    reference, bits = net(y, uv, [first], fields[:, :1], modes, 0, torch.tensor([2]), row)
    assert bits.shape == (1,) and bits > 0
    assert reference.y.shape == y.shape and reference.uv.shape == uv.shape
    reference, more = net(y, uv, [first, reference], fields, modes, 1, torch.tensor([1]), row)
    (reference.y.mean() + reference.features.square().mean() + bits + more).sum().backward()
    untouched = [name for name, p in net.named_parameters() if p.grad is None and p.requires_grad]
    assert untouched == []


def test_a_picture_is_predicted_from_itself_and_told_of_as_no_frame_is():
    y, uv = picture()
    prediction = unmoved(Reference.intra(y, uv))
    assert torch.equal(prediction.packed, pack(y, uv)) and not prediction.difference.any() and not prediction.memory.any()
    told = told_of_picture(torch.tensor([7.5, 2.5]), 8, 12)
    assert told.shape == (2, TOLD, 8, 12) and (told[0, -1] == 8).all() and (told[1, -1] == 2).all() and not told[:, :-1].any()
    one_side = told_of(torch.zeros(1, 1, 8, 12, 2, dtype=torch.int16), torch.zeros(1, 4, 6), 0, torch.tensor([8]))
    assert one_side[0, -1].equal(told[0, -1]) and one_side[:, :-1].any()


def test_the_decoder_of_predicted_frames_keeps_within_twenty_kilomacs_a_pixel():
    net = VideoNet().eval()
    rows, size = torch.tensor([5.0]), 256
    packed, memory = torch.zeros(1, 96, size // 8, size // 8), torch.zeros(1, MEMORY, size // 8, size // 8)
    latents = torch.zeros(1, LATENTS, size // 8, size // 8)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net.synthesis(latents, packed, packed, memory, rows, torch.ones(1, 1, size // 8, size // 8))
        hyper = torch.zeros(1, net.widths.hyper_latents, size // 32, size // 32)
        previous = torch.zeros(1, LATENTS + TOLD, size // 8, size // 8)
        features = net.features(hyper, rows, *latents.shape[2:], previous)
        net.passes(latents, net.steps(rows), features, lambda residual, scale, part: (residual, residual))
    assert 4000 < counter.get_total_flops() / 2 / size**2 < 20000


def test_frames_of_a_level_are_coded_however_convolutions_lay_out_their_results():
    """As on CUDA, where channels do not come last: found when a file of vid3 was decoded there."""

    def symbols_of(model):
        steps = model.steps(5, 6, 300, n=2)
        step, rng, found = next(steps), np.random.default_rng(0), []
        while True:
            try:
                step = steps.send(rng.integers(-1, 2, step.table_ids.shape).astype(np.int32))
            except StopIteration as end:
                return found, end.value
            found.append(step.table_ids)

    tensors = load_file(weights.decoder_path(weights.VIDEO_MODEL))
    usual, other = (EntropyModel(tensors, torch.device("cpu")) for _ in range(2))
    for layers in other.contexts:
        layers[1] = lambda x, layer=layers[1]: layer(x).permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    for one, same in zip(symbols_of(usual)[0], symbols_of(other)[0], strict=True):
        assert np.array_equal(one, same)
