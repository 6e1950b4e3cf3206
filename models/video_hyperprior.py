"""The model of predicted frames as it codes: transforms in floating point around exact entropy and motion models.

What steers the coder (vectors, modes, latents of frames before) is integers throughout; decoded frames and features never reach
it. Shapes: n frames that are coded together, each from s sides; frames y (n, 1, H, W) and uv (n, 2, H/2, W/2) float32 0..1, H
and W multiples of 16; squares of 16x16 pixels, h x w of them; fields (n, s, 2h, 2w, 2) int16; latents (n, L, 2h, 2w), L = 96,
up to vid5 80; of vid1 (1, 256, h, w).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .entropy_model import SCALE_TABLES, LatentDecoder, LatentEncoder, Step, load_module, quality_row
from .exact import plain_precision
from .first_video_transform import Condition, FirstVideoSynthesis
from .frame_order import Place
from .hyper_contexts import SETS, enhancement_set, hyper_sets
from .hyperprior_net import HyperpriorNet
from .motion import ALL, to_fields
from .motion_coding import MotionStep, Surprise, Syntax, motion_steps
from .trace import Trace, Traces, expected_fields, surprise_of
from .video_net import Reference, worth_coding
from .video_prediction import TOLD, Prediction, moved_sizes, predict, told_of, told_of_picture
from .video_transform import FEATURES, VideoAnalysis, VideoSynthesis, active_blocks, motion_tokens, move_latents, pack, unpack

SQUARE = 16  # pixels, each way, that frames are made of
LARGE = 2**22  # samples of frames that are made together; more would save no time and take much memory
LEVELS = 255 * 16  # decoded frames are rounded to sixteenths of a level, so that what differs between machines dies out


@dataclass(frozen=True)
class Coded:
    """Frames that were coded together, as the coder gives them. latents: (n * positions, channels) in 1/64 steps."""

    fields: np.ndarray
    modes: np.ndarray
    latents: np.ndarray


class VideoDecoder(LatentDecoder):
    """Decoder half: motion, entropy model and synthesis. Thread-safe: no state changes after construction."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        super().__init__(tensors, device)
        self.sets = int(tensors.get("hyper_sets", torch.tensor(1)))  # of tables of hyper-latents
        if self.sets not in (1, math.prod(SETS)):
            raise ValueError(f"{self.sets} sets of tables of hyper-latents, which this version does not know")
        self.first_motion_table = SCALE_TABLES + self.sets * self.entropy.widths.hyper_latents
        self.both_sides = self.entropy.widths.told == TOLD  # not of vid1 and vid2
        self.syntax = Syntax.of(len(self.tables[1]) - self.first_motion_table, self.both_sides)
        self.condition = Condition() if "condition.features.weight" in tensors else None  # of vid1
        if self.condition:
            load_module(self.condition, tensors, "condition.", device)
        latents = self.entropy.widths.latents
        self.enhances = latents == FEATURES  # pictures, not of vid1 to vid5
        self.synthesis = FirstVideoSynthesis() if self.condition else VideoSynthesis(1 + self.both_sides, latents=latents)
        load_module(self.synthesis, tensors, "synthesis.", device)

    def grid(self, h: int, w: int) -> tuple[int, int]:
        """Rows and columns of latents of h x w squares."""
        return (h, w) if self.condition else (2 * h, 2 * w)

    def expected(self, places: Sequence[Place], traces: Traces, h: int, w: int) -> np.ndarray | None:
        """Fields that are expected of frames of h x w squares; None for a model that expects nothing."""
        if not self.both_sides:
            return None
        return np.stack([expected_fields(place, traces, (2 * h, 2 * w)) for place in places])

    def steps(
        self, places: Sequence[Place], h: int, w: int, quality: int, traces: Traces, fields: np.ndarray | None = None
    ) -> Generator[MotionStep | Step, np.ndarray, tuple[Coded, list[Trace]]]:
        """Yields what the coder needs for the next symbols of the frames of a level, of h x w squares, and is sent them; see
        EntropyModel. Returns the frames and what each leaves for later ones. fields: those that the symbols of motion will
        make, which an encoder knows."""
        n, sides = len(places), len(places[0].sources)
        before = surprise_of(places, traces, (h, w))
        two_before = places[0].older is not None
        motion, surprise = yield from motion_steps(n, sides, h, w, before, self.syntax, two_before)
        if fields is None:
            fields = to_fields(motion, self.expected(places, traces, h, w))
        grid = self.grid(h, w)
        told = self._told(places, traces, fields, motion.modes)
        sets: np.ndarray | int = 0
        if self.sets > 1:
            known = [any(traces[source].tokens is not None for source in place.sources) for place in places]
            sets = hyper_sets(places[0].depth, quality, told[..., : self.entropy.widths.latents], known, surprise)
        latents = yield from self.entropy.steps(*grid, quality, told, n, sets)
        tokens = self.entropy.tokens(latents, *grid, quality)
        left = [
            Trace(tokens[i : i + 1], Surprise(surprise.squares[i : i + 1], surprise.blocks[i : i + 1]), fields[i], place)
            for i, place in enumerate(places)
        ]
        return Coded(fields, motion.modes, latents), left

    def enhancement_steps(
        self, h: int, w: int, picture_quality: int, quality: int
    ) -> Generator[Step, np.ndarray, tuple[Coded, Trace]]:
        """The same for what a frame lacks that was coded as a picture of h x w squares, of `picture_quality` (0..1000); it has
        no motion."""
        grid = self.grid(h, w)
        told = told_of_picture(torch.tensor([picture_quality / 100]), *grid)
        told = torch.cat([told.new_zeros(1, self.entropy.widths.latents, *grid), told * 64], dim=1).permute(0, 2, 3, 1)
        sets = 0 if self.sets == 1 else enhancement_set(quality)
        latents = yield from self.entropy.steps(*grid, quality, told.to(self.device, self.entropy.dtype), hyper_sets=sets)
        still = np.zeros((1, 1, *grid, 2), np.int16), np.full((1, h, w), ALL, np.int32)
        return Coded(*still, latents), Trace(self.entropy.tokens(latents, *grid, quality))

    def _told(self, places: Sequence[Place], traces: Traces, fields: np.ndarray, modes: np.ndarray) -> Tensor | None:
        """What the temporal context sees: latents of the frames before and after, moved, and tokens of the motion."""
        moves = torch.from_numpy(fields).to(self.device)
        if not self.both_sides:
            return self._told_first(traces[places[0].before].tokens, moves[:, 0])
        shape = (len(places), *moves.shape[2:4], self.entropy.widths.latents)
        sources = []
        for side in range(moves.shape[1]):
            known = [traces[place.sources[side]].tokens for place in places]
            blank = torch.zeros((1, *shape[1:]), dtype=self.entropy.dtype, device=self.device)
            sources.append(torch.cat([blank if t is None else t for t in known]).permute(0, 3, 1, 2))
        kept = torch.from_numpy(modes).to(self.device)
        sizes = moved_sizes(sources, moves, kept)
        distance = torch.tensor([place.number - place.before for place in places])
        told = told_of(moves, kept, places[0].depth, distance).to(self.entropy.dtype) * 64
        return torch.cat([sizes.permute(0, 2, 3, 1), told.permute(0, 2, 3, 1)], dim=-1)

    def _told_first(self, tokens: Tensor | None, field: Tensor) -> Tensor | None:
        """The same for vid1 and vid2."""
        if tokens is not None:
            tokens = move_latents(tokens.permute(0, 3, 1, 2), field).permute(0, 2, 3, 1)
        if self.condition:
            return tokens
        motion = motion_tokens(field).permute(0, 2, 3, 1).to(self.entropy.dtype) * 64
        if tokens is None:
            tokens = motion.new_zeros(*motion.shape[:3], self.entropy.widths.latents)
        return torch.cat([tokens, motion], dim=-1)

    @torch.inference_mode()
    def predict(self, sources: Sequence[Sequence[Reference]], fields: np.ndarray, modes: np.ndarray) -> Prediction:
        """What frames are told by those before and after. sources: those of each frame in turn."""
        sides = [Reference.joined(side) for side in zip(*sources)]
        moves, kept = (torch.from_numpy(part).to(self.device) for part in (fields, modes))
        with plain_precision(self.device):
            return predict(sides, moves, kept, overlapped=self.syntax.shapes)

    @torch.inference_mode()
    def synthesise(self, latents: np.ndarray, prediction: Prediction, quality: int) -> list[Reference]:
        """Latents in 1/64 steps to the decoded frames and features. The latents of the references are left empty."""
        n = len(prediction.packed)
        if n > 1 and prediction.packed.numel() > LARGE:
            parts = np.split(latents, n)
            return [one for i in range(n) for one in self.synthesise(parts[i], prediction.of(i), quality)]
        grid = self.grid(*(size // 2 for size in prediction.packed.shape[2:]))
        parts = latents.reshape(n, -1, latents.shape[1])
        restored = torch.from_numpy(np.stack([self.dequantise(part, *grid, quality) for part in parts])).to(self.device)
        restored = restored.contiguous(memory_format=torch.channels_last)
        row = quality_row(quality).to(self.device)
        with plain_precision(self.device):
            if self.condition:
                memory = prediction.memory.contiguous(memory_format=torch.channels_last)
                packed, features = self.synthesis(
                    restored, prediction.packed, self.condition(prediction.packed, memory, row), row
                )
            else:
                in_steps = torch.from_numpy(parts).to(self.device).permute(0, 2, 1).reshape(n, -1, *grid) / 64
                active = active_blocks(in_steps, prediction.fields)
                difference = prediction.difference if self.both_sides else None
                packed, features = self.synthesis(
                    restored, prediction.packed, difference, prediction.memory, row.expand(n), active
                )
            y, uv = (round_levels(planes) for planes in unpack(packed))
        return [Reference(y[i : i + 1], uv[i : i + 1], features[i : i + 1], y[:1, :0]) for i in range(n)]


class VideoEncoder(LatentEncoder):
    """Encoder half: analysis, hyper-encoder and quantiser; needs the decoder half beside it."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        super().__init__(tensors, device)
        self.analysis = VideoAnalysis()
        load_module(self.analysis, tensors, "analysis.", device)

    @torch.inference_mode()
    def analyse(self, y: Tensor, uv: Tensor, prediction: Prediction) -> Tensor:
        """Frames to latents (n, L, H/8, W/8)."""
        with plain_precision(self.device):
            return self.analysis(pack(y, uv), prediction.packed)

    @torch.inference_mode()
    def hyper_and_kept(
        self, scaled: np.ndarray, n: int, h: int, w: int, thrift: float | Tensor = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Latents in steps (n * h * w, L) to hyper-latent symbols, and which positions are worth their bits; see
        `worth_coding`, of which thrift is one or (n, 1, h, w)."""
        grid = torch.from_numpy(scaled).view(n, h, w, -1).permute(0, 3, 1, 2).to(self.device)
        kept = worth_coding(grid, thrift)
        return self.hyper(HyperpriorNet.sparse_symbols(grid, kept)), kept.cpu().numpy().reshape(-1) > 0


def round_levels(planes: Tensor) -> Tensor:
    """Values limited to 0..1 and rounded to `LEVELS`."""
    return torch.round(planes.clamp(0, 1) * LEVELS) / LEVELS


def intra_reference(y: Tensor, uv: Tensor) -> Reference:
    """The reference that a frame leaves which was coded as a picture."""
    return Reference.intra(round_levels(y), round_levels(uv))
