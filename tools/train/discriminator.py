"""What tells coded sound from real, for the adversarial stage, and how its gradient is weighed against the others.

Discriminator of complex short-time spectra in several windows and loss balancer: Défossez et al. 2022 (arXiv:2210.13438),
section 3.4. Narrower here (8 channels), as it trains on a CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

WINDOWS = (2048, 1024, 512)
CHANNELS = 8
DILATIONS = (1, 2, 4)  # in time
COMPRESSION = 0.3  # so that what is quiet is seen


class SpectrumDiscriminator(nn.Module):
    """Waves (B, 1, N) to scores (B, 1, frames, bins) and the features of every layer, in one window."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(window), persistent=False)

        def layer(
            inputs: int, kernel: tuple[int, int], stride: int = 1, dilation: int = 1, outputs: int = CHANNELS
        ) -> nn.Module:
            padding = (dilation * (kernel[0] // 2), kernel[1] // 2)
            return weight_norm(nn.Conv2d(inputs, outputs, kernel, (1, stride), padding, (dilation, 1)))

        self.layers = nn.ModuleList(
            [layer(2, (3, 7), 2), *(layer(CHANNELS, (3, 7), 2, d) for d in DILATIONS), layer(CHANNELS, (3, 3))]
        )
        self.score = layer(CHANNELS, (3, 3), outputs=1)

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        size = len(self.window)
        options = {"window": self.window, "center": False, "normalized": True, "return_complex": True}
        spectrum = torch.stft(wave[:, 0], size, size // 4, **options)
        level = (spectrum.real.square() + spectrum.imag.square() + 1e-8).sqrt()
        x = torch.view_as_real(spectrum * level ** (COMPRESSION - 1)).permute(0, 3, 2, 1)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.score(x), features


class Discriminators(nn.Module):
    """One `SpectrumDiscriminator` for each of WINDOWS."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(SpectrumDiscriminator(window) for window in WINDOWS)

    def own_loss(self, coded: Tensor, real: Tensor) -> Tensor:
        """Hinge loss of the discriminators for waves (B, 1, N)."""
        losses = [F.relu(1 - part(real)[0]).mean() + F.relu(1 + part(coded)[0]).mean() for part in self.parts]
        return torch.stack(losses).mean()

    def codec_losses(self, coded: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """(adversarial, feature matching) loss of what made `coded`: hinge; distance of features over their mean size."""
        adversarial, matching = [], []
        for part in self.parts:
            score, features = part(coded)
            with torch.no_grad():
                _, wanted = part(real)
            adversarial.append(F.relu(1 - score).mean())
            matching += [(a - b).abs().mean() / b.abs().mean().clamp_min(1e-4) for a, b in zip(features, wanted)]
        return torch.stack(adversarial).mean(), torch.stack(matching).mean()


class Balancer:
    """Losses of one wave to one gradient, each with the share of its weight whatever its scale."""

    def __init__(self, weights: dict[str, float], decay: float = 0.99) -> None:
        self.weights, self.decay = weights, decay
        self._norms = dict.fromkeys(weights, 0.0)
        self._count = 0

    def gradient(self, losses: dict[str, Tensor], wave: Tensor) -> Tensor:
        """The gradient with respect to `wave`: sum of w / sum(w) * gradient / moving average of its norm."""
        self._count += 1
        correction = 1 - self.decay**self._count
        total = torch.zeros_like(wave)
        for name, weight in self.weights.items():
            (gradient,) = torch.autograd.grad(losses[name], wave, retain_graph=True)
            norm = gradient.flatten(1).norm(dim=1).mean().item()
            self._norms[name] = self.decay * self._norms[name] + (1 - self.decay) * norm
            total += gradient * (weight / sum(self.weights.values()) / max(self._norms[name] / correction, 1e-12))
        return total
