"""Blocks that are copied or left out are those that interpolation of all of them gives."""

import pytest
import torch

from vqc.models.moved_blocks import moved_blocks
from vqc.models.video_transform import motion_tokens, warped_blocks


@pytest.mark.parametrize("channels, height, width", [(1, 48, 80), (2, 24, 40)])
@pytest.mark.parametrize("step, farthest", [(1, 40), (8, 10), (1, 2000), (0, 1), (1, 32767)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_blocks_that_are_used_are_those_of_the_whole_warp(channels, height, width, step, farthest, layout):
    random = torch.Generator().manual_seed(step + farthest)
    source = torch.rand(2, channels, height, width, generator=random).contiguous(memory_format=layout)
    vectors = (torch.randint(-farthest, farthest + 1, (2, 6, 10, 2), generator=random) * step).to(torch.int16)
    vectors[:, :2] = vectors[:, :2] // 8 * 8  # some of whole samples in any case
    used = torch.rand(2, 6, 10, generator=random) < 0.7
    with torch.inference_mode():
        found, expected = moved_blocks(source, vectors, used), warped_blocks(source, vectors)
    kept = used.flatten(1)[:, None, :, None]
    assert torch.allclose(found, expected * kept, atol=1e-3)
    assert not torch.equal(found, torch.zeros_like(found))


def test_blocks_that_stand_still_are_copied_exactly():
    source = torch.rand(1, 1, 32, 48)
    still = torch.zeros(1, 4, 6, 2, dtype=torch.int16)
    with torch.inference_mode():
        found = moved_blocks(source, still, torch.ones(1, 4, 6, dtype=torch.bool))
    assert torch.equal(found.view(4, 6, 8, 8).transpose(1, 2).reshape(32, 48), source[0, 0])


def test_motion_tokens_are_as_when_they_were_counted():
    vectors = torch.randint(-300, 301, (2, 7, 9, 2), generator=torch.Generator().manual_seed(7)).to(torch.int16)
    field = torch.nn.functional.pad(vectors.long(), (0, 0, 1, 1, 1, 1))
    inside = torch.nn.functional.pad(torch.ones(7, 9), (1, 1, 1, 1)).bool()
    rough = torch.zeros(2, 7, 9, dtype=torch.long)
    for y, x in ((0, 1), (2, 1), (1, 0), (1, 2)):
        away = (field[:, y : y + 7, x : x + 9] - vectors).abs().sum(-1)
        rough += torch.where(inside[y : y + 7, x : x + 9], away, 0)
    sizes = torch.stack([rough, vectors.long().abs().sum(-1)], dim=1)
    assert torch.equal(motion_tokens(vectors), (sizes[..., None] >= 2 ** torch.arange(15)).sum(-1).float())


def test_motion_tokens_count_bits():
    vectors = torch.zeros(1, 1, 5, 2, dtype=torch.int16)
    vectors[0, 0, :, 0] = torch.tensor([0, 1, 3, 4, 32767])
    assert motion_tokens(vectors)[0, 1, 0].tolist() == [0, 1, 2, 3, 15]
