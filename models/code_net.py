"""The entropy model of vector quantiser indices, as it is trained; code_model.py is what encodes and decodes.

Every stage is coded in two passes over a checkerboard of channels and frames. A pass knows all earlier stages everywhere, the
second also this stage at the positions of the first; a small network turns what is known in the 3x3 positions around into the
probability of every code. Known codes enter by learned vectors, added up over the stages.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .hyperprior_net import ACTIVATION_LIMIT, FakeQuant

EMBEDDING = 64
CONTEXT = 128
HIDDEN = 64


class CodeContext(nn.Module):
    """One pass: vectors of known codes (B, inputs, C, T) to features (B, HIDDEN, C, T)."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, CONTEXT, 1),
            FakeQuant(),
            nn.Conv2d(CONTEXT, CONTEXT, 3, padding=1, groups=CONTEXT),
            FakeQuant(signed=True),
            nn.Conv2d(CONTEXT, HIDDEN, 1),
            FakeQuant(),
        )

    def forward(self, known: Tensor) -> Tensor:
        return self.layers(known.clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT))


class CodeNet(nn.Module):
    """Contexts, vectors of the codes, and heads whose outputs are log2 of probabilities but for a constant."""

    def __init__(self, stages: int, size: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(0.3 * torch.randn(stages, size, EMBEDDING))
        # the plane beside the vectors tells how many stages there will be
        inputs = (EMBEDDING + 1, 2 * EMBEDDING + 1)
        self.contexts = nn.ModuleList(CodeContext(inputs[parity]) for _ in range(stages) for parity in (0, 1))
        self.heads = nn.ModuleList(nn.Linear(HIDDEN, size) for _ in range(stages))
        for head in self.heads:
            nn.init.normal_(head.weight, std=0.05)
            nn.init.zeros_(head.bias)

    def features(self, stage: int, parity: int, plane: Tensor, known: Tensor) -> Tensor:
        """plane (B,): stages that a sample has; known (B, EMBEDDING or twice that, C, T)."""
        plane = plane[:, None, None, None].expand(-1, 1, *known.shape[2:]).to(known.dtype)
        return self.contexts[2 * stage + parity](torch.cat([known, plane], dim=1))

    def vector(self, stage: int, codes: Tensor) -> Tensor:
        """Codes (B, C, T) to their vectors (B, EMBEDDING, C, T)."""
        return F.embedding(codes, self.vectors[stage]).permute(0, 3, 1, 2)

    @torch.no_grad()
    def share(self, stage: int, codes: Tensor, parents: Tensor) -> None:
        """Codes (n,) take over what is known of `parents` (n,), and half of their probability."""
        head = self.heads[stage]
        for rows in (self.vectors[stage], head.weight, head.bias):
            rows[codes] = rows[parents]
        head.bias[torch.cat([codes, parents])] -= 1
