"""`vqc encode`: pictures, sounds and videos to .vqc files."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING

import click

from vqc.batch import STREAM, Job, Outcome
from vqc.commands.options import (
    FILE,
    Engine,
    FiniteFloat,
    Messages,
    batch_options,
    chosen_quality,
    cluster_option,
    effort_option,
    engine_options,
    message_options,
    quality_options,
    strip_option,
)
from vqc.commands.report import report, shown
from vqc.commands.targets import groups_at_a_time, jobs_for, open_target, run_files, source_of
from vqc.media import SOUND_EXTENSIONS, VIDEO_EXTENSIONS
from vqc.places import readable, size_of

if TYPE_CHECKING:
    from vqc.api import SoundInfo, VideoInfo

EXTENSION = ".vqc"
# Named among the formats of Pillow, which can tell such a file but not read a picture from it.
_NO_PICTURE = {"BUFR", "GRIB", "HDF5", "MPEG", "VQC"}


@dataclass(frozen=True)
class VideoChoice:
    """How to encode a video; see vqc.api.encode."""

    audio: str = "code"
    sound_quality: float | None = None
    group: int | None = None
    bframes: int | None = None
    steady: bool = True
    jobs: int = 1


@dataclass(frozen=True)
class EncodeFile:
    """Encode the input of one job to its target. Picklable, so that worker processes can run it."""

    quality: dict[str, float]
    effort: int
    strip: bool
    frame: int | None
    force: bool
    engine: Engine
    workers: int = 1
    video: VideoChoice = VideoChoice()
    model: str | None = None

    def __call__(self, job: Job) -> Outcome:
        from vqc import api

        start = perf_counter()
        with open_target(job, self.force) as file:
            choices = {"effort": self.effort, "strip": self.strip, "frame": self.frame, "model": self.model}
            engine = self.engine.arguments(self.workers)
            api.encode_to(source_of(job), file, **self.quality, **choices, **asdict(self.video), **engine)
        seconds = perf_counter() - start
        if job.target == STREAM:
            return Outcome(job, {"input": job.source, "output": STREAM, "seconds": round(seconds, 4)})
        info = api.inspect(readable(job.target), limits=self.engine.limits.limits())
        if info.media == "audio":
            return self._sound(job, info, seconds)
        if info.media == "video":
            return self._video(job, info, seconds)
        record = {
            "input": job.source,
            "output": job.target,
            "bytes": info.file_size,
            "width": info.width,
            "height": info.height,
            "bpp": info.bpp,
            "quality": info.quality,
            "seconds": round(seconds, 4),
        }
        if job.source != STREAM:
            record["input_bytes"] = size_of(job.source)
        summary = (
            f"{shown(job.source)} -> {shown(job.target)}: {info.width}x{info.height}, {info.file_size} bytes, "
            f"{info.bpp:.3f} bpp, quality {info.quality:g}, {seconds:.2f} s"
        )
        return Outcome(job, record, summary, self._missed(info.file_size, info.width * info.height))

    def _sound(self, job: Job, info: SoundInfo, seconds: float) -> Outcome:
        record = {
            "input": job.source,
            "output": job.target,
            "bytes": info.file_size,
            "duration": info.seconds,
            "rate": info.rate,
            "channels": info.channels,
            "kbps": info.kbps,
            "quality": info.quality,
            "seconds": round(seconds, 4),
        }
        summary = (
            f"{shown(job.source)} -> {shown(job.target)}: {info.seconds:.2f} s, {info.file_size} bytes, "
            f"{info.kbps:.2f} kbit/s, quality {info.quality:g}, {seconds:.2f} s"
        )
        target = self.quality.get("bitrate", 0) * 1000 / 8 * info.seconds or self.quality.get("target_size", 0)
        return Outcome(job, record, summary, _off_target(info.file_size, target))

    def _video(self, job: Job, info: VideoInfo, seconds: float) -> Outcome:
        record = {
            "input": job.source,
            "output": job.target,
            "bytes": info.file_size,
            "width": info.width,
            "height": info.height,
            "frames": info.frames,
            "rate": info.rate,
            "sound": info.sound is not None,
            "kbps": info.kbps,
            "quality": info.quality,
            "seconds": round(seconds, 4),
        }
        summary = (
            f"{shown(job.source)} -> {shown(job.target)}: {info.frames} frames of {info.width}x{info.height}, {info.file_size} "
            f"bytes, {info.kbps:.1f} kbit/s{' with sound' if info.sound else ''}, quality {info.quality:g}, {seconds:.2f} s, "
            f"{info.frames / seconds:.1f} frames/s"
        )
        return Outcome(job, record, summary)

    def _missed(self, size: int, pixels: int) -> tuple[str, ...]:
        """A warning where sizes of this picture jump over the target."""
        target = self.quality.get("target_size") or self.quality.get("bpp", 0) * pixels / 8
        return _off_target(size, target)


def _off_target(size: int, target: float) -> tuple[str, ...]:
    if not target or abs(size - target) <= 0.02 * target:
        return ()
    return (f"warning: the nearest size is {size} bytes, {size / target - 1:+.1%} off the target",)


@click.command(epilog="Exit codes: 0 done, 1 failure, 2 usage, 5 limit exceeded, 130 interrupted. Several files: the highest.")
@click.argument("inputs", metavar="IN [OUT]", nargs=-1, required=True, type=FILE)
@quality_options
@effort_option
@strip_option
@click.option(
    "--frame",
    type=click.IntRange(0),
    help="Which picture of a file that holds several (animations, pages), counted from 0.  [default: refuse such files]",
)
@click.option(
    "--model",
    metavar="NAME",
    help="Of sound: aud2 (scalar quantiser), or rvq2 or rvq1 (vector quantisers, whose codes `vqc tokens` takes).  "
    "[default: aud2; rvq2 for a --bitrate below its least]",
)
@click.option(
    "--audio",
    type=click.Choice(["code", "copy", "none"]),
    help="Of a video: code its sound track, copy its packets as they are, or leave it out.  [default: code]",
)
@click.option("--no-sound", is_flag=True, help="As --audio none.")
@click.option(
    "--sound-quality",
    type=FiniteFloat(0, 100),
    metavar="Q",
    help="Of the sound track of a video, where it is coded.  [default: that of the frames, at least 60]",
)
@click.option(
    "--group",
    type=click.IntRange(1, 4096),
    metavar="FRAMES",
    help="Of a video: code so many frames together; decoding can begin only where a group does.  [default: 32]",
)
@click.option(
    "--bframes",
    type=click.IntRange(0, 3),
    help="Of a video: predict at most so many frames in a row from both sides; 0 codes without delay.  [default: 3]",
)
@click.option(
    "--steady/--no-steady",
    default=True,
    help="Of a video with a longer --group than 48 (others stay as they are): hold the quality after 48 frames, which else "
    "falls by up to 3 dB, or let it fall: smaller files at the same mean quality.  [default: steady]",
)
@batch_options
@cluster_option
@engine_options
@message_options
def encode(
    inputs: tuple[str, ...],
    quality: float | None,
    bpp: float | None,
    bitrate: float | None,
    target_size: int | None,
    effort: int,
    strip: bool,
    frame: int | None,
    model: str | None,
    audio: str | None,
    no_sound: bool,
    sound_quality: float | None,
    group: int | None,
    bframes: int | None,
    steady: bool,
    output_dir: str | None,
    jobs: int,
    force: bool,
    cluster: str | None,
    engine: Engine,
    messages: Messages,
) -> None:
    """Encode the picture, sound or video IN to the .vqc file OUT.

    IN is any file that Pillow, libsndfile or FFmpeg reads, or - for standard input. Without OUT, photo.png becomes photo.vqc
    beside it; OUT can be - for standard output. Several inputs, and folders with all pictures, sounds and videos below them,
    need -o DIR. With one video, -j N works on N groups of frames
    at a time (by itself on one for each core). Inputs are never changed.
    """
    if no_sound and audio not in (None, "none"):
        raise click.UsageError(f"--no-sound and --audio {audio} exclude each other.")
    if audio == "copy" and sound_quality is not None:
        raise click.UsageError("--sound-quality is for sound that is coded, not for --audio copy.")
    wish = chosen_quality(quality, bpp, bitrate, target_size)
    todo = jobs_for(inputs, output_dir, extension=EXTENSION, wanted=is_encodable, is_output=is_vqc, as_json=messages.as_json)
    workers = min(jobs, len(todo))
    sound, groups = "none" if no_sound else audio or "code", groups_at_a_time(jobs, todo)
    video = VideoChoice(sound, sound_quality, group, bframes, steady, groups)
    work = EncodeFile(wish, effort, strip, frame, force, engine, workers, video, model)
    click.get_current_context().exit(report(run_files(work, todo, workers, cluster), len(todo), messages))


def is_vqc(name: str) -> bool:
    """Whether the name ends in .vqc."""
    return name.lower().endswith(EXTENSION)


def is_picture(name: str) -> bool:
    """Whether Pillow has a reader for files of this extension."""
    return os.path.splitext(name)[1].lower() in _picture_extensions()


def is_encodable(name: str) -> bool:
    """Whether the extension of the name is one of a picture, a sound or a video."""
    return is_picture(name) or os.path.splitext(name)[1].lower() in SOUND_EXTENSIONS | VIDEO_EXTENSIONS


@cache
def _picture_extensions() -> frozenset[str]:
    from PIL import Image

    formats = Image.registered_extensions()
    return frozenset(extension for extension, name in formats.items() if name in Image.OPEN and name not in _NO_PICTURE)
