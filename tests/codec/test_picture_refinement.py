"""Pictures of videos refined: smaller for what they are worth, tile by tile as at once, blocks that count more better."""

import numpy as np
import pytest
import torch

from vqc import picture_refinement
from vqc.latent_coding import encode_latents
from vqc.models import weights
from vqc.models.colour import planes_to_rgb
from vqc.models.image_refinement import ImageRefiner, slope_of_quality
from vqc.picture_refinement import PlaneError, refine_picture
from vqc.video_decoding import decode_picture

CPU, QUALITY = torch.device("cpu"), 500


def planes(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Soft noise with edges, 0..1."""
    rng = np.random.default_rng(3)
    rough = torch.from_numpy(rng.random((1, 3, height // 8, width // 8), dtype=np.float32))
    y = torch.nn.functional.interpolate(rough[:, :1], size=(height, width), mode="bicubic").clamp(0, 1)
    y[..., height // 3 : height // 2, :] *= 0.5
    return y, torch.nn.functional.interpolate(rough[:, 1:], size=(height // 2, width // 2), mode="bilinear") * 0.3 + 0.35


def analysed(y: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
    encoder = weights.image_encoder(weights.IMAGE_MODEL, CPU)
    return encoder.analyse(planes_to_rgb(y, uv)[0].permute(1, 2, 0).contiguous().numpy(), QUALITY)


def coded(latents: torch.Tensor, hyper: np.ndarray) -> tuple[int, torch.Tensor, torch.Tensor]:
    """Bits, and the decoded planes."""
    encoder, decoder = weights.image_encoder(weights.IMAGE_MODEL, CPU), weights.image_decoder(weights.IMAGE_MODEL, CPU)
    data, _ = encode_latents(encoder, decoder, latents, hyper, QUALITY)
    reference, _ = decode_picture(decoder, data, *latents.shape[2:], QUALITY)
    return 8 * len(data), reference.y, reference.uv


def refined(y: torch.Tensor, uv: torch.Tensor, worth: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
    return refine_picture(weights.image_refiner(weights.IMAGE_MODEL, CPU), analysed(y, uv), y, uv, worth, QUALITY)


def test_a_refined_picture_costs_less():
    y, uv = planes(96, 128)
    error = PlaneError(y, uv, torch.ones(1, 1, 96, 128))
    latents = analysed(y, uv)

    def cost(latents: torch.Tensor, hyper: np.ndarray) -> float:
        bits, *decoded = coded(latents, hyper)
        return bits + slope_of_quality(QUALITY) * float(error(planes_to_rgb(*decoded)))

    before = cost(latents, weights.image_encoder(weights.IMAGE_MODEL, CPU).hyper(latents))
    assert cost(*refined(y, uv, np.ones((1, 1)))) < 0.99 * before


def test_blocks_that_are_worth_more_become_better():
    y, uv = planes(96, 128)
    worth = np.ones((12, 16))
    worth[:, :8], worth[:, 8:] = 3, 1 / 3
    plain, weighed = (coded(*refined(y, uv, w))[1] - y for w in (np.ones((1, 1)), worth))
    left, right = (
        float(weighed[..., half].square().mean() / plain[..., half].square().mean())
        for half in (slice(0, 56), slice(72, 128))
    )
    assert left < 1 < right


@pytest.mark.parametrize("size", [(64, 16), (80, 144), (16, 208)])
def test_tiles_join(monkeypatch, size):
    """Refined in tiles of 64 pixels: every latent is set, and the outcome near that of the whole."""
    y, uv = planes(*size)
    whole, hyper = refined(y, uv, np.ones((1, 1)))
    monkeypatch.setattr(picture_refinement, "TILE", 6)
    parts, hyper_of_parts = refined(y, uv, np.ones((1, 1)))
    assert parts.isfinite().all() and hyper.shape == hyper_of_parts.shape
    moved = float((whole - analysed(y, uv)).square().mean())
    assert float((whole - parts).square().mean()) < 0.5 * moved


def test_refinement_that_diverges_leaves_the_picture_as_it_was(monkeypatch):
    monkeypatch.setattr(ImageRefiner, "_descend", lambda *_: None)
    y, uv = planes(32, 48)
    latents, hyper = refined(y, uv, np.ones((1, 1)))
    assert torch.equal(latents, analysed(y, uv))
    assert np.array_equal(hyper, weights.image_encoder(weights.IMAGE_MODEL, CPU).hyper(latents))
