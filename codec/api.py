"""The Python interface: encode, decode, inspect, verify. Imports torch only when something is encoded or decoded."""

from __future__ import annotations

import io
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from vqc.bitstream import AudioHeader, Damage, ImageHeader, Limits, Reader, VideoHeader, VqcError, Writer

from .image_files import read_image
from .image_writers import to_pillow
from .inspection import CopiedSoundInfo, Info, SoundInfo, VideoInfo, inspect, open_reader
from .media import AUDIO, VIDEO, Pipe, medium_of
from .pixels import Pixels
from .rate_search import TargetOutOfRange, search_quality
from .timing import span

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from .audio_api import DecodedSound, SoundStream
    from .video_api import DecodedVideo, VideoStream

__all__ = [
    "CopiedSoundInfo",
    "Damage",
    "Decoded",
    "Info",
    "Report",
    "SoundInfo",
    "VideoInfo",
    "decode",
    "encode",
    "encode_to",
    "inspect",
    "open_sound_stream",
    "open_video_stream",
    "verify",
]
DEFAULT_QUALITY = 60.0
EFFORT_MAX = 2  # as models/image_refinement.py has steps for; not imported, since that loads torch
AUDIO_CHOICES = ("code", "copy", "none")  # what becomes of the sound of a video
SEARCHED_FRAMES = 128  # of a video, on which the quality for a bit rate is searched
Source = Any  # path, bytes or binary file object; encode also takes Pillow images, arrays, tensors and iterables of frames


class RegionOutside(ValueError):
    """A region that is not inside the picture; the message names both."""

    exit_code = 2  # a usage error, which only the file can tell


@dataclass(frozen=True)
class Decoded:
    """A decoded picture. `damage` is empty when the file was whole."""

    content: Pixels
    damage: list[Damage] = field(default_factory=list)

    @property
    def pixels(self) -> np.ndarray:
        """(H, W, C) uint8 or uint16; C is 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA. Not turned by the orientation."""
        return self.content.interleaved

    @property
    def image(self) -> Image.Image:
        """The picture as a Pillow image, with its metadata in `info`."""
        return to_pillow(self.content)

    @property
    def metadata(self) -> Mapping[str, bytes]:
        """Blocks of metadata by kind: icc, exif, xmp."""
        return self.content.metadata


@dataclass(frozen=True)
class Report:
    """Outcome of `verify`: number of segments that were read, and what is wrong."""

    segments: int
    damage: list[Damage]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damage


def encode(
    source: Source,
    *,
    quality: float = DEFAULT_QUALITY,
    bpp: float | None = None,
    bitrate: float | None = None,
    target_size: int | None = None,
    rate: int | None = None,
    fps: float | Fraction | None = None,
    sound_quality: float | None = None,
    sound: bool = True,
    audio: str = "code",
    group: int | None = None,
    bframes: int | None = None,
    steady: bool = True,
    jobs: int = 1,
    strip: bool = False,
    frame: int | None = None,
    model: str | None = None,
    effort: int = 0,
    device: str = "auto",
    threads: int | None = None,
    limits: Limits | None = None,
) -> bytes:
    """Encodes a picture, a sound or a video to the bytes of a .vqc file.

    source: path, binary file object, bytes; a Pillow image, uint8 / uint16 array (H, W), (H, W, C) or torch tensor of such
    a shape; with its `rate` in Hz, a float or integer array (N,) or (N, C) of samples; or, with the frames a second `fps`, an
    iterable of frames, RGB (H, W, 3) uint8 or `Frame`. quality: 0 to 100 in tenths.
    bpp / bitrate / target_size: search the quality whose file has this many bits per pixel / kbit/s (sound) / bytes, within
    2 %; raises TargetOutOfRange when no quality does. strip: leave ICC, EXIF and XMP out (the orientation stays).
    frame: which picture of a file that holds several, from 0; without it such a file is refused.
    model: of sound: aud2 (scalar quantiser, the usual one), or rvq2 or rvq1 (vector quantisers; see vqc.tokens); a bitrate
    below what aud2 reaches takes rvq2 by itself.
    effort: of pictures, 0 to 2: how long to refine what the networks found for this picture; smaller files of the same quality
    (docs/architecture.md), the same decoding. Sound and video take none.
    Of a video: audio: what becomes of its sound track: "code", "copy" (its packets are taken over as they are) or "none", which
    sound=False says too; sound_quality: of sound that is coded, the better of 60 and `quality` when None; group:
    most frames that are decoded together, 32 when None; bframes: most frames in a row that are predicted from both sides, 3
    when None, 0 to code without delay; steady: hold the quality of groups of more than 48 frames; jobs: groups worked on at a
    time, each with one thread unless `threads` says otherwise.
    device: auto, cpu, cuda or cuda:N. threads: of torch, for the whole process.
    Raises UnreadableInput, LimitExceeded, ValueError.
    """
    file = io.BytesIO()
    encode_to(
        source, file, quality=quality, bpp=bpp, bitrate=bitrate, target_size=target_size, rate=rate, fps=fps,
        sound_quality=sound_quality, sound=sound, audio=audio, group=group, bframes=bframes, steady=steady, jobs=jobs,
        strip=strip, frame=frame, model=model, effort=effort, device=device, threads=threads, limits=limits,
    )  # fmt: skip
    return file.getvalue()


