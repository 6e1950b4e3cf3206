"""Frames to segments: a group of frames each, the first coded as a picture, the others from those around them as decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np
import torch

from vqc.bitstream import AudioHeader, Segment, SymbolEncoder, VideoHeader
from vqc.models import weights
from vqc.models.colour import planes_to_rgb
from vqc.models.entropy_model import QUALITY_MAX, Step
from vqc.models.frame_order import Place, levels
from vqc.models.motion import Motion, to_motion
from vqc.models.motion_coding import MotionStep
from vqc.models.trace import Trace
from vqc.models.video_hyperprior import SQUARE, VideoDecoder
from vqc.models.video_net import Reference, weighted_mse
from vqc.models.video_prediction import unmoved

from . import motion_refinement
from .held_quality import HeldQuality
from .latent_coding import PROFILE, code_latents, in_steps, run_steps, table_set
from .motion_search import LONGEST_RUN, Found, MotionSearch, quantiser
from .parallel import in_order, shared_out
from .persistence import LOOKAHEAD, Leap, block_worths, blocks_served, frames_served, worth
from .picture_refinement import refine_picture
from .planes import join, split
from .rate_control import RateControl
from .scene_cuts import SceneCuts
from .temporal_filter import filtered
from .timing import span
from .video import Frame, VideoFormat
from .video_decoding import grid_of, picture_of, remember
from .video_payload import FRAMES, Group, pack_group, raised_quality
from .video_quality import DEEPER, PLAIN, THRIFT, enhancement_quality, picture_quality, qualities_for

GROUP = 32  # frames


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


@dataclass(frozen=True)
class Settings:
    """How groups are coded. longest: frames of a run at most; 1 predicts each from the one before, without delay. steady:
    whether the quality of long groups is held, see held_quality.py."""

    header: VideoHeader
    device: torch.device
    longest: int = LONGEST_RUN
    steady: bool = True


class GroupEncoder:
    """Codes the frames of group `number` as they come: `add` each, then `segment`.

    short: see `Group`. quality: 0..1000.
    """

    def __init__(self, settings: Settings, number: int, short: int, quality: int) -> None:
        header, device = settings.header, settings.device
        self.header, self.device, self.longest, self.number, self.short = header, device, settings.longest, number, short
        self.encoder = weights.video_encoder(header.model, device)
        self.decoder: VideoDecoder = weights.video_decoder(header.model, device)
        self.quality, self.qualities = quality, qualities_for(quality)
        self.intra_quality, self.enhancement = 0, None  # until the first frame is coded
        self._search: MotionSearch | None = None
        self._sink = SymbolEncoder(table_set(self.decoder))
        self._ticks: list[int] = []
        self._runs: list[int] = []
        self._raises: list[int] = []  # of the quality of each run
        self._held = HeldQuality() if settings.steady else None
        self._intra = b""
        self._waiting: dict[int, np.ndarray] = {}  # frames that are not coded yet, by number
        self._first: list[list[Found]] = []  # runs that are to be known before the picture is coded
        self._references: dict[int, Reference] = {}
        self._searchable: dict[int, motion_refinement.Reference] = {}
        self._traces: dict[int, Trace] = {0: Trace()}

    def add(self, frame: Frame) -> None:
        """Takes the next frame, and codes those whose turn it is."""
        planes = padded(frame)
        if not self._ticks:
            height = planes.shape[0] * 2 // 3
            self._search = MotionSearch(planes.shape[1], height, quantiser(self.quality), self.longest)
        self._waiting[len(self._ticks)] = planes
        self._ticks.append(frame.tick)
        with span("motion search"):
            runs = self._search(planes)
        self._code_runs(runs)

    @property
    def count(self) -> int:
        """Frames of the group so far."""
        return len(self._ticks)

    def finish(self) -> None:
        """Codes the frames that wait for others to come; there are no more."""
        if self._search is not None:
            self._code_runs(self._search.rest(), last=True)
            self._search = None

    def segment(self) -> Segment:
        """The group as it is written."""
        self.finish()
        with span("coder"):
            predicted = self._sink.finish()
        runs, ticks = tuple(self._runs), tuple(self._ticks)
        group = Group(
            ticks=ticks,
            intra_quality=self.intra_quality,
            qualities=self.qualities,
            intra=self._intra,
            predicted=predicted,
            runs=runs,
            short=self.short,
            enhancement=self.enhancement,
            raises=tuple(self._raises),
        )
        return Segment(self.number, FRAMES, pack_group(group, self.header, self.number), self._sink.digest)

    def _code_runs(self, runs: list[list[Found]], last: bool = False) -> None:
        """Codes runs, and the picture before them, once there are enough of them to judge it by; last: no more come."""
        if 0 in self._waiting:
            self._first += runs
            if not last and sum(map(len, self._first)) < LOOKAHEAD:
                return
            runs, self._first = self._first, []
            worths = self._judge(runs, last)
            planes = self._waiting.pop(0)
            if runs:
                with span("motion search"):
                    planes = filtered(planes, list(self._waiting.values()), runs[0][-1].fields[0], len(runs[0]), self.quality)
            picture = self._code_picture(*to_tensors(planes, self.device), worths)
            if picture is not None:
                self._references[0] = picture
        for run in runs:
            self._code_run(run)

    def _judge(self, runs: list[list[Found]], last: bool) -> np.ndarray | None:
        """Sets the quality of the picture by the runs after it, and says what blocks are worth, None where no frame follows;
        last: these are all."""
        leaps, number = [], 0
        for run in runs:
            before, after = (split(self._waiting[n])[0][0] for n in (number, number + len(run)))
            leaps.append(Leap(before, after, run[-1].fields[0], len(run)))
            number += len(run)
        later = number if last else self.header.group - 1
        with span("motion search"):
            self._set_quality(picture_quality(self.quality, worth(frames_served(leaps, later))))
            return block_worths(blocks_served(leaps, later)) if leaps else None

    def _set_quality(self, wanted: int) -> None:
        """Of the picture, which is to have quality `wanted` on the scale of the image model."""
        self.intra_quality = min(wanted, PLAIN, QUALITY_MAX)
        self.enhancement = enhancement_quality(wanted) if wanted > PLAIN else None

    def _code_run(self, run: list[Found]) -> None:
        begin, before = sum(self._runs), self._runs[-1:]
        self._runs.append(len(run))
        self._raises.append(self._held.raised if self._held else 0)
        order = levels([*before, len(run)], self.decoder.syntax.two_before)
        order = [level for level in order if level[0].number > sum(before)]
        for level in order:
            places = [place.later(begin - sum(before)) for place in level]
            leaf = level[0].depth > 0 and level is order[-1]
            self._code_level(places, [run[place.number - begin - 1] for place in places], leaf)
        self._searchable = {n: one for n, one in self._searchable.items() if n in (begin, begin + len(run))}

    def _refined(self, places: Sequence[Place], found: list[Found], quality: int) -> tuple[Motion, np.ndarray]:
        """Motion of the frames of a level, and their fields as decoders will have them."""
        worth = motion_refinement.worth_of_error(quality)
        expected = self.decoder.expected(places, self._traces, *grid_of(self.header))
        better = []
        for place, one, fields in zip(places, found, expected):
            for number in place.sources:
                if number not in self._searchable:
                    self._searchable[number] = motion_refinement.Reference(self._references[number].y[0, 0].cpu().numpy() * 255)
            sources = [self._searchable[number] for number in place.sources]
            if place.older is not None:
                one = motion_refinement.with_older(one, self._traces[place.before].fields)
            y = split(self._waiting[place.number])[0][0]
            better.append(motion_refinement.refine(one, sources, y, worth, fields, place.older is not None))
        fields, modes = (np.stack([getattr(one, part) for one in better]) for part in ("fields", "modes"))
        return to_motion(fields, modes, expected, self.decoder.syntax.merges)

    def _code_picture(self, y: torch.Tensor, uv: torch.Tensor, worths: np.ndarray | None) -> Reference | None:
        """As it is decoded. worths: see `refine_picture`; None: of a picture that serves no other frame, for which that takes
        too long, and whose decoded form nobody needs."""
        encoder = weights.image_encoder(self.header.intra, self.device)
        decoder = weights.image_decoder(self.header.intra, self.device)
        with span("transform"):
            pixels = planes_to_rgb(y, uv)[0].permute(1, 2, 0).contiguous().cpu().numpy()
            latents = encoder.analyse(pixels, self.intra_quality)
        with span("refinement"):
            if worths is None:
                hyper = encoder.hyper(latents)
            else:
                refiner = weights.image_refiner(self.header.intra, self.device)
                latents, hyper = refine_picture(refiner, latents, y, uv, worths, self.intra_quality)
        self._intra, self._sink.digest, coded = code_latents(encoder, decoder, latents, hyper, self.intra_quality)
        if worths is None and self.enhancement is None:
            return None
        picture = picture_of(decoder, coded, *grid_of(self.header), self.intra_quality)
        if self.enhancement is None:
            return picture
        enhanced = self._enhance(picture, y, uv, worths)
        if enhanced is None:
            self.intra_quality, self.enhancement = QUALITY_MAX, None
            return self._code_picture(y, uv, worths)
        return enhanced

    def _enhance(self, picture: Reference, y: torch.Tensor, uv: torch.Tensor, worths: np.ndarray | None) -> Reference | None:
        """Codes what the picture lacks: in blocks that many later frames show, first. None, and nothing coded, where that makes
        it worse: of sharp text the networks know too little."""
        quality = self.enhancement
        thrift = 1.0 if worths is None else torch.from_numpy(1 / worths).to(y)[None, None]
        with span("transform"):
            prediction = unmoved(picture)
            latents = self.encoder.analyse(y, uv, prediction)
            scaled = in_steps(self.decoder, latents, quality)
            hyper, kept = self.encoder.hyper_and_kept(scaled, 1, *latents.shape[2:], thrift)

        chosen: list[tuple[np.ndarray, np.ndarray]] = []

        def code(step: Step) -> np.ndarray:
            symbols = hyper if step.means is None else self.encoder.quantise(scaled, step, kept)
            chosen.append((symbols, step.table_ids))
            return symbols

        steps = self.decoder.enhancement_steps(*grid_of(self.header), self.intra_quality, quality)
        coded, trace = run_steps(steps, code)
        with span("transform"):
            enhanced = self.decoder.synthesise(coded.latents, prediction, quality)[0]
        before, after = (float(weighted_mse(y, uv, one.y, one.uv)) for one in (picture, enhanced))
        if after >= before:
            return None
        self._traces[0] = trace
        with span("coder"):
            for symbols, table_ids in chosen:
                self._sink.write(symbols, table_ids)
        return enhanced

    def _code_level(self, places: Sequence[Place], found: list[Found], leaf: bool) -> None:
        """leaf: no other frame is predicted from these, so that they need not be decoded here."""
        decoder, encoder = self.decoder, self.encoder
        depth = min(places[0].depth, len(DEEPER) - 1)
        quality = raised_quality(self.qualities[depth], self._raises[-1])
        with span("motion refinement"):
            motion, fields = self._refined(places, found, quality)
        frames = [to_tensors(self._waiting.pop(place.number), self.device) for place in places]
        with span("transform"):
            sources = [[self._references[number] for number in place.sources] for place in places]
            prediction = decoder.predict(sources, fields, motion.modes)
            latents = encoder.analyse(*(torch.cat(planes) for planes in zip(*frames)), prediction)
            scaled = in_steps(decoder, latents, quality)
            hyper, kept = encoder.hyper_and_kept(scaled, len(places), *latents.shape[2:], THRIFT[depth])

        def code(step: MotionStep | Step) -> np.ndarray:
            table_ids = step.table_ids
            if isinstance(step, MotionStep):
                symbols, table_ids = step.symbols(motion), table_ids + decoder.first_motion_table
            else:
                symbols = hyper if step.means is None else encoder.quantise(scaled, step, kept)
            with span("coder"):
                self._sink.write(symbols, table_ids)
            return symbols

        steps = decoder.steps(places, *grid_of(self.header), quality, self._traces, fields)
        coded, traces = run_steps(steps, code)
        remember(self.header, places, traces, self._traces)
        if not leaf:
            with span("transform"):
                references = decoder.synthesise(coded.latents, prediction, quality)
            if self._held and depth == 0:
                self._held.saw(*frames[0], references[0], self._runs[-1])
            remember(self.header, places, references, self._references)


def group_segments(
    frames: Iterable[Frame], settings: Settings, workers: int = 1, control: RateControl | None = None
) -> Iterator[Segment]:
    """All frames of a video to segments, in order; with several workers so many groups at a time, which memory must hold.
    control: sets the quality of each group; the header does without it."""
    header = settings.header
    jobs = (
        (settings, number, short, control.quality if control else header.quality, (frame for _, frame in group))
        for (number, short), group in groupby(_numbered(frames, header.group), key=itemgetter(0))
    )
    if workers > 1:
        share = shared_out if settings.device.type == "cpu" else in_order
        coded = share(_code, ((*job[:-1], list(job[-1])) for job in jobs), workers)
    else:
        coded = map(_code, jobs)
    for segment, count, quality in coded:
        if control is not None:
            control.spent(len(segment.payload), count * header.rate_denominator / header.rate_numerator, quality)
        yield segment


def _numbered(frames: Iterable[Frame], limit: int) -> Iterator[tuple[tuple[int, int], Frame]]:
    """Frames, each with the number of its group and how many frames the groups before that lack."""
    number = short = count = 0
    cuts = SceneCuts()
    for frame in frames:
        cut = cuts(frame)
        if count and (cut or count == limit):
            number, short, count = number + 1, short + limit - count, 0
        count += 1
        yield (number, short), frame


def _code(job: tuple[Settings, int, int, int, Iterable[Frame]]) -> tuple[Segment, int, int]:
    """The segment of a group, the number of its frames, and its quality."""
    settings, number, short, quality, frames = job
    encoder = GroupEncoder(settings, number, short, quality)
    for frame in frames:
        encoder.add(frame)
    return encoder.segment(), encoder.count, quality
