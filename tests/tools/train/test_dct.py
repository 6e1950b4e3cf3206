"""The transform of the video model is what it is said to be."""

import torch
from safetensors.torch import load_file

from vqc.models import weights
from vqc.tools.train.dct import cosine_axes


def test_the_axes_are_orthonormal_and_begin_with_the_mean():
    axes = cosine_axes()
    torch.testing.assert_close(axes @ axes.t(), torch.eye(96), atol=1e-5, rtol=0)
    torch.testing.assert_close(axes[0, :64], torch.full((64,), 1 / 8))


def test_the_model_that_ships_has_these_axes():
    patch = load_file(weights.encoder_path(weights.VIDEO_MODEL))["analysis.patch.weight"].float()[:, :, 0, 0]
    nearest = (patch @ cosine_axes().t()).abs()
    assert (nearest.max(1).values > 0.999).all() and len(nearest.argmax(1).unique()) == len(patch)
