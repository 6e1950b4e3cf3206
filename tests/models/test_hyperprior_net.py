"""What the networks of the entropy model that trains do where arithmetic is coarse."""

import torch

from vqc.models.hyperprior_net import HyperEncoder, Widths, fast_asinh


def test_fast_asinh_is_asinh():
    x = torch.cat([torch.linspace(-1e-3, 1e-3, 201), torch.linspace(-500, 500, 2001), torch.tensor([0.0, -0.0])])
    assert torch.allclose(fast_asinh(x), torch.asinh(x), rtol=1e-5, atol=3e-7)


def test_small_latents_have_a_gradient_in_bfloat16():
    encoder = HyperEncoder(Widths((4,), 2, 4, 4))
    latents = (torch.rand(1, 4, 8, 8) * 0.01).bfloat16().requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16):
        encoder(latents).sum().backward()
    assert (latents.grad != 0).float().mean() > 0.9