def encode_to(
    source: Source,
    file: BinaryIO,
    *,
    quality: float = DEFAULT_QUALITY,
    bpp: float | None = None,
    bitrate: float | None = None,
    target_size: int | None = None,
    rate: int | None = None,
    fps: float | Fraction | None = None,
    sound_quality: float | None = None,
    sound: bool = True,
    audio: str = "code",
    group: int | None = None,
    bframes: int | None = None,
    steady: bool = True,
    jobs: int = 1,
    strip: bool = False,
    frame: int | None = None,
    model: str | None = None,
    effort: int = 0,
    device: str = "auto",
    threads: int | None = None,
    limits: Limits | None = None,
) -> None:
    """As `encode`, written to a binary file object as it is made; it need not be seekable."""
    if sum(wish is not None for wish in (bpp, bitrate, target_size)) > 1:
        raise ValueError("bpp, bitrate and target_size exclude each other")
    if not 0 <= quality <= 100:
        raise ValueError(f"quality {quality} is outside 0..100")
    if effort not in range(EFFORT_MAX + 1):
        raise ValueError(f"effort {effort} is not one of 0..{EFFORT_MAX}")
    if bpp is not None and not 0 < bpp < math.inf:
        raise ValueError(f"bpp must be a number above 0, not {bpp}")
    medium = AUDIO if rate is not None else VIDEO if fps is not None else None
    if medium is None:
        medium, source = medium_of(source)
    if audio not in AUDIO_CHOICES:
        raise ValueError(f"audio '{audio}' is none of {', '.join(AUDIO_CHOICES)}")
    if model is not None and medium != AUDIO:
        raise ValueError("model is for sound, and this is not")
    if medium == VIDEO:
        if bpp is not None or frame is not None or target_size is not None:
            raise ValueError("bpp, target_size and frame are for pictures, and this is a video: bitrate sets its rate")
        torch_device = _prepare(device, threads)
        from .parallel import single_threaded

        choice = audio if sound else "none"
        with single_threaded() if threads is None else nullcontext():
            _encode_video(
                source, file, quality, bitrate, fps, sound_quality, choice, group, bframes, steady, jobs, strip, torch_device,
                limits,
            )  # fmt: skip
        return
    if medium == AUDIO:
        if bpp is not None or frame is not None:
            raise ValueError("bpp and frame are for pictures, and this is sound: bitrate sets its rate")
        _encode_sound(source, file, quality, bitrate, target_size, rate, strip, model, device, threads)
        return
    if bitrate is not None:
        raise ValueError("bitrate is for sound and video, and this is a picture: bpp sets its rate")
    with span("I/O"):
        if isinstance(source, Pipe):
            source = source.read()
        pixels = read_image(source, frame=frame, limits=limits)
    if strip:
        pixels = pixels.stripped()
    (limits or Limits()).check("metadata", sum(map(len, pixels.metadata.values())))
    if bpp is not None:
        target_size = max(1, round(bpp * pixels.width * pixels.height / 8))
    torch_device = _prepare(device, threads)
    if target_size is None:
        _write(pixels, quality, file, torch_device, effort)
    else:
        file.write(_search(pixels, target_size, torch_device, effort))


