"""The audio model with vector quantised latents as it is trained: the transforms of aud1 around residual_vq.py."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .audio_transform import HOP, LATENTS, RATE, AudioAnalysis, AudioSynthesis
from .code_net import CodeNet
from .hyperprior_net import checkerboard
from .residual_vq import ResidualVQ, squared_distances
from .transform import QUALITY_ROWS

STAGES, SIZE, DIMENSION = 16, 1024, 96
THRIFT = 1.0  # worth of a bit in the choice of codes, in slopes of the rate-distortion curve at the last stage; in training


def row_of(stages: Tensor) -> Tensor:
    """Number of stages (1 to STAGES) to the row of the quality-dependent tables in the transforms."""
    return (stages.float() - 1) * (QUALITY_ROWS - 1) / (STAGES - 1)


class RvqNet(nn.Module):
    """Everything of the model that is trained together."""

    def __init__(self) -> None:
        super().__init__()
        self.analysis = AudioAnalysis()
        self.synthesis = AudioSynthesis()
        self.project = nn.Linear(LATENTS, DIMENSION)
        self.restore = nn.Linear(DIMENSION, LATENTS)
        self.quantiser = ResidualVQ(STAGES, SIZE, DIMENSION)
        self.code_model = CodeNet(STAGES, SIZE)
        # Squared error that a bit saves in each stage, as the first codebooks have it. Measured again while thrift acts on it,
        # it feeds on itself: fewer codes are taken, those that save most, and within 200 steps none is worth its bits.
        self.register_buffer("slope", torch.zeros(STAGES))

    def vectors(self, wave: Tensor, stages: Tensor) -> Tensor:
        """Wave (B, C, (T + 1) * 960) and stages (B,) to what is quantised (B, C, T, D) float32."""
        latents = self.analysis(wave, row_of(stages))
        return self.project(latents.permute(0, 2, 3, 1)).float()

    def latents(self, quantised: Tensor) -> Tensor:
        """Sums of codes (B, C, T, D) to latents (B, 384, C, T)."""
        return self.restore(quantised).float().permute(0, 3, 1, 2)

    def forward(self, wave: Tensor, stages: Tensor) -> dict[str, Tensor]:
        """Wave (B, C, (T + 1) * 960) and number of stages (B,) to the decoded wave beside what `quantise` gives."""
        out = self.quantise(self.vectors(wave, stages), stages)
        noise = torch.randn((wave.shape[0], HOP, *out["codes"].shape[1:3]), device=wave.device)
        return out | {"wave": self.synthesis(self.latents(out["quantised"]), noise, row_of(stages))}

    def quantise(self, z: Tensor, stages: Tensor) -> dict[str, Tensor]:
        """Vectors z (B, C, T, D) by the first `stages` (B,) stages.

        quantised (B, C, T, D); codes (B, C, T, K), of all stages up to the largest number; rate in kbit/s of a channel (B,);
        codebook and commitment: mean squared errors (B,), whose gradients reach codebooks and analysis alone.
        """
        b, c, t, d = z.shape
        even = checkerboard(z[..., 0]).view(1, c, t).expand(b, c, t)
        places = [torch.nonzero(mask.reshape(-1), as_tuple=True)[0] for mask in (even > 0, even == 0)]
        total, known = torch.zeros_like(z), torch.zeros(b, self.code_model.vectors.shape[2], c, t, device=z.device)
        codebook, commitment, bits = (torch.zeros(b, device=z.device) for _ in range(3))
        all_codes = []
        weight = (THRIFT * self.slope[stages - 1])[:, None].expand(b, c * t).reshape(-1, 1)
        plane = stages.float()
        for k in range(int(stages.max())):
            active = (stages > k).float()
            book = self.quantiser.codebook(k)
            residual = z - total.detach()
            flat = residual.detach().reshape(-1, d)
            codes = torch.zeros(b * c * t, dtype=torch.long, device=z.device)
            cost = torch.zeros(b * c * t, device=z.device)
            own = torch.zeros_like(known)
            for parity, at in enumerate(places):
                if len(at) == 0:
                    continue
                seen = torch.cat([known, own], dim=1) if parity else known
                features = self.code_model.features(k, parity, plane, seen).permute(0, 2, 3, 1).reshape(b * c * t, -1)[at]
                log_p = torch.log_softmax(self.code_model.heads[k](features).float() * math.log(2), dim=1)
                with torch.no_grad():
                    distances = squared_distances(flat[at], book.float()) - weight[at] / math.log(2) * log_p
                    codes[at] = distances.argmin(1)
                cost[at] = -log_p.gather(1, codes[at][:, None])[:, 0] / math.log(2)
                if parity == 0:
                    own = self.code_model.vector(k, codes.view(b, c, t).clone()) * even[:, None]
            codes = codes.view(b, c, t)
            all_codes.append(codes)
            chosen = book[codes] * active[:, None, None, None]
            known = known + self.code_model.vector(k, codes)
            codebook = codebook + (chosen - residual.detach()).square().mean((1, 2, 3)) * active
            commitment = commitment + (chosen.detach() - residual).square().mean((1, 2, 3)) * active
            bits = bits + cost.view(b, -1).sum(1) * active
            total = total + chosen
        quantised = total + z - z.detach()
        rate = bits * RATE / HOP / 1000 / (c * t)
        return {"quantised": quantised, "codes": torch.stack(all_codes, -1), "rate": rate, "codebook": codebook,
                "commitment": commitment}  # fmt: skip
