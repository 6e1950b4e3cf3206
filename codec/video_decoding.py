"""Segments to frames: the decoder half, which needs no encoder weights.

What steers the coder never depends on decoded frames, so symbols are read ahead in a thread of their own while frames are made
of those that came before.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from queue import Full, Queue
from typing import TypeVar

import numpy as np
import torch

from vqc.bitstream import Corrupt, Reader, Segment, SymbolDecoder, VideoHeader, VqcError
from vqc.models import weights
from vqc.models.colour import rgb_to_planes
from vqc.models.entropy_model import Step
from vqc.models.frame_order import Place
from vqc.models.image_hyperprior import ImageDecoder
from vqc.models.motion_coding import MotionStep
from vqc.models.trace import Trace
from vqc.models.video_hyperprior import SQUARE, Coded, VideoDecoder, intra_reference
from vqc.models.video_net import Reference
from vqc.models.video_prediction import unmoved

from .latent_coding import Lost, check_end, check_model, load_decoder, read_step, run_steps, table_set
from .parallel import in_order, shared_out
from .timing import span
from .video import Frame
from .video_payload import FRAMES, Group, groups_of, unpack_group

AHEAD = 4  # levels whose symbols are read before their turn
T = TypeVar("T", Trace, Reference)


def load_video_decoder(header: VideoHeader, device: torch.device) -> tuple[ImageDecoder, VideoDecoder]:
    """The decoders of first and of predicted frames that a file asks for; raises UnsupportedModel."""
    decoder = load_decoder(header, device, weights.video_decoder, weights.VIDEO_MODEL)
    check_model(header.intra, header.intra_weights, weights.IMAGE_MODEL)
    return weights.image_decoder(header.intra, device), decoder


def read_picture(decoder: ImageDecoder, data: bytes, h: int, w: int, quality: int) -> tuple[np.ndarray, int]:
    """Latents (h * w, 320) in 1/64 steps of the first frame of a group, and the digest of its symbols. Raises Corrupt."""
    source = SymbolDecoder(table_set(decoder), data)
    latents = run_steps(decoder.entropy.steps(h, w, quality), lambda step: read_step(source, step.table_ids))
    source.finish()
    return latents, source.digest


def decode_picture(decoder: ImageDecoder, data: bytes, h: int, w: int, quality: int) -> tuple[Reference, int]:
    """The first frame of a group, of h x w latents, and the digest of its symbols. Raises Corrupt."""
    latents, digest = read_picture(decoder, data, h, w, quality)
    return picture_of(decoder, latents, h, w, quality), digest


def picture_of(decoder: ImageDecoder, latents: np.ndarray, h: int, w: int, quality: int) -> Reference:
    """The first frame of a group from its latents, as `read_picture` gives them."""
    with span("transform"):
        pixels = decoder.synthesise(decoder.dequantise(latents, h, w, quality), quality)
        image = torch.from_numpy(pixels).to(decoder.device).permute(2, 0, 1)[None]
        return intra_reference(*rgb_to_planes(image))


def read_predicted(decoder: VideoDecoder, group: Group, header: VideoHeader, digest: int, wanted: int) -> Iterator[Coded]:
    """The enhancement of a group's first frame, where it has one, then motion and latents of the predicted frames, level by
    level. digest: of the first frame as a picture; wanted: of all. Raises Corrupt."""
    h, w = grid_of(header)
    source = SymbolDecoder(table_set(decoder), group.predicted)
    source.digest = digest
    traces = {0: Trace()}

    def code(step: MotionStep | Step) -> np.ndarray:
        first = decoder.first_motion_table if isinstance(step, MotionStep) else 0
        return read_step(source, step.table_ids.astype(np.uint16) + first)

    if max(group.runs or (1,)) > 1 and not decoder.syntax.modes:
        raise Corrupt(f"frames are predicted from both sides, which model '{header.model}' does not do")
    if group.enhancement is not None:
        if not decoder.enhances:
            raise Corrupt(f"a picture is enhanced, which model '{header.model}' does not do")
        coded, traces[0] = run_steps(decoder.enhancement_steps(h, w, group.intra_quality, group.enhancement), code)
        yield coded
    for places, quality in group.levels(decoder.syntax.two_before):
        coded, left = run_steps(decoder.steps(places, h, w, quality, traces), code)
        remember(header, places, left, traces)
        yield coded
    check_end(source, wanted)


def grid_of(header: VideoHeader) -> tuple[int, int]:
    """Rows and columns of squares of a frame, and so of the latents of a picture."""
    return -(-header.height // SQUARE), -(-header.width // SQUARE)


def ahead(items: Iterator[Coded]) -> Iterator[Coded]:
    """The same items, made in a thread of their own, a few before they are asked for; errors come through."""
    queue: Queue[tuple[Coded | None, BaseException | None]] = Queue(AHEAD)
    stopped = threading.Event()

    def put(item: Coded | None, error: BaseException | None) -> None:
        while not stopped.is_set():
            try:
                return queue.put((item, error), timeout=0.2)
            except Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put(item, None)
                if stopped.is_set():
                    return
            put(None, None)
        except BaseException as error:
            put(None, error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = queue.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        stopped.set()
        thread.join()


def group_frames(segment: Segment, header: VideoHeader, device: torch.device, alone: bool = True) -> Iterator[Frame]:
    """The frames of a group, in order. Raises Corrupt, also after the last one: only then are all symbols checked.

    alone: whether no other group is decoded at the same time, so that a second thread is worth it.
    """
    pictures, decoder = load_video_decoder(header, device)
    try:
        group = unpack_group(segment, header)
        h, w = grid_of(header)
        reference, digest = decode_picture(pictures, group.intra, h, w, group.intra_quality)
        coded = read_predicted(decoder, group, header, digest, segment.digest)
        coded = ahead(coded) if alone and len(group.ticks) > 1 else coded
        if group.enhancement is not None:
            lacking = next(coded)
            with span("transform"):
                reference = decoder.synthesise(lacking.latents, unmoved(reference), group.enhancement)[0]
        references, shown = {0: reference}, 0
        yield to_frame(reference, header, group.ticks[0])
        for (places, quality), level in zip(group.levels(decoder.syntax.two_before), coded, strict=True):
            with span("transform"):
                sources = [[references[number] for number in place.sources] for place in places]
                prediction = decoder.predict(sources, level.fields, level.modes)
                remember(header, places, decoder.synthesise(level.latents, prediction, quality), references)
            while shown + 1 in references:
                shown += 1
                yield to_frame(references[shown], header, group.ticks[shown])
    except Corrupt as error:
        raise Corrupt(f"group {segment.number}: {error.message.removeprefix(f'group {segment.number}: ')}") from error


def remember(header: VideoHeader, places: Sequence[Place], left: Sequence[T], known: dict[int, T]) -> None:
    """Adds what the frames of a level leave to what is known of the group, and lets go of what no later frame needs."""
    for place, one in zip(places, left):
        ends = place.number % header.refresh == 0
        if place.older is not None:  # what is older would carry on what is to end
            ends = place.number // header.refresh > place.before // header.refresh
            if ends:
                known.update({number: earlier.forgetful() for number, earlier in known.items()})
        known[place.number] = one.forgetful() if ends else one
    if places[0].after is None:  # a run begins
        for number in [n for n in known if n < places[0].before]:
            del known[number]


def to_frame(reference: Reference, header: VideoHeader, tick: int) -> Frame:
    """A decoded frame at its own size."""

    def levels(planes: torch.Tensor, height: int, width: int) -> np.ndarray:
        return (planes[0, :, :height, :width] * 255).round_().to(torch.uint8).cpu().numpy()

    y = levels(reference.y, header.height, header.width)[0]
    uv = levels(reference.uv, -(-header.height // 2), -(-header.width // 2))
    return Frame(y, uv, tick, Fraction(header.numerator, header.denominator))


class GroupDecoder:
    """Decodes the frames of groups of segments whose time stamps lie in `first` .. `last` (None: to the end), in ticks.

    `lost` lists what could not be had: with partial=True such groups are left out; otherwise the first raises.
    """

    def __init__(
        self,
        header: VideoHeader,
        device: torch.device,
        partial: bool,
        first: int = 0,
        last: int | None = None,
        workers: int = 1,
    ) -> None:
        self.header, self.device, self.partial, self.workers = header, device, partial, workers
        self.first, self.last = first, last
        self.lost: list[Lost] = []
        load_video_decoder(header, device)

    def frames(self, segments: Iterable[Segment], number: int) -> Iterator[Frame]:
        """The frames of segments, in order, as they are decoded; the first should be that of group `number`."""
        for segment, frames in self._decoded(segments):
            if segment.number != number:
                self._fault(number, Corrupt(f"groups from {number} to before {segment.number} are missing"))
            number = segment.number + 1
            try:
                for frame in frames:
                    if self.last is not None and frame.tick > self.last:
                        return
                    if frame.tick >= self.first:
                        yield frame
            except VqcError as error:
                self._fault(segment.number, error)

    def _decoded(self, segments: Iterable[Segment]) -> Iterator[tuple[Segment, Iterator[Frame]]]:
        """Each segment and its frames, which may raise in the end; with several workers so many groups are decoded ahead."""
        if self.workers == 1:
            for segment in segments:
                yield segment, group_frames(segment, self.header, self.device)
            return

        share = shared_out if self.device.type == "cpu" else in_order
        for segment, frames, error in share(_decode, ((s, self.header, self.device) for s in segments), self.workers):
            yield segment, _then(frames, error)

    def _fault(self, number: int, error: VqcError) -> None:
        if not self.partial:
            raise error
        self.lost.append(Lost(number, FRAMES, error))


def _decode(job: tuple[Segment, VideoHeader, torch.device]) -> tuple[Segment, list[Frame], VqcError | None]:
    """The frames of a group, and what is wrong with it."""
    frames: list[Frame] = []
    try:
        frames.extend(group_frames(*job, alone=False))
    except VqcError as error:
        return job[0], frames, error
    return job[0], frames, None


def _then(frames: list[Frame], error: VqcError | None) -> Iterator[Frame]:
    yield from frames
    if error is not None:
        raise error


def first_entry(reader: Reader, header: VideoHeader, tick: int) -> int:
    """Position in the sorted index of frames of the group that holds `tick`.

    Time stamps stand in the payloads, so a look where the frame rate says spares most reading; else the search halves.
    """
    entries = groups_of(reader)

    def begins_by(position: int) -> bool:
        segment = reader.segment(entries[position].number, FRAMES)
        return segment is not None and unpack_group(segment, header).ticks[0] <= tick

    seconds = tick * header.numerator / header.denominator
    guess = int(seconds * header.rate_numerator / header.rate_denominator / header.group + 1e-6)
    low, high = 0, len(entries) - 1
    middle = min(guess, high)
    while low < high:  # the last group that begins at or before the tick
        if begins_by(middle):
            low = middle
            middle = low + 1 if guess is not None else (low + high + 1) // 2
        else:
            high = middle - 1
            guess, middle = None, (low + high + 1) // 2
        middle = min(middle, high)
    return low


def check_groups(reader: Reader, device: torch.device) -> tuple[int, list[Lost]]:
    """Decodes the symbols of every segment of frames without making any; returns their number and what is wrong."""
    header: VideoHeader = reader.header  # type: ignore[assignment]
    pictures, decoder = load_video_decoder(header, device)
    h, w = grid_of(header)
    lost, count = [], 0
    for segment in reader.segments():
        if segment.plane != FRAMES:
            continue
        count += 1
        try:
            group = unpack_group(segment, header)
            _, digest = read_picture(pictures, group.intra, h, w, group.intra_quality)
            for _ in read_predicted(decoder, group, header, digest, segment.digest):
                pass
        except VqcError as error:
            lost.append(Lost(segment.number, FRAMES, error))
    return count, lost
