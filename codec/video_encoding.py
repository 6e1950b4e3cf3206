"""Frames to segments: a group of frames each, the first coded as a picture, each other from the one before as decoded."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from vqc.bitstream import AudioHeader, Segment, SymbolEncoder, VideoHeader
from vqc.models import weights
from vqc.models.colour import planes_to_rgb
from vqc.models.entropy_model import Step
from vqc.models.motion_coding import MotionStep, to_differences
from vqc.models.video_hyperprior import SQUARE, Past, VideoDecoder, forget_features
from vqc.models.video_net import Reference

from . import motion_refinement
from .latent_coding import PROFILE, encode_latents, in_steps, run_steps, table_set
from .motion_search import MotionSearch, quantiser
from .parallel import in_order
from .planes import join
from .timing import span
from .video import Frame, VideoFormat
from .video_decoding import decode_picture, grid_of
from .video_payload import FRAMES, Group, pack_group

GROUP = 32  # frames
# Of the picture that a group begins with, on the scale of the image model: that of the same lambda at quality 0, more for each
# step of quality, and more again, since it serves all that follow (docs/architecture.md has the measurements).
PICTURE_QUALITY = (186, 0.814)
INTRA_OFFSET = 150
PATTERN = (0,)  # of predicted frames in turn, beside the quality asked for


def header_for(
    kind: VideoFormat, quality: int, sound: AudioHeader | None = None, group: int = GROUP, model: str = weights.VIDEO_MODEL
) -> VideoHeader:
    """The header of a video coded at `quality` (0..1000)."""
    return VideoHeader(
        model=model,
        weights=weights.fingerprint(model),
        profile=PROFILE,
        intra=weights.IMAGE_MODEL,
        intra_weights=weights.fingerprint(weights.IMAGE_MODEL),
        width=kind.width,
        height=kind.height,
        numerator=kind.base.numerator,
        denominator=kind.base.denominator,
        rate_numerator=kind.rate.numerator,
        rate_denominator=kind.rate.denominator,
        aspect_width=kind.aspect.numerator,
        aspect_height=kind.aspect.denominator,
        primaries=kind.primaries,
        transfer=kind.transfer,
        matrix=kind.matrix,
        full_range=kind.full_range,
        rotation=kind.rotation,
        quality=quality,
        group=group,
        sound=sound,
    )


def picture_quality(quality: int) -> int:
    """Quality of the picture that a group begins with, on the scale of the image model."""
    first, slope = PICTURE_QUALITY
    return min(max(round(first + slope * quality + INTRA_OFFSET), 0), 1000)


def qualities_for(quality: int) -> tuple[int, ...]:
    """Qualities of predicted frames in turn: see PATTERN."""
    return tuple(min(max(quality + offset, 0), 1000) for offset in PATTERN)


def padded(frame: Frame) -> np.ndarray:
    """A frame as (3/2 H, W) uint8 with sides that are multiples of 16: its last row and column repeated."""
    h, w = (-(-n // SQUARE) * SQUARE for n in frame.y.shape)
    y = np.pad(frame.y, ((0, h - frame.y.shape[0]), (0, w - frame.y.shape[1])), mode="edge")
    uv = np.pad(frame.uv, ((0, 0), (0, h // 2 - frame.uv.shape[1]), (0, w // 2 - frame.uv.shape[2])), mode="edge")
    return join(y[None], uv)


def to_tensors(planes: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """A frame (3/2 H, W) uint8 to y (1, 1, H, W) and uv (1, 2, H/2, W/2), 0..1."""
    tensor = torch.from_numpy(planes).to(device).float().div_(255)
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    return tensor[None, None, :height], tensor[height:].view(1, 2, height // 2, width // 2)


class GroupEncoder:
    """Codes the frames of one group as they come: `add` each, then `segment`."""

    def __init__(self, header: VideoHeader, number: int, device: torch.device) -> None:
        self.header, self.number, self.device = header, number, device
        self.encoder = weights.video_encoder(header.model, device)
        self.decoder: VideoDecoder = weights.video_decoder(header.model, device)
        self.qualities = qualities_for(header.quality)
        self.intra_quality = picture_quality(header.quality)
        self._search: MotionSearch | None = None
        self._sink = SymbolEncoder(table_set(self.decoder))
        self._ticks: list[int] = []
        self._intra = b""
        self._reference: Reference | None = None
        self._past = Past()
        self._vectors: np.ndarray | None = None

    def add(self, frame: Frame) -> None:
        """Codes the next frame."""
        planes = padded(frame)
        y, uv = to_tensors(planes, self.device)
        if self._reference is None:
            self._search = MotionSearch(planes.shape[1], y.shape[2], quantiser(self.header.quality))
            self._search(planes)
            self._reference = self._code_picture(y, uv)
        else:
            vectors = self._find_motion(planes)
            self._reference = self._code_predicted(y, uv, vectors)
        self._ticks.append(frame.tick)

    def _find_motion(self, planes: np.ndarray) -> np.ndarray:
        with span("motion search"):
            found = self._search(planes)
            reference = motion_refinement.Reference(self._reference.y.cpu() * 255)
            height = self._reference.y.shape[2]
            worth = motion_refinement.worth_of_error(self.header.quality)
            self._vectors = motion_refinement.refine(found, reference, planes[:height], worth, self._vectors)
        return self._vectors

    @property
    def full(self) -> bool:
        """Whether the group has all the frames that it may have."""
        return len(self._ticks) == self.header.group

    def segment(self) -> Segment:
        """The group as it is written."""
        with span("coder"):
            predicted = self._sink.finish()
        group = Group(tuple(self._ticks), self.intra_quality, self.qualities, self._intra, predicted)
        return Segment(self.number, FRAMES, pack_group(group, self.header, self.number), self._sink.digest)

    def _code_picture(self, y: torch.Tensor, uv: torch.Tensor) -> Reference:
        encoder = weights.image_encoder(self.header.intra, self.device)
        decoder = weights.image_decoder(self.header.intra, self.device)
        with span("transform"):
            pixels = planes_to_rgb(y, uv)[0].permute(1, 2, 0).contiguous().cpu().numpy()
            latents = encoder.analyse(pixels, self.intra_quality)
            hyper = encoder.hyper(latents)
        self._intra, self._sink.digest = encode_latents(encoder, decoder, latents, hyper, self.intra_quality)
        h, w = latents.shape[2:]
        return decode_picture(decoder, self._intra, h, w, self.intra_quality)[0]

    def _code_predicted(self, y: torch.Tensor, uv: torch.Tensor, vectors: np.ndarray) -> Reference:
        decoder, encoder = self.decoder, self.encoder
        quality = self.qualities[(len(self._ticks) - 1) % len(self.qualities)]
        with span("transform"):
            prediction = decoder.predict(self._reference, vectors, quality)
            latents = encoder.analyse(y, uv, prediction)
            scaled = in_steps(decoder, latents, quality)
            hyper, kept = encoder.hyper_and_kept(scaled, *latents.shape[2:])
        differences = to_differences(vectors)

        def code(step: MotionStep | Step) -> np.ndarray:
            table_ids = step.table_ids
            if isinstance(step, MotionStep):
                symbols, table_ids = step.symbols(differences), table_ids.astype(np.uint16) + decoder.first_motion_table
            else:
                symbols = hyper if step.means is None else encoder.quantise(scaled, step, kept)
            with span("coder"):
                self._sink.write(symbols, table_ids)
            return symbols

        coded, self._past = run_steps(decoder.steps(*grid_of(self.header), quality, self._past), code)
        with span("transform"):
            reference = decoder.synthesise(coded.latents, prediction, quality)
        if len(self._ticks) % self.header.refresh == 0:
            reference, self._past = forget_features(reference), Past()
        return reference


def group_segments(
    frames: Iterable[Frame], header: VideoHeader, device: torch.device, workers: int = 1
) -> Iterator[Segment]:
    """All frames of a video to segments, in order; with several workers so many groups at a time, which memory must hold."""
    if workers > 1:
        yield from in_order(lambda group: _encode_group(*group), _groups(frames, header, device), workers)
        return
    encoder, number = None, 0
    for frame in frames:
        if encoder is None:
            encoder = GroupEncoder(header, number, device)
        encoder.add(frame)
        if encoder.full:
            yield encoder.segment()
            encoder, number = None, number + 1
    if encoder is not None:
        yield encoder.segment()


def _groups(
    frames: Iterable[Frame], header: VideoHeader, device: torch.device
) -> Iterator[tuple[VideoHeader, int, torch.device, list[Frame]]]:
    frames = iter(frames)
    for number in itertools.count():
        group = list(itertools.islice(frames, header.group))
        if not group:
            return
        yield header, number, device, group


def _encode_group(header: VideoHeader, number: int, device: torch.device, frames: list[Frame]) -> Segment:
    encoder = GroupEncoder(header, number, device)
    for frame in frames:
        encoder.add(frame)
    return encoder.segment()
