"""Trains the vector quantised audio model: `python -m vqc.tools.train.rvq --data FOLDER --run FOLDER --start WEIGHTS`.

Loss per sample, its number of stages drawn from 1 to 16 (`few`): distortion (audio_losses.py) + squared errors of codebooks and
analysis + bits of a code, which only the entropy model learns from. Begins with the transforms of `--start`; the projection
to the space of the codes is their KLT in units of that model's quantiser steps, the codebooks begin with k-means. From time to
time codes that are hardly chosen are put where the error is large (residual_vq.py).
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from vqc.models.audio_net import AudioNet
from vqc.models.audio_transform import HOP, RATE
from vqc.models.residual_vq import LEAST, usage
from vqc.models.rvq_net import DIMENSION, STAGES, RvqNet, row_of
from vqc.models.transform import QUALITY_ROWS, interpolate_rows
from vqc.tools.train.audio import with_left_and_right
from vqc.tools.train.audio_losses import AudioLoss
from vqc.tools.train.loop import Settings, device_of, parse, train
from vqc.tools.train.restore import load_start
from vqc.tools.train.restore_rvq import restore_rvq
from vqc.tools.train.sounds import SoundLoader, list_sounds, load_sounds, resampled

UNIT_ROW = 4.0  # of the scalar model's quality: whose quantiser steps are the units of the vectors
TOP_ROW = 5.5  # of the scalar model's quality: about the rate of all stages
HEAD_SCALE = 0.2


@dataclasses.dataclass
class RvqSettings(Settings):
    """Settings of the audio model with vector quantised latents."""

    batch: int = 8
    frames: int = 64  # of a crop, 20 ms each
    few: float = 1.0  # power of the even random number that the stages of a sample follow; more than 1: few stages oftener
    stereo: float = 0.3  # part of the batches with two channels
    complex_weight: float = 0.6
    wave_weight: float = 0.05
    envelope_weight: float = 0.7
    codebook_weight: float = 1.0
    commitment_weight: float = 0.05
    bits_weight: float = 0.05
    start_batches: int = 400  # from which projection and codebooks begin
    revive_every: int = 100  # steps between revivals of codes left aside
    revive_until: int = 800  # step of the last one, so that the networks learn with codes that stay
    revive_batches: int = 40  # whose choices tell which codes are left aside


class RvqTask:
    """The model on random crops of sounds; see loop.Task."""

    def __init__(self, settings: RvqSettings) -> None:
        self.settings, self.device = settings, device_of(settings)
        self.net = RvqNet()
        self.paths = list_sounds(Path(settings.data))
        self.files = len(self.paths)
        self.distortion = AudioLoss(settings.complex_weight, settings.wave_weight, settings.envelope_weight).to(self.device)
        self.loader: SoundLoader | None = None
        self.step = 0

    def load(self, seed: int) -> None:
        s = self.settings
        sounds = self.loader.sounds if self.loader else load_sounds(self.paths)
        self.loader = SoundLoader(sounds, s.batch, (s.frames + 1) * HOP, s.stereo, seed)

    def loss(self, entropy_only: bool) -> tuple[Tensor, dict[str, Tensor]]:
        s = self.settings
        if 0 < self.step <= s.revive_until and self.step % s.revive_every == 0:
            print(f"revived {self.revive()} codes", flush=True)
        self.step += 1
        wave = next(self.loader).to(self.device, non_blocking=True)
        stages = 1 + (torch.rand(wave.shape[0], device=self.device) ** s.few * STAGES).long().clamp(max=STAGES - 1)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=s.bfloat16):
            if entropy_only:
                with torch.no_grad():
                    z = self.net.vectors(wave, stages)
                out = self.net.quantise(z, stages)
            else:
                out = self.net(wave, stages)
        per_code = out["rate"] * 1000 * HOP / RATE / stages
        loss = s.bits_weight * per_code.mean()
        means = {"kbps": out["rate"].mean(), "bits": per_code.mean()}
        if entropy_only:
            return loss, means
        whole = slice(HOP, -HOP)  # frames at the ends miss their overlap
        parts = self.distortion(*(with_left_and_right(w[..., whole]) for w in (out["wave"].float(), wave)))
        errors = s.codebook_weight * out["codebook"] + s.commitment_weight * out["commitment"]
        loss = loss + (parts["total"] + errors).mean()
        means |= {k: parts[k].mean() for k in ("mel", "complex", "wave", "envelope")} | {"code": out["codebook"].mean()}
        return loss, means

    @torch.no_grad()
    def revive(self) -> int:
        """Splits cells in favour of codes left aside, with all stages in use; returns how many codes were moved."""
        vectors, codes = [], []
        for _ in range(self.settings.revive_batches):
            wave = next(self.loader).to(self.device)
            stages = torch.full(wave.shape[:1], STAGES, device=self.device)
            z = self.net.vectors(wave, stages)
            vectors.append(z.flatten(0, 2))
            codes.append(self.net.quantise(z, stages)["codes"].flatten(0, 2))
        residual, chosen, moved = torch.cat(vectors), torch.cat(codes), 0
        least = LEAST * len(residual) / self.net.quantiser.size
        for k in range(STAGES):
            left = residual - self.net.quantiser.codebook(k)[chosen[:, k]]
            children, parents = self.net.quantiser.revive(k, residual, chosen[:, k], least)
            self.net.code_model.share(k, children, parents)
            residual, moved = left, moved + len(children)
        return moved

    def evaluate(self) -> dict[str, list[float]]:
        """By number of stages: kbit/s of a channel (estimated), that of indices of fixed length, mel, complex, wave distance;
        then for each stage the part of its codes that was used, and their perplexity over the number of codes."""
        result: dict[str, list[float]] = {}
        waves = []
        for path in list_sounds(Path(self.settings.evaluate)):
            mono = resampled(path)
            waves.append(torch.from_numpy(mono[: len(mono) // HOP * HOP]).to(self.device)[None, None])
        counts = torch.zeros(STAGES, self.net.quantiser.size)
        for n in (1, 2, 4, 8, 12, 16):
            figures = []
            for wave in waves:
                out = self.net(wave, torch.full((1,), n, device=self.device))
                parts = self.distortion(out["wave"][..., HOP:-HOP], wave[..., HOP:-HOP])
                fixed = n * np.log2(self.net.quantiser.size) * RATE / HOP / 1000
                figures.append([out["rate"].item(), fixed, *(parts[k].item() for k in ("mel", "complex", "wave"))])
                if n == STAGES:
                    for k in range(n):
                        counts[k] += torch.bincount(out["codes"][..., k].flatten().cpu(), minlength=counts.shape[1])
            result[str(n)] = np.mean(figures, axis=0).tolist()
        return result | {f"usage {k + 1}": list(usage(counts[k])) for k in range(STAGES)}


def stretched(transform: dict[str, Tensor]) -> dict[str, Tensor]:
    """State of a transform whose quality tables end at `TOP_ROW` of the old ones."""
    rows = torch.linspace(0, TOP_ROW, QUALITY_ROWS)
    tables = ("mix_scale", "gate_scale", "gate_shift")
    return {k: interpolate_rows(v, rows) if k.endswith(tables) else v for k, v in transform.items()}


@torch.no_grad()
def starting_point(task: RvqTask, path: str) -> dict[str, Tensor]:
    """State dictionary with the transforms of a scalar model (see restore.load_start), KLT and k-means; or of this model."""
    if Path(f"{path}-decoder.safetensors").exists():
        files = [load_file(f"{path}-{half}.safetensors") for half in ("encoder", "decoder")]
        if "codebooks" in files[1]:
            return restore_rvq(task.net, *files)
    scalar, net = AudioNet(), task.net
    found = load_start(scalar, path)
    if "quantiser.base" in found:
        return found
    scalar.load_state_dict(found)
    net.analysis.load_state_dict(stretched(scalar.analysis.state_dict()))
    net.synthesis.load_state_dict(stretched(scalar.synthesis.state_dict()))
    task.load(task.settings.seed)

    def collect(batches: int) -> Tensor:
        found = []
        for _ in range(batches):
            wave = next(task.loader)
            row = row_of(torch.randint(1, STAGES + 1, (wave.shape[0],)))
            found.append(net.analysis(wave, row).permute(0, 2, 3, 1).reshape(-1, net.project.in_features))
        return torch.cat(found)

    latents = collect(task.settings.start_batches)
    unit = scalar.steps(torch.tensor([UNIT_ROW]))[0, :, 0, 0]
    mean = latents.mean(0)
    scaled = (latents - mean) / unit
    axes = torch.linalg.eigh(scaled.t() @ scaled / len(scaled))[1].flip(1)[:, :DIMENSION]
    net.project.weight.copy_(axes.t() / unit)
    net.project.bias.copy_(-(axes.t() / unit) @ mean)
    net.restore.weight.copy_(axes * unit[:, None])
    net.restore.bias.copy_(mean)
    net.slope.copy_(-net.quantiser.fit(net.project(latents)).diff() / math.log2(net.quantiser.size))

    base, model = net.quantiser.base, net.code_model
    model.vectors.copy_(base[..., : model.vectors.shape[2]].clamp(-15, 15))
    for k, head in enumerate(model.heads):
        half = base[k][:, : head.in_features // 2] / base[k].std(0).max()
        head.weight.copy_(HEAD_SCALE * torch.cat([half, -half], dim=1))
    return net.state_dict()


if __name__ == "__main__":
    settings = parse(RvqSettings, __doc__)
    if not settings.start and not Path(settings.run, "checkpoint.pt").exists():
        raise SystemExit("--start is needed: models/weights/aud2, or models/weights/rvq2 to go on")
    task = RvqTask(settings)
    fresh = not Path(settings.run, "checkpoint.pt").exists()
    train(settings, task, starting_point(task, settings.start) if fresh else None)
