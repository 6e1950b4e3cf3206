"""The exact entropy model: one generator for both directions, the same numbers however it is run."""

import numpy as np
import pytest
import torch

from vqc.models import weights
from vqc.models.entropy_model import QUALITY_MAX, SCALE_TABLES
from vqc.models.transform import LATENTS

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def decoder():
    return weights.image_decoder(weights.IMAGE_MODEL, CPU)


def run(entropy, h, w, quality, seed=0):
    """Feeds random symbols through the generator; returns all it asked for and what it returned."""
    rng = np.random.default_rng(seed)
    steps = entropy.steps(h, w, quality)
    asked, step = [], next(steps)
    while True:
        asked.append(step)
        symbols = rng.integers(-3, 4, step.table_ids.shape).astype(np.int32)
        try:
            step = steps.send(symbols)
        except StopIteration as end:
            return asked, end.value


@pytest.mark.parametrize(("h", "w"), [(1, 1), (1, 5), (3, 2), (8, 8), (5, 13)])
def test_every_latent_is_coded_exactly_once(decoder, h, w):
    asked, latents = run(decoder.entropy, h, w, 500)
    seen = np.zeros((h * w, LATENTS), int)
    for step in asked[1:]:
        seen[step.positions, step.channels] += 1
    assert (seen == 1).all()
    assert latents.shape == (h * w, LATENTS) and np.isfinite(latents).all()


def test_table_ids_name_existing_tables(decoder):
    asked, _ = run(decoder.entropy, 6, 6, 0)
    low, size, counts = decoder.tables
    assert asked[0].table_ids.min() == SCALE_TABLES and asked[0].table_ids.max() == len(size) - 1
    assert all(step.table_ids.max() < SCALE_TABLES for step in asked[1:])
    assert size[0] == 1 and (size[1:] > 2).all() and size.sum() == len(counts) and len(low) == len(size)


def test_two_runs_ask_for_the_same(decoder):
    first, _ = run(decoder.entropy, 9, 7, 333)
    second, _ = run(decoder.entropy, 9, 7, 333)
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.table_ids, b.table_ids)
        assert (a.means is None) == (b.means is None) and (a.means is None or np.array_equal(a.means, b.means))


def test_float64_gives_the_same_integers_as_float32(decoder):
    """What a CUDA device computes in float64 must be what a CPU computes in float32."""
    asked, latents = run(decoder.entropy, 8, 12, 640)
    tensors = weights.load_tensors(weights.decoder_path(weights.IMAGE_MODEL).read_bytes())
    wide = type(decoder.entropy)(tensors, CPU)
    wide.dtype = torch.float64
    for layer in [*wide.hyper_layers, *(layer for context in wide.contexts for layer in context)]:
        layer.weight, layer.bias = layer.weight.double(), layer.bias.double()
    again, same = run(wide, 8, 12, 640)
    assert np.array_equal(latents, same)
    assert all(np.array_equal(a.table_ids, b.table_ids) for a, b in zip(asked, again, strict=True))


def test_layers_do_not_depend_on_the_batch(decoder):
    mix, spatial, widen, out = decoder.entropy.contexts[5]
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 1024, (4, 8, 8, mix.weight.shape[0]), generator=generator).to(decoder.entropy.dtype)
    together = out(widen(spatial(mix(tokens))))
    alone = torch.cat([out(widen(spatial(mix(tokens[i : i + 1])))) for i in range(4)])
    assert torch.equal(together, alone)


def test_extreme_symbols_stay_finite(decoder):
    """A damaged file can hold any symbol; the model must go on, so that the digest can tell."""
    steps = decoder.entropy.steps(4, 4, 1000)
    step = next(steps)
    while True:
        try:
            step = steps.send(np.full(step.table_ids.shape, 2**31 - 1, np.int32))
        except StopIteration as end:
            assert np.isfinite(end.value).all()
            break


def test_steps_shrink_with_quality_and_are_continuous(decoder):
    sizes = [decoder.entropy.step_sizes(q) for q in range(0, QUALITY_MAX + 1, 50)]
    means = [s.fixed.mean() for s in sizes]
    assert means == sorted(means, reverse=True) and means[0] > 5 * means[-1]
    for q in (0, 99, 100, 101, 999):
        a, b = decoder.entropy.step_sizes(q), decoder.entropy.step_sizes(q + 1)
        assert np.abs(np.log(a.fixed / b.fixed)).max() < 0.02


@pytest.mark.parametrize("quality", [-1, QUALITY_MAX + 1])
def test_quality_outside_the_range_is_refused(decoder, quality):
    with pytest.raises(ValueError, match="outside"):
        decoder.entropy.step_sizes(quality)


def test_step_and_inverse_are_reciprocal(decoder):
    sizes = decoder.entropy.step_sizes(470)
    assert np.allclose(sizes.fixed * 2.0**-16 * sizes.inverse * 2.0**-12, 1, atol=2e-3)


def test_decoder_is_within_its_budget():
    """At most 25 kMAC a pixel in synthesis and entropy networks together, counted from the weights."""
    tensors = weights.load_tensors(weights.decoder_path(weights.IMAGE_MODEL).read_bytes())
    per_latent = 0.0
    for name, tensor in tensors.items():
        if not name.endswith("weight"):
            continue
        macs = tensor.numel()
        if name.startswith("synthesis.from_latents"):
            share = 1
        elif name.startswith("synthesis"):
            share = 4  # one feature vector for each 8x8 pixels
        elif name.startswith("hyper.0"):
            share = 1 / 16
        elif name.startswith(("hyper.1", "hyper.2")):
            share = 1 / 4
        elif name.endswith((".2.weight", ".3.weight")) and name.startswith("context"):
            share = 1 / 2  # behind the choice of positions
        else:
            share = 1
        per_latent += macs * share
    assert 15_000 < per_latent / 256 < 25_000
