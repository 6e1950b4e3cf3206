"""Integer layers: the same numbers as plain integer arithmetic, and refused when they could overflow."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vqc.models.exact import (
    ACCUMULATOR,
    LIMIT,
    ExactDepthwise,
    ExactLinear,
    exact_dtype,
    exp2_fixed,
    make_exp2_table,
    quantise_layer,
)

CPU = torch.device("cpu")


def integer_layer(seed: int, outputs: int = 24, inputs: int = 40, scale: float = 1.0):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, inputs, generator=generator) * scale / inputs**0.5
    bias = torch.randn(outputs, generator=generator)
    return weight, bias, quantise_layer(weight, bias)


def reference(weight, bias, shift, tokens, low, high):
    """floor((W a + b) / 2^shift), clipped, with Python's own integers."""
    total = tokens.astype(object) @ weight.numpy().astype(object).T + bias.numpy().astype(object)
    return np.array([[min(max(int(v) >> int(s), low), high) for v, s in zip(row, shift.numpy())] for row in total])


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_linear_layer_equals_python_integers(scale, dtype):
    _, _, (weight, bias, shift) = integer_layer(3, scale=scale)
    tokens = np.random.default_rng(0).integers(-LIMIT, LIMIT + 1, (50, 40))
    layer = ExactLinear(weight, bias, shift, 0, LIMIT).to(CPU, dtype)
    found = layer(torch.from_numpy(tokens).to(dtype)).numpy()
    assert np.array_equal(found, reference(weight, bias, shift, tokens, 0, LIMIT))


def test_linear_layer_is_exact_at_the_extremes():
    """All activations at the limit with the signs of the weights: the largest sum a layer can reach."""
    _, _, (weight, bias, shift) = integer_layer(4)
    tokens = np.sign(weight.numpy().astype(int)) * LIMIT
    layer = ExactLinear(weight, bias, shift).to(CPU, torch.float32)
    found = layer(torch.from_numpy(tokens).float()).numpy()
    assert np.array_equal(found, reference(weight, bias, shift, tokens, -(2**40), 2**40))


def test_layer_stands_for_the_floating_point_one():
    weight, bias, (w, b, s) = integer_layer(5)
    x = torch.randn(200, 40, generator=torch.Generator().manual_seed(1)).clamp(-15, 15)
    layer = ExactLinear(w, b, s, -LIMIT, LIMIT).to(CPU, torch.float32)
    found = layer(torch.round(x * 64)) / 64
    expected = (x @ weight.t() + bias).clamp(-LIMIT / 64, LIMIT / 64)
    assert (found - expected).abs().max() < 3 / 64


def test_depthwise_layer_equals_integer_convolution():
    generator = torch.Generator().manual_seed(2)
    weight, bias, shift = quantise_layer(torch.randn(8, 3, 3, generator=generator), torch.randn(8, generator=generator))
    tokens = torch.randint(-LIMIT, LIMIT + 1, (2, 7, 5, 8), generator=generator)
    found = ExactDepthwise(weight, bias, shift).to(CPU, torch.float32)(tokens.float())
    padded = np.pad(tokens.numpy().astype(np.int64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    total = sum(padded[:, i : i + 7, j : j + 5] * weight.numpy().astype(np.int64)[:, i, j] for i in range(3) for j in range(3))
    expected = np.clip((total + bias.numpy()) >> shift.numpy().astype(np.int64), -LIMIT, LIMIT)
    assert np.array_equal(found.numpy(), expected)


def test_layer_that_could_leave_float32_is_refused():
    weight = torch.full((1, 40), ACCUMULATOR // (40 * LIMIT) + 1, dtype=torch.int16)
    zero = torch.zeros(1, dtype=torch.int32)
    with pytest.raises(ValueError, match="beyond 2\\^24"):
        ExactLinear(weight, zero, zero.to(torch.int8))
    with pytest.raises(ValueError, match="beyond 2\\^24"):
        ExactDepthwise(torch.full((1, 3, 3), 2000, dtype=torch.int16), zero, zero.to(torch.int8))


@given(st.integers(0, 2**31), st.floats(1e-4, 50), st.integers(1, 700))
def test_quantised_weights_never_reach_the_accumulator_limit(seed, scale, inputs):
    _, _, (weight, bias, shift) = integer_layer(seed, outputs=3, inputs=inputs, scale=scale)
    ExactLinear(weight, bias, shift)  # checks the bound itself


def test_weights_too_large_for_any_shift_are_refused():
    with pytest.raises(ValueError, match="too large"):
        quantise_layer(torch.full((1, 400), 1e9), torch.zeros(1))


@given(st.lists(st.integers(-12 * 1024, 8 * 1024), min_size=1, max_size=50))
def test_exp2_lookup_is_within_half_a_unit_and_a_table_step(logs):
    log2 = np.array(logs, dtype=np.int64)
    found = exp2_fixed(log2, make_exp2_table(), 16)
    table_step = np.exp2(log2 // 1024 + 16 - 31)  # half of 2^-30, as far as it is shifted
    assert np.all(np.abs(found - np.exp2(log2 / 1024 + 16)) <= 0.5 + table_step + 1e-6)


def test_reduced_matmul_precision_switches_to_float64():
    """Somebody's torch.set_float32_matmul_precision must not change what a file decodes to."""
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        dtype = exact_dtype(CPU)
        a = torch.randint(-LIMIT, LIMIT + 1, (64, 161)).to(dtype)
        w = torch.randint(-90, 91, (161, 32)).to(dtype)
        assert torch.equal((a @ w).double(), a.double() @ w.double())
    finally:
        torch.set_float32_matmul_precision(before)
