"""Residual vector quantisation: k-means, codebooks under their linear map, thrift, and the two halves as they ship."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from vqc.models import residual_vq, weights
from vqc.models.audio_rvq import stages_of, thrift_of
from vqc.models.code_net import CodeNet
from vqc.models.compact import packed, unpacked
from vqc.models.residual_vq import ResidualVQ, halves, k_means, nearest, split_cells, usage
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


def test_a_cell_is_cut_where_it_varies_most():
    torch.manual_seed(3)
    vectors = torch.randn(400, 6) * torch.tensor([9.0, 1, 1, 1, 1, 1])
    low, high = sorted(halves(vectors), key=lambda mean: float(mean[0]))
    assert low[0] < -6 and high[0] > 6 and low[1:].abs().max() < 0.5


def test_codes_left_aside_share_the_cells_of_largest_error():
    torch.manual_seed(4)
    vectors = torch.cat([torch.randn(300, 4), 50 + 0.1 * torch.randn(100, 4)])
    book = torch.stack([torch.zeros(4), torch.full((4,), 50.0), torch.full((4,), -900.0)])
    before = (vectors - book[nearest(vectors, book)]).square().mean()
    moved, parents = split_cells(vectors, nearest(vectors, book), book, 5)
    assert (moved.tolist(), parents.tolist()) == ([2], [0])
    codes = nearest(vectors, book)
    assert (torch.bincount(codes) > 50).all() and (vectors - book[codes]).square().mean() < 0.9 * before


def test_with_heavy_tails_more_codes_are_used_than_by_k_means_alone(monkeypatch):
    """Which gives codes to lone vectors far out, near which no other vector lies."""

    def found() -> tuple[float, float]:
        torch.manual_seed(5)
        vectors = torch.randn(12000, 16) * torch.exp(0.5 * torch.randn(12000, 1))
        book = k_means(vectors[:8000], 128)
        return usage(torch.bincount(nearest(vectors[8000:], book), minlength=128))

    used, even = found()
    monkeypatch.setattr(residual_vq, "LEAST", 0.0)
    used_before, even_before = found()
    assert used > used_before + 0.02 and even > even_before + 0.05


def test_revived_codes_are_found_through_the_linear_map():
    torch.manual_seed(6)
    quantiser = ResidualVQ(1, 8, 3)
    quantiser.base[0] = 5 + torch.randn(8, 3)
    quantiser.base[0, 0] = 0
    with torch.no_grad():
        quantiser.matrix += 0.2 * torch.randn(1, 3, 3)
    vectors = torch.randn(500, 3)
    codes = nearest(vectors, quantiser.codebook(0))
    moved, parents = quantiser.revive(0, vectors, codes, 5)
    assert len(moved) == len(parents) >= 1
    after = nearest(vectors, quantiser.codebook(0))
    assert all((after == code).sum() > 50 for code in [*moved.tolist(), *parents.tolist()])


def test_a_revived_code_takes_half_of_the_probability():
    net = CodeNet(1, 5)
    features = torch.randn(7, 64)
    before = torch.softmax(net.heads[0](features) * math.log(2), 1)
    net.share(0, torch.tensor([4]), torch.tensor([1]))
    after = torch.softmax(net.heads[0](features) * math.log(2), 1)
    assert torch.allclose(after[:, 1], after[:, 4]) and torch.equal(net.vectors[0, 4], net.vectors[0, 1])
    assert torch.allclose(after[:, 1] / after[:, 0], before[:, 1] / before[:, 0] / 2, rtol=1e-4)


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
    assert weights.decoder_path(weights.TOKEN_MODEL).stat().st_size <= 12e6
    decoder = weights.audio_decoder(weights.TOKEN_MODEL, torch.device("cpu"))
    assert decoder.codebooks.shape[:2] == (decoder.codes.stages, decoder.codes.size)
    latents = decoder.dequantise(np.zeros((6, 2), np.int32), 2, 3, 0)
    assert latents.shape == (384, 2, 3) and latents.dtype == np.float32
