"""Residual vector quantisation: k-means, codebooks under their linear map, thrift, and the two halves as they ship."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from vqc.models import weights
from vqc.models.audio_rvq import stages_of, thrift_of
from vqc.models.compact import packed, unpacked
from vqc.models.residual_vq import ResidualVQ, k_means, nearest, usage
from vqc.models.rvq_net import RvqNet


def test_nearest_is_nearest():
    torch.manual_seed(0)
    vectors, book = torch.randn(50, 5), torch.randn(20, 5)
    assert torch.equal(nearest(vectors, book), torch.cdist(vectors, book).argmin(1))


def test_k_means_finds_clusters():
    torch.manual_seed(1)
    centres = 10 * torch.randn(4, 3)
    vectors = (centres[:, None] + 0.1 * torch.randn(4, 200, 3)).flatten(0, 1)
    book = k_means(vectors, 32, 10)
    assert (vectors - book[nearest(vectors, book)]).square().mean() < 0.02


def test_each_stage_leaves_less():
    torch.manual_seed(2)
    vectors = torch.randn(2000, 8)
    quantiser = ResidualVQ(4, 32, 8)
    left = quantiser.fit(vectors)
    residual = vectors
    for stage in range(4):
        book = quantiser.codebook(stage)
        residual = residual - book[nearest(residual, book)]
        assert torch.isclose(residual.square().sum(1).mean(), left[stage + 1])
    assert len(left) == 5 and all(after < 0.85 * before for before, after in pairwise(left))


def test_a_step_moves_every_code():
    """What the linear map is for: also codes that no vector chose."""
    quantiser = ResidualVQ(1, 64, 6)
    quantiser.fit(torch.randn(500, 6))
    before = quantiser.codebook(0)
    (before[3] - torch.ones(6)).square().sum().backward()
    with torch.no_grad():
        quantiser.matrix -= 0.01 * quantiser.matrix.grad
    assert ((quantiser.codebook(0) - before).abs().sum(1) > 0).all()


def test_usage():
    assert usage(torch.tensor([1.0, 1, 1, 1])) == (1.0, pytest.approx(1.0))
    assert usage(torch.tensor([5.0, 0, 0, 0])) == (0.25, pytest.approx(0.25))


def test_stages_run_from_one_to_all():
    found = [stages_of(q, 16) for q in range(1001)]
    assert found[0] == 1 and found[-1] == 16 and sorted(found) == found and set(found) == set(range(1, 17))


def test_thrift_falls_as_quality_grows_until_the_next_stage():
    assert [stages_of(q, 16) for q in (200, 201)] == [4, 5]
    assert thrift_of(200, 16) == 1 and thrift_of(1000, 16) == 1 and thrift_of(0, 16) == 1
    between = [thrift_of(q, 16) for q in range(201, 267)]
    assert between == sorted(between, reverse=True) and 2 < between[0] < 2.5 and 1 < between[-1] < 1.1


def test_packed_weights_are_near():
    tensors = {"a": torch.randn(64, 128), "b": torch.randn(10), "c": torch.zeros(64, 64)}
    found = unpacked(packed(tensors))
    assert found.keys() == tensors.keys()
    assert (found["a"] - tensors["a"]).abs().max() < 0.02 and torch.equal(found["c"], tensors["c"])


def test_gradients_reach_what_they_should():
    torch.manual_seed(5)
    net = RvqNet().train()
    net.quantiser.base *= 0.05  # random codes as large as the vectors would only add to the error
    wave = 0.1 * torch.randn(2, 1, 9 * 960)
    out = net(wave, torch.tensor([1, 3]))
    assert out["codes"].shape == (2, 1, 8, 3) and out["wave"].shape == wave.shape
    out["rate"].sum().backward(retain_graph=True)
    assert net.analysis.trunk.enter.weight.grad is None, "the entropy model learns from the transforms, not they from it"
    assert net.code_model.heads[0].weight.grad is not None and net.code_model.heads[3].weight.grad is None
    out["wave"].square().mean().backward()
    assert net.project.weight.grad.abs().sum() > 0 and net.quantiser.matrix.grad[0].abs().sum() > 0


def test_shipped_model_keeps_to_its_budget():
    assert weights.decoder_path("rvq1").stat().st_size <= 12e6
    decoder = weights.audio_decoder("rvq1", torch.device("cpu"))
    assert decoder.codebooks.shape[:2] == (decoder.codes.stages, decoder.codes.size)
    latents = decoder.dequantise(np.zeros((6, 2), np.int32), 2, 3, 0)
    assert latents.shape == (384, 2, 3) and latents.dtype == np.float32
