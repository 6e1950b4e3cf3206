"""Effort: smaller cost in real files, any size, no seams, whatever the picture holds."""

import dataclasses
import io

import numpy as np
import pytest
import torch

from vqc import decode, encode, tile_refinement, verify
from vqc.bitstream import Writer
from vqc.image_encoding import encode_segments, header_for
from vqc.models.image_refinement import ImageRefiner, slope_of_quality
from vqc.pixels import Pixels


def picture(height, width, channels=3, dtype=np.uint8):
    """Smooth shapes with some texture."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 70 * np.sin(x / (11 + 3 * c) + y / 29) + 40 * np.cos(y / (7 + c)) for c in range(channels)]
    samples = np.clip(np.stack(planes, -1) + rng.normal(0, 3, (height, width, channels)), 0, 255)
    return (samples * (np.iinfo(dtype).max / 255)).astype(dtype)


def tiled(pixels, quality, effort):
    """A file with tiles of 64 pixels, so that small pictures have many."""
    header = dataclasses.replace(header_for(pixels, quality), tile=6)
    file = io.BytesIO()
    writer = Writer(file, header)
    for segment in encode_segments(pixels, header, torch.device("cpu"), effort):
        writer.segment(segment)
    writer.close()
    return file.getvalue()


def squared_error(original, data):
    return np.square(decode(data).pixels.astype(float) - original).sum() / original.shape[2]


@pytest.mark.parametrize("quality", [15, 70])
def test_effort_costs_less_in_bits_and_error_together(quality):
    original = picture(96, 128)
    plain, refined = (encode(original, quality=quality, effort=effort) for effort in (0, 1))
    cost = [8 * len(d) + slope_of_quality(quality * 10) * squared_error(original, d) for d in (plain, refined)]
    assert cost[1] < 0.98 * cost[0]
    assert 0.85 < len(refined) / len(plain) < 1.15
    assert encode(original, quality=quality, effort=1) == refined


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (17, 31), (65, 3)])
def test_any_size_can_be_refined(size):
    original = picture(*size)
    decoded = decode(encode(original, quality=80, effort=1))
    assert decoded.pixels.shape == original.shape
    assert np.sqrt(np.mean((decoded.pixels.astype(float) - original) ** 2)) < 8


@pytest.mark.parametrize("original", [picture(40, 40, 1), picture(40, 40, 4), picture(40, 40, 3, np.uint16)])
def test_grey_alpha_and_deep_pictures_can_be_refined(original):
    data = encode(original, quality=70, effort=1)
    assert verify(data).ok
    decoded = decode(data).pixels
    assert decoded.dtype == original.dtype and decoded.shape == original.shape
    assert original.shape[2] != 4 or (decoded[..., 3] == original[..., 3]).all()


def test_refined_tiles_join_without_seams():
    """The error beside the borders of tiles is no larger than elsewhere."""
    original = picture(192, 192)
    error = np.abs(decode(tiled(Pixels(original), 500, 1)).pixels.astype(float) - original).mean(2)
    border = np.zeros((192, 192), bool)
    for edge in (64, 128):
        border[edge - 2 : edge + 2] = border[:, edge - 2 : edge + 2] = True
    assert error[border].mean() < 1.15 * error[~border].mean()


def test_refined_latents_that_cost_more_are_not_taken(monkeypatch):
    original = picture(64, 64)
    monkeypatch.setattr(
        tile_refinement.weights.image_refiner(tile_refinement.weights.IMAGE_MODEL, torch.device("cpu")),
        "refine",
        lambda scene, effort: (scene.latents * 3, torch.zeros(1, 64, 1, 1)),
    )
    assert encode(original, effort=1) == encode(original)


def test_a_target_size_is_met_with_effort():
    data = encode(picture(96, 96), target_size=600, effort=1)
    assert abs(len(data) - 600) <= 12


def test_an_interrupt_amid_refinement_leaves_no_file(monkeypatch, vqc, photo):
    calls = []

    def interrupted(*args):
        calls.append(args)
        raise KeyboardInterrupt

    monkeypatch.setattr(ImageRefiner, "_cost", interrupted)
    code, out, _ = vqc("encode", photo, "--effort", "1")
    assert code == 130 and out == "" and len(calls) == 1
    assert [path.name for path in photo.parent.iterdir()] == [photo.name]


def test_a_batch_takes_the_effort_too(vqc, photo, tmp_path):
    plain, refined = tmp_path / "plain", tmp_path / "refined"
    assert vqc("encode", photo, "-o", plain, "--quiet")[0] == 0
    assert vqc("encode", photo, "-o", refined, "--effort", "1", "--quiet")[0] == 0
    one, other = ((folder / "photo.vqc").read_bytes() for folder in (plain, refined))
    assert one != other and len(other) < 1.1 * len(one)


@pytest.mark.parametrize("effort", [-1, 3, 1.5])
def test_effort_out_of_range_is_refused(effort):
    with pytest.raises(ValueError, match="effort"):
        encode(picture(16, 16), effort=effort)


@pytest.mark.parametrize("bpp", [0, -1, float("nan"), float("inf")])
def test_bits_per_pixel_are_a_number_above_zero(bpp):
    with pytest.raises(ValueError, match="bpp must be"):
        encode(picture(16, 16), bpp=bpp)