def decode(
    source: Source,
    *,
    region: tuple[int, int, int, int] | None = None,
    start: float = 0.0,
    duration: float | None = None,
    device: str = "auto",
    threads: int | None = None,
    allow_partial: bool = False,
    limits: Limits | None = None,
) -> Decoded | DecodedSound | DecodedVideo:
    """Decodes a .vqc file: a picture to `Decoded`, a sound to `DecodedSound`, a video to `DecodedVideo` (iterate for frames).

    source: path, binary file object (a pipe will do) or bytes. region: (x, y, width, height) in pixels of the stored picture;
    only the tiles it needs are read. start, duration: seconds of a sound or video; only what they need is read.
    allow_partial: of a damaged file, return what is whole and say in `damage` what is not; lost tiles are grey, lost spans
    fading noise. Raises VqcError and its kinds, RegionOutside (a ValueError) for a region that leaves the picture, ValueError
    for a start behind the sound.
    """
    with open_reader(source, limits, allow_partial) as reader:
        if isinstance(reader.header, AudioHeader):
            from .audio_api import decode_sound

            if region is not None:
                raise ValueError("region is for pictures, and this is a sound")
            return decode_sound(reader, _prepare(device, threads), allow_partial, start, duration)
        if isinstance(reader.header, VideoHeader):
            from .video_api import DecodedVideo

            if region is not None:
                raise ValueError("region is for pictures, and this is a video")
            options = {"start": start, "duration": duration, "device": device, "threads": threads, "limits": limits}
            return DecodedVideo.of(source, reader, options | {"allow_partial": allow_partial}, open_video_stream)
        from .image_decoding import TileDecoder

        if start or duration is not None:
            raise ValueError("start and duration are for sound and video, and this is a picture")
        window = None if region is None else _window(region, reader.header)
        torch_device = _prepare(device, threads)
        tiles = TileDecoder(reader, window, torch_device, allow_partial)
        pixels = tiles.decode()
        content = Pixels(pixels.colour, pixels.alpha, dict(reader.metadata), pixels.orientation)
        return Decoded(content, _damage(reader, tiles.lost))


@contextmanager
def open_sound_stream(
    source: Source,
    *,
    start: float = 0.0,
    duration: float | None = None,
    device: str = "auto",
    threads: int | None = None,
    allow_partial: bool = False,
    limits: Limits | None = None,
) -> Iterator[SoundStream]:
    """As `decode`, for a sound of any length: its format, and its blocks (C, n) float32 as they are decoded."""
    with open_reader(source, limits, allow_partial) as reader:
        from .audio_api import SoundStream

        if not isinstance(reader.header, AudioHeader):
            raise ValueError("this is not a sound")
        yield SoundStream(reader, _prepare(device, threads), allow_partial, start, duration)


@contextmanager
def open_video_stream(
    source: Source | Reader,
    *,
    start: float = 0.0,
    duration: float | None = None,
    jobs: int = 1,
    device: str = "auto",
    threads: int | None = None,
    allow_partial: bool = False,
    limits: Limits | None = None,
) -> Iterator[VideoStream]:
    """As `decode`, for a video: its format, and its frames and sound as they are decoded, `jobs` groups of frames at a time."""
    with nullcontext(source) if isinstance(source, Reader) else open_reader(source, limits, allow_partial) as reader:
        from .parallel import single_threaded
        from .video_api import VideoStream

        if not isinstance(reader.header, VideoHeader):
            raise ValueError("this is not a video")
        torch_device = _prepare(device, threads)
        with single_threaded() if threads is None else nullcontext():
            yield VideoStream(reader, torch_device, allow_partial, start, duration, jobs)


def verify(source: Source, *, device: str = "auto", threads: int | None = None, limits: Limits | None = None) -> Report:
    """Decodes every symbol of a .vqc file and compares all checksums; makes no picture.

    Raises VqcError only where the header is unusable; everything else is in the report.
    """
    with open_reader(source, limits, True) as reader:
        if isinstance(reader.header, AudioHeader):
            from .audio_decoding import check_spans as check
        elif isinstance(reader.header, VideoHeader):
            from .video_api import check_tracks as check
        else:
            from .image_decoding import check_segments as check
        count, lost = check(reader, _prepare(device, threads))
        return Report(count, _damage(reader, lost))


def _encode_sound(
    source: Source,
    file: BinaryIO,
    quality: float,
    bitrate: float | None,
    target_size: int | None,
    rate: int | None,
    strip: bool,
    model: str | None,
    device: str,
    threads: int | None,
) -> None:
    from .audio_api import write_sound
    from .sound_files import open_sound

    with open_sound(source, rate) as (kind, blocks):
        if strip:
            kind = replace(kind, tags={})
        if target_size is not None:
            if not kind.samples:
                raise ValueError("the length of this sound is not known beforehand: give bitrate instead of target_size")
            bitrate = target_size * 8 * kind.rate / kind.samples / 1000
        write_sound(kind, blocks, file, _prepare(device, threads), quality, bitrate, model)


