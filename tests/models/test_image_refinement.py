"""Refinement lowers what it minimises, and its parts are what they claim."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vqc import api
from vqc.models import image_refinement as refinement
from vqc.models import weights
from vqc.models.entropy_model import HYPER_LIMIT, SCALE_TABLES
from vqc.models.image_refinement import SCHEDULES, Scene, SquaredError, soft_round
from vqc.models.symbol_costs import REACH, SymbolCosts

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def refiner():
    return weights.image_refiner(weights.IMAGE_MODEL, CPU)


def scene(height=48, width=64, quality=500):
    y, x = np.mgrid[0:height, 0:width]
    colour = np.stack([0.5 + 0.4 * np.sin(x / (5 + c) + y / 9) for c in range(3)], -1).astype(np.float32)
    latents = weights.image_encoder(weights.IMAGE_MODEL, CPU).analyse(colour, quality).clone()
    image = torch.from_numpy(colour).permute(2, 0, 1)[None]
    whole = slice(0, height // 16), slice(0, width // 16)
    return Scene(SquaredError(image), latents, whole, (slice(0, height), slice(0, width)), quality)


def cost(refiner, scene, scaled, hyper):
    row = torch.tensor([scene.quality / 100])
    step = refiner.net.steps(row)
    with torch.no_grad():
        return float(refiner._cost(scene, row, step, scaled / step, hyper, 0.05, 0.05))


@pytest.mark.parametrize("quality", [0, 300, 1000])
def test_every_effort_lowers_the_cost(refiner, quality):
    seen = scene(quality=quality)
    before = cost(refiner, seen, seen.latents, refiner.net.hyper_encoder(seen.latents))
    after = [cost(refiner, seen, *refiner.refine(seen, schedule)) for schedule in SCHEDULES.values()]
    assert max(after) < 0.99 * before


def test_refinement_is_repeatable_and_leaves_no_trace(refiner):
    seen = scene()
    kept = seen.latents.clone()
    first, second = refiner.refine(seen, SCHEDULES[1]), refiner.refine(seen, SCHEDULES[1])
    assert all(torch.equal(a, b) and not a.requires_grad for a, b in zip(first, second, strict=True))
    assert torch.equal(seen.latents, kept)


def test_only_the_latents_of_the_tile_are_returned(refiner):
    seen = dataclasses.replace(scene(64, 80), own=(slice(1, 3), slice(2, 5)))
    latents, hyper = refiner.refine(seen, SCHEDULES[1])
    assert latents.shape == (1, 320, 2, 3) and hyper.shape == (1, 64, 1, 1)


def test_steps_that_are_too_long_are_shortened_or_given_up(refiner, monkeypatch):
    tried = []
    descend = refinement.ImageRefiner._descend

    def spy(self, scene, schedule, caution):
        tried.append(caution)
        return descend(self, scene, schedule, 1000 * caution)

    monkeypatch.setattr(refinement.ImageRefiner, "_descend", spy)
    seen = scene()
    latents, hyper = refiner.refine(seen, SCHEDULES[1])
    assert tried == [1.0, 0.5, 0.25]
    assert torch.equal(latents, seen.latents) and torch.equal(hyper, refiner.net.hyper_encoder(seen.latents))


def test_the_interface_and_the_model_agree_on_efforts():
    assert api.EFFORT_MAX == refinement.EFFORT_MAX


@given(st.floats(0.02, 0.5))
def test_soft_rounding_goes_from_nought_to_one_and_rises(softness):
    rounded = soft_round(torch.linspace(0, 1, 51), softness)
    assert rounded[0].item() == pytest.approx(0, abs=1e-5) and rounded[-1].item() == pytest.approx(1, abs=1e-5)
    assert rounded[25].item() == pytest.approx(0.5, abs=1e-5) and (rounded.diff() >= 0).all()


def test_costs_are_those_of_the_tables():
    tables = weights.image_decoder(weights.IMAGE_MODEL, CPU).tables
    costs = SymbolCosts(tables, CPU)
    low, size, counts = tables
    start = np.concatenate([[0], np.cumsum(size)])
    for table in (1, 7, 20, 35):
        part = counts[start[table] : start[table + 1]]
        symbols = np.arange(low[table], low[table] + size[table] - 1)
        expected = -np.log2(part[:-1] / part.sum())
        got = costs.latents(torch.from_numpy(symbols).float(), torch.full((len(symbols),), float(table)))
        assert np.allclose(got.numpy(), expected, atol=2e-3)
    hyper = torch.arange(-HYPER_LIMIT, HYPER_LIMIT + 1).float()[None, None, None].expand(1, 64, 1, -1)
    part = counts[start[SCALE_TABLES + 5] : start[SCALE_TABLES + 6]]
    assert np.allclose(costs.hyper(hyper)[0, 5, 0].numpy(), -np.log2(part[:-1] / part.sum()), atol=2e-3)


@given(st.floats(-2.0 * REACH, 2.0 * REACH), st.floats(0, SCALE_TABLES - 1))
def test_costs_are_finite_even_and_between_their_neighbours(symbol, table):
    costs = SymbolCosts(weights.image_decoder(weights.IMAGE_MODEL, CPU).tables, CPU)
    points = [costs.latents(torch.tensor([s]), torch.tensor([t])).item() for s, t in ((symbol, table), (-symbol, table))]
    assert points[0] == points[1] and 0 <= points[0] < 80
    corners = [
        costs.latents(torch.tensor([s]), torch.tensor([t])).item()
        for s in (np.floor(abs(symbol)), np.floor(abs(symbol)) + 1)
        for t in (np.floor(table), min(np.floor(table) + 1, SCALE_TABLES - 1.0))
    ]
    assert min(corners) - 0.05 <= points[0] <= max(corners) + 0.05
