"""The transforms of the audio model before any training, and its noise."""

import numpy as np
import torch

from vqc.models.audio_hyperprior import noise
from vqc.models.audio_net import AudioNet
from vqc.models.audio_transform import BANDS, HOP, Envelope, band_edges, band_matrix, inverse_mdct, mdct, window


def direct_mdct(frame: np.ndarray) -> np.ndarray:
    """The defining sum over 1920 windowed samples."""
    n, k = np.arange(2 * HOP), np.arange(HOP)[:, None]
    return np.sqrt(2 / HOP) * np.cos(np.pi / HOP * (n + 0.5 + HOP / 2) * (k + 0.5)) @ (frame * window().double().numpy())


def test_mdct_is_the_defining_sum():
    wave = np.random.default_rng(0).normal(size=2 * HOP)
    found = mdct(torch.from_numpy(wave).float()[None])[0, 0].numpy()
    assert np.abs(found - direct_mdct(wave)).max() < 1e-4


def test_mdct_reconstructs_all_but_the_ends():
    wave = torch.randn(2, 2, 7 * HOP)
    spectrum = mdct(wave)
    assert spectrum.shape == (2, 2, 6, HOP)
    assert (inverse_mdct(spectrum) - wave)[..., HOP:-HOP].abs().max() < 1e-5


def test_bands_cover_every_bin_once():
    edges = band_edges()
    assert len(edges) == BANDS + 1 and edges[0] == 0 and edges[-1] == HOP and (edges.diff() >= 1).all()
    assert (band_matrix().sum(1) == 1).all()


def test_envelope_latents_give_the_level_back():
    envelope = Envelope()
    spectrum = torch.full((1, HOP, 1, 3), 0.05)
    log_amplitude = envelope.log_amplitude(envelope(spectrum))
    assert torch.allclose(torch.exp(log_amplitude - 4), spectrum, rtol=1e-3)


def test_untrained_network_is_a_transform_codec():
    """Without quantisation errors to speak of, low frequencies come back."""
    torch.manual_seed(0)
    net = AudioNet().eval().requires_grad_(False)
    t = torch.arange(12 * HOP) / 48000
    wave = (0.2 * torch.sin(2 * torch.pi * 440 * t) + 0.1 * torch.sin(2 * torch.pi * 1700 * t))[None, None]
    latents = net.analysis(wave, torch.tensor([10.0]))
    quiet = torch.zeros(1, HOP, 1, latents.shape[3])
    decoded = inverse_mdct(net.synthesis.spectrum(latents, quiet, torch.tensor([10.0])).permute(0, 2, 3, 1))
    error = (decoded - wave)[..., HOP:-HOP].square().mean() / wave.square().mean()
    assert error < 1e-4


def test_noise_is_white_and_the_same_wherever_it_is_asked_for():
    whole, part = noise(5, 40, 2), noise(17, 3, 2)
    assert np.array_equal(whole[:, :, 12:15], part)
    assert abs(whole.mean()) < 0.01 and abs(whole.std() - 1) < 0.01
    assert abs((whole[:, 0] * whole[:, 1]).mean()) < 0.02 and abs((whole[:-1] * whole[1:]).mean()) < 0.02
    assert float(np.float64(noise(0, 1, 1)[:4, 0, 0]).sum()) == float(np.float64(noise(0, 2, 1)[:4, 0, 0]).sum())
