"""Groups of frames that are rare, and such that no encoder makes."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import vqc
from vqc.bitstream import Corrupt, Reader
from vqc.video import Frame
from vqc.video_decoding import group_frames
from vqc.video_payload import pack_group, unpack_group

GOLDEN = Path(__file__).parents[1] / "golden"


def test_a_single_frame_comes_back_at_any_quality():
    rng = np.random.default_rng(3)
    y = (128 + 60 * np.sin(rng.normal(0, 1, (48, 80)).cumsum(0).cumsum(1) / 6)).astype(np.uint8)
    frame = Frame(y, np.stack([y[::2, ::2], 255 - y[::2, ::2]]), 0)
    quality = []
    for wanted in (20, 60, 100):
        data = vqc.encode(iter([frame]), fps=25, quality=wanted)
        (result,) = vqc.decode(data)
        quality.append(10 * np.log10(255**2 / np.mean((result.y.astype(float) - y) ** 2)))
    assert quality == sorted(quality) and quality[2] > quality[0] + 1


@pytest.mark.parametrize("model", ["vid1", "vid2"])
def test_a_model_without_frames_in_between_is_not_asked_for_them(model):
    """Found in review: it ended in a ValueError about tables."""
    reader = Reader(io.BytesIO((GOLDEN / f"v1-{model}-clip.vqc").read_bytes()))
    segment = next(reader.segments())
    group = unpack_group(segment, reader.header)
    changed = replace(segment, payload=pack_group(replace(group, runs=(len(group.ticks) - 1,)), reader.header, 0))
    with pytest.raises(Corrupt, match=f"from both sides, which model '{model}' does not do"):
        list(group_frames(changed, reader.header, torch.device("cpu")))
