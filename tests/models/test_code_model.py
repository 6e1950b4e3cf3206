"""The entropy model of codes: its counts, its two directions, and the network that it replaces."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vqc.models.code_model import TOTAL, CodeModel, counts_of, make_powers
from vqc.models.code_net import CodeNet
from vqc.tools.export_rvq import export_codes

STAGES, SIZE = 3, 32
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(2)
    net = CodeNet(STAGES, SIZE).eval().requires_grad_(False)
    for parameter in net.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    return net


@pytest.fixture(scope="module")
def tensors(net):
    return export_codes(net)


def run(model, codes, h, w):
    """Sends codes (h * w, stages) through the model; returns the counts of all steps and what the generator returned."""
    steps, counts = model.steps(h, w, codes.shape[1]), []
    step = next(steps)
    while True:
        counts.append(step.counts)
        try:
            step = steps.send(codes[step.positions, step.stage])
        except StopIteration as end:
            return counts, end.value


log2 = arrays.arrays(np.int32, st.tuples(st.integers(1, 5), st.integers(2, 60)), elements=st.integers(-(2**24), 2**24))


@given(log2)
def test_counts_are_what_the_coder_takes(log2):
    counts = counts_of(log2, make_powers())
    assert counts.min() >= 1 and (counts.sum(axis=1) == TOTAL).all()
    assert (np.take_along_axis(counts, log2.argmax(1)[:, None], 1)[:, 0] == counts.max(1)).all()
    assert np.array_equal(counts, counts_of(log2 + 77, make_powers())), "a constant changes nothing"


def test_counts_are_the_softmax():
    log2 = np.random.default_rng(0).integers(-600, 600, (20, 1024))
    p = np.exp2(log2 / 64)
    p /= p.sum(1, keepdims=True)
    counts = counts_of(log2, make_powers())
    assert np.abs(counts / TOTAL - p).max() < 1e-3
    loss = (p * np.log2(p / (counts / TOTAL))).sum(1)
    assert loss.max() < 0.001, "bits lost to rounding"


@pytest.mark.parametrize(("h", "w"), [(1, 1), (1, 2), (1, 9), (2, 1), (2, 8)])
def test_codes_come_back_and_every_position_is_asked_once(tensors, h, w):
    codes = np.random.default_rng(1).integers(0, SIZE, (h * w, STAGES)).astype(np.int32)
    counts, found = run(CodeModel(tensors, CPU), codes, h, w)
    assert np.array_equal(found, codes)
    assert sum(map(len, counts)) == codes.size


def test_float32_and_float64_give_the_same_counts(tensors):
    codes = np.random.default_rng(2).integers(0, SIZE, (2 * 20, STAGES)).astype(np.int32)
    found = [run(CodeModel(tensors, CPU, dtype), codes, 2, 20)[0] for dtype in (torch.float32, torch.float64)]
    assert all(np.array_equal(a, b) for a, b in zip(*found))


def test_counts_depend_on_what_is_known_alone(tensors):
    """A code that comes later changes no counts before it: else decoding could not follow."""
    rng = np.random.default_rng(3)
    codes = rng.integers(0, SIZE, (12, STAGES)).astype(np.int32)
    model = CodeModel(tensors, CPU)
    before, _ = run(model, codes, 1, 12)
    for stage in range(STAGES):
        for parity in (0, 1):
            changed = codes.copy()
            changed[parity::2, stage] = rng.integers(0, SIZE, 6)
            after, _ = run(model, changed, 1, 12)
            for step in range(2 * stage + parity + 1):
                assert np.array_equal(before[step], after[step])
            if stage == 0:
                assert not np.array_equal(before[-1], after[-1]), "later stages see it"


def test_integers_predict_what_the_network_does(net, tensors):
    h, w = 2, 12
    codes = torch.randint(0, SIZE, (h * w, STAGES), generator=torch.Generator().manual_seed(4))
    counts, _ = run(CodeModel(tensors, CPU), codes.numpy().astype(np.int32), h, w)
    parity = (torch.arange(h)[:, None] + torch.arange(w)) % 2
    known, step = torch.zeros(1, net.vectors.shape[2], h, w), 0
    for stage in range(STAGES):
        vector = net.vector(stage, codes[:, stage].view(1, h, w))
        for p in (0, 1):
            seen = torch.cat([known, vector * (parity == 0)], dim=1) if p else known
            features = net.features(stage, p, torch.tensor([float(STAGES)]), seen)
            logits = net.heads[stage](features.permute(0, 2, 3, 1))[0][parity == p]
            expected = torch.softmax(logits * math.log(2), dim=1).numpy()
            divergence = (expected * np.log2(expected / (counts[step] / TOTAL))).sum(1)
            assert divergence.mean() < 0.02
            step += 1
        known = known + vector