def _encode_video(
    source: Source,
    file: BinaryIO,
    quality: float,
    bitrate: float | None,
    fps: float | Fraction | None,
    sound_quality: float | None,
    audio: str,
    group: int | None,
    bframes: int | None,
    steady: bool,
    jobs: int,
    strip: bool,
    device: torch.device,
    limits: Limits | None,
) -> None:
    from .motion_search import LONGEST_RUN
    from .video_api import frames_from_arrays, missing_sound_codec, write_video
    from .video_encoding import GROUP
    from .video_files import open_video

    if group is not None and not 1 <= group <= 4096:
        raise ValueError(f"a group of {group} frames: 1 to 4096 are allowed")
    if bframes is not None and not 0 <= bframes < LONGEST_RUN:
        raise ValueError(f"{bframes} frames in a row predicted from both sides: 0 to {LONGEST_RUN - 1} are allowed")
    run = LONGEST_RUN if bframes is None else bframes + 1
    if audio == "copy" and sound_quality is not None:
        raise ValueError("sound_quality is for sound that is coded, and this is to be copied")
    missing = missing_sound_codec() if audio == "code" else ""
    copy = audio == "copy" or bool(missing)
    with nullcontext() if fps is not None else open_video(source, audio != "none", copy) as opened:
        if opened is None:
            kind, frames = frames_from_arrays(source, Fraction(fps).limit_denominator(2**20))
            track: Iterator[Any] = iter(())
        else:
            kind, frames, track = opened.kind, opened.frames(), opened.packets() if copy else opened.blocks()
            if missing and kind.track:
                warnings.warn(f"{missing}: the sound track ({kind.track.codec}) is copied", stacklevel=3)
            if opened.conversion:
                warnings.warn(opened.conversion, stacklevel=3)
        (limits or Limits()).check("side", max(kind.width, kind.height))
        (limits or Limits()).check("pixels", kind.width * kind.height)
        if strip:
            kind = replace(kind, tags={})

        def write(frames: Any, track: Any, kind: Any, to: BinaryIO, quality: float, rate: float | None = None) -> None:
            write_video(kind, frames, track, to, device, quality, sound_quality, group or GROUP, run, steady, jobs, rate)

        if bitrate is not None:
            ahead = list(itertools.islice(frames, SEARCHED_FRAMES))
            seconds = len(ahead) / float(kind.rate)

            def size_at(quality: float) -> int:
                trial = io.BytesIO()
                write(ahead, iter(()), replace(kind, sound=None), trial, quality)
                return trial.tell()

            quality = search_quality(size_at, max(1, round(bitrate * 1000 * seconds / 8)), start=40).quality
            frames = itertools.chain(ahead, frames)
        write(frames, track, kind, file, quality, bitrate)


def _write(pixels: Pixels, quality: float, file: BinaryIO, device: torch.device, effort: int) -> None:
    from .image_encoding import encode_segments, header_for

    header = header_for(pixels, round(quality * 10))
    writer = Writer(file, header)
    for kind, data in pixels.metadata.items():
        writer.metadata(kind, data)
    for segment in encode_segments(pixels, header, device, effort):
        with span("I/O"):
            writer.segment(segment)
    writer.close()


def _search(pixels: Pixels, target_size: int, device: torch.device, effort: int) -> bytes:
    best: dict[float, bytes] = {}

    def size_with(effort: int) -> Callable[[float], int]:
        def size_at(quality: float) -> int:
            file = io.BytesIO()
            _write(pixels, quality, file, device, effort)
            best[quality] = file.getvalue()
            return len(best[quality])

        return size_at

    start = 50.0
    if effort:  # which changes sizes by a few percent: look for the neighbourhood without it
        with suppress(TargetOutOfRange):
            start = search_quality(size_with(0), target_size).quality
    return best[search_quality(size_with(effort), target_size, start=start).quality]


def _prepare(device: str, threads: int | None) -> torch.device:
    import torch

    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads must be at least 1, not {threads}")
        torch.set_num_threads(threads)
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("device cuda was asked for, but torch finds no CUDA device here")
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"unknown device '{device}'") from error


def _window(region: tuple[int, int, int, int], header: ImageHeader) -> Any:
    from .image_tiles import Window

    x, y, width, height = region
    if x < 0 or y < 0 or width < 1 or height < 1 or x + width > header.width or y + height > header.height:
        raise RegionOutside(f"region {x},{y},{width},{height} is not inside the picture of {header.width}x{header.height}")
    return Window(y, y + height, x, x + width)


def _damage(reader: Reader, lost: list[Any]) -> list[Damage]:
    found = [Damage(d.offset, d.chunk, d.message) for d in reader.damage]
    errors: list[VqcError] = [tile.error for tile in lost]
    return found + [Damage(e.offset, e.chunk, e.message) for e in errors]
