"""The adversarial stage of the audio model: `python -m vqc.tools.train.adversarial --data FOLDER --run FOLDER --start STAGE`.

Only the synthesis is trained, so files stay the same and decode to something else: a stage of a model, before it is released.
Discriminators tell coded sound from real, the losses of the stage before stay as one of three. The loop stands in loop.py.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from vqc.models.audio_net import lagrangian
from vqc.models.audio_transform import HOP
from vqc.models.transform import QUALITY_ROWS
from vqc.tools.train.audio import AudioSettings, AudioTask, with_left_and_right
from vqc.tools.train.discriminator import Balancer, Discriminators
from vqc.tools.train.loop import parse, train
from vqc.tools.train.restore import load_start


@dataclasses.dataclass
class AdversarialSettings(AudioSettings):
    """Settings of the adversarial stage. Weights are shares of the gradient."""

    batch: int = 6
    frames: int = 48
    rate: float = 0.0  # no entropy network learns
    transform_rate: float = 1e-4
    adversarial_weight: float = 0.25
    matching_weight: float = 0.5
    discriminator_rate: float = 3e-4
    alone: int = 100  # first steps, in which only the discriminators learn


class AdversarialTask(AudioTask):
    """The synthesis against discriminators; see loop.Task."""

    settings: AdversarialSettings

    def __init__(self, settings: AdversarialSettings) -> None:
        super().__init__(settings)
        for name, parameter in self.net.named_parameters():
            parameter.requires_grad_(name.startswith("synthesis."))
        self.discriminators = Discriminators().to(self.device)
        self.optimiser = torch.optim.Adam(self.discriminators.parameters(), settings.discriminator_rate, betas=(0.5, 0.9))
        weights = {"kept": 1.0, "adversarial": settings.adversarial_weight, "matching": settings.matching_weight}
        self.balancer, self.steps = Balancer(weights), 0
        self.state = Path(settings.run) / "discriminators.pt"
        if self.state.exists():
            saved = torch.load(self.state, map_location=self.device, weights_only=True)
            self.discriminators.load_state_dict(saved["net"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.steps = saved["steps"]

    def loss(self, entropy_only: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """A loss whose gradient is that of the balancer; its value says nothing."""
        real = next(self.loader).to(self.device, non_blocking=True)
        row = torch.rand(real.shape[0], device=self.device) ** self.settings.low_rates * (QUALITY_ROWS - 1)
        with torch.no_grad():
            quantised, _, _ = self.net.entropy(self.net.analysis(real, row), row, training_noise=False)
            restored = self.net.restore(quantised, row)
        noise = torch.randn((real.shape[0], HOP, *quantised.shape[2:]), device=self.device)
        wave = self.net.synthesis(restored, noise, row)

        whole = slice(HOP, -HOP)  # frames at the ends miss their overlap
        coded = wave.detach()[..., whole].requires_grad_()
        heard, target = with_left_and_right(coded), with_left_and_right(real[..., whole])
        one, other = (w[:, -2:].flatten(0, 1)[:, None] for w in (heard, target))
        own = self.discriminators.own_loss(one.detach(), other)
        self.optimiser.zero_grad(set_to_none=True)
        own.backward()
        self.optimiser.step()
        self.steps += 1

        parts = self.distortion(heard, target)
        adversarial, matching = self.discriminators.codec_losses(one, other)
        losses = {"kept": (parts["total"] * lagrangian(row) ** -0.25).mean(), "adversarial": adversarial, "matching": matching}
        gradient = self.balancer.gradient(losses, coded)
        if self.steps <= self.settings.alone:
            gradient = torch.zeros_like(gradient)
        if self.steps % 100 == 0:
            state = {"net": self.discriminators.state_dict(), "optimiser": self.optimiser.state_dict(), "steps": self.steps}
            torch.save(state, self.state)
        told = {"own": own, "adversarial": adversarial, "matching": matching}
        return (wave[..., whole] * gradient).sum(), told | {k: parts[k].mean() for k in ("mel", "complex", "envelope")}


if __name__ == "__main__":
    settings = parse(AdversarialSettings, __doc__)
    if not settings.start:
        raise SystemExit("--start is needed: a checkpoint of the stage before, or models/weights/aud2")
    task = AdversarialTask(settings)
    train(settings, task, load_start(task.net, settings.start))
