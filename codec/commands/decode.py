"""`vqc decode`: .vqc files to pictures, sounds and videos."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import click

from vqc.batch import STREAM, Job, Outcome
from vqc.bitstream.header import PREFIX_SIZE
from vqc.commands.damage import damage_lines, damage_record
from vqc.commands.encode import is_vqc
from vqc.commands.options import (
    FILE,
    Engine,
    FiniteFloat,
    Messages,
    Region,
    batch_options,
    cluster_option,
    combine,
    engine_options,
    message_options,
)
from vqc.commands.report import report, shown
from vqc.commands.targets import groups_at_a_time, jobs_for, open_target, run_files, source_of
from vqc.failures import CORRUPT
from vqc.media import AUDIO, IMAGE, MEDIA, VIDEO, peek
from vqc.places import size_of

# Format names as --format takes them, with their extensions; output names are made with the first.
FORMATS = {
    "png": (".png",),
    "tiff": (".tif", ".tiff"),
    "jpeg": (".jpg", ".jpeg", ".jfif"),
    "webp": (".webp",),
    "avif": (".avif",),
    "jp2": (".jp2", ".j2k"),
    "bmp": (".bmp",),
    "ppm": (".ppm", ".pgm", ".pnm"),
    "tga": (".tga",),
}
DEFAULT_FORMAT = "png"
SOUND_FORMATS = {"wav": ".wav", "flac": ".flac", "aiff": ".aiff", "w64": ".w64"}
SOUND_DEFAULT = ".wav"
VIDEO_FORMATS = {"mkv": ".mkv", "y4m": ".y4m", "mp4": ".mp4", "mov": ".mov", "avi": ".avi"}
UNNAMED = ".?"  # extension of an output whose medium only its input tells
_FORMAT_OF = {extension: name for name, extensions in FORMATS.items() for extension in extensions}

format_options = combine(
    click.option(
        "--format",
        "format_name",
        type=click.Choice([*FORMATS, *SOUND_FORMATS, *VIDEO_FORMATS], case_sensitive=False),
        help="Format of what is written; jpeg, avif, jp2, mp4 and mov lose a little.  "
        "[default: by the extension of OUT; png, wav or y4m for -]",
    ),
    click.option(
        "--eight-bit",
        is_flag=True,
        help="Round a 16-bit picture to 8 bits where the format holds no more.  [default: refuse]",
    ),
)


@dataclass(frozen=True)
class DecodeFile:
    """Decode the input of one job to its target. Picklable, so that worker processes can run it."""

    format: str | None
    eight_bit: bool
    region: tuple[int, int, int, int] | None
    allow_partial: bool
    force: bool
    engine: Engine
    workers: int = 1
    start: float = 0.0
    duration: float | None = None
    frames: int | None = None
    jobs: int = 1

    def __call__(self, job: Job) -> Outcome:
        from vqc import api
        from vqc.image_files import write_image

        source = source_of(job)
        medium, source = vqc_medium(source)
        if medium != VIDEO and self.frames is not None:
            raise ValueError(f"--frames is for video, and this is {_A[medium]}")
        if medium != IMAGE and self.region is not None:
            raise ValueError(f"--region is for pictures, and this is {_A[medium]}")
        if medium == AUDIO:
            return self._sound(job, source)
        if medium == VIDEO:
            return self._video(job, source)
        if self.start or self.duration is not None:
            raise ValueError("--start and --duration are for sound and video, and this is a picture")
        job = replace(job, target=named_for(job.target, IMAGE, self.format))
        start = perf_counter()
        with open_target(job, self.force) as file:
            decoded = api.decode(
                source, region=self.region, allow_partial=self.allow_partial, **self.engine.arguments(self.workers)
            )
            write_image(decoded.content, file, self.format or format_of(job.target), eight_bit=self.eight_bit)
        seconds = perf_counter() - start
        width, height = decoded.content.width, decoded.content.height
        record: dict[str, Any] = {
            "input": job.source,
            "output": job.target,
            "width": width,
            "height": height,
            "seconds": round(seconds, 4),
            "damage": [damage_record(damage) for damage in decoded.damage],
        }
        if job.target != STREAM:
            record["bytes"] = size_of(job.target)
        summary = f"{shown(job.source)} -> {shown(job.target, 'stdout')}: {width}x{height}, {seconds:.2f} s"
        problems = damage_lines(decoded.damage)
        return Outcome(job, record, summary, problems, CORRUPT if problems else 0)

    def _sound(self, job: Job, source: Any) -> Outcome:
        """Block by block, so that the length of a sound costs no memory."""
        from vqc import api
        from vqc.sound_files import SoundWriter

        job = replace(job, target=named_for(job.target, AUDIO, self.format))
        extension = self._extension(job, SOUND_DEFAULT)
        start, samples = perf_counter(), 0
        options = {"start": self.start, "duration": self.duration, "allow_partial": self.allow_partial}
        with (
            api.open_sound_stream(source, **options, **self.engine.arguments(self.workers)) as stream,
            open_target(job, self.force) as file,
        ):
            writer = SoundWriter(file, stream.kind, extension)
            for block in stream.blocks():
                writer.write(block)
                samples += block.shape[1]
            writer.close()
            damage = stream.damage
        seconds = perf_counter() - start
        record: dict[str, Any] = {
            "input": job.source,
            "output": job.target,
            "rate": stream.kind.rate,
            "channels": stream.kind.channels,
            "duration": samples / stream.kind.rate,
            "seconds": round(seconds, 4),
            "damage": [damage_record(one) for one in damage],
        }
        if job.target != STREAM:
            record["bytes"] = size_of(job.target)
        summary = f"{shown(job.source)} -> {shown(job.target, 'stdout')}: {record['duration']:.2f} s, {seconds:.2f} s"
        problems = damage_lines(damage)
        return Outcome(job, record, summary, problems, CORRUPT if problems else 0)

    def _extension(self, job: Job, of_stream: str) -> str:
        """Extension that tells the format: of --format, else of the output; `of_stream` for standard output."""
        if self.format:
            return f".{self.format}"
        return of_stream if job.target == STREAM else os.path.splitext(job.target or "")[1].lower()

    def _video(self, job: Job, source: Any) -> Outcome:
        """Frame by frame, the sound in step with them."""
        from vqc import api
        from vqc.copied_payload import SoundPacket
        from vqc.video import Frame
        from vqc.video_writers import PICTURES, PictureSequence, open_writer

        job = replace(job, target=named_for(job.target, VIDEO, self.format))
        extension = self._extension(job, VIDEO_FORMATS["y4m"])
        pictures = extension == PICTURES
        options = {"start": self.start, "duration": self.duration, "allow_partial": self.allow_partial, "jobs": self.jobs}
        start, count, begin = perf_counter(), 0, 0
        with (
            api.open_video_stream(source, **options, **self.engine.arguments(self.workers)) as stream,
            nullcontext() if pictures else open_target(job, self.force) as file,
        ):
            if file is None:
                writer = PictureSequence(job.target or "", stream.kind, self.force)
            else:
                writer = open_writer(file, stream.kind, extension)
            track = stream.kind.track
            for item in stream.together(writer.copies):
                if isinstance(item, Frame):
                    if count == self.frames:
                        break
                    begin = item.tick if self.start and not count else begin
                    writer.frame(replace(item, tick=item.tick - begin))
                    count += 1
                elif isinstance(item, SoundPacket):
                    tick = item.tick - round(begin * stream.kind.base / track.base)
                    if tick >= 0 or not self.start:  # of a part, nothing from before its first frame
                        writer.packet(item._replace(tick=tick))
                else:
                    writer.sound(item)
            writer.close()
            damage = stream.damage
        seconds = perf_counter() - start
        record: dict[str, Any] = {
            "input": job.source,
            "output": job.target,
            "width": stream.kind.width,
            "height": stream.kind.height,
            "frames": count,
            "seconds": round(seconds, 4),
            "damage": [damage_record(one) for one in damage],
        }
        if job.target != STREAM and not pictures:
            record["bytes"] = size_of(job.target)
        summary = (
            f"{shown(job.source)} -> {shown(job.target, 'stdout')}: {count} frames of "
            f"{stream.kind.width}x{stream.kind.height}, {seconds:.2f} s, {count / seconds:.1f} frames/s"
        )
        problems = damage_lines(damage)
        if extension in (".y4m", PICTURES) and stream.kind.sound is not None:
            problems = (f"warning: {extension[1:]} has no place for the sound", *problems)
        elif track is not None and not writer.copies:
            told = f"warning: {extension[1:]} does not take the sound, {track.codec}, as it is: it is coded anew"
            problems = (told, *problems)
        return Outcome(job, record, summary, problems, CORRUPT if damage else 0)


_A = {IMAGE: "a picture", AUDIO: "a sound", VIDEO: "a video"}


@click.command(
    epilog="Exit codes: 0 done, 1 failure, 2 usage, 3 corrupt or truncated, 4 unsupported version or model, 5 limit exceeded, "
    "130 interrupted. Several files: the highest."
)
@click.argument("inputs", metavar="IN [OUT]", nargs=-1, required=True, type=FILE)
@format_options
@click.option(
    "--region",
    type=Region(),
    help="Decode this part only, in pixels from the top left corner of the stored picture; reads only the tiles it needs.  "
    "[default: all]",
)
@click.option(
    "--start",
    type=FiniteFloat(0),
    default=0.0,
    metavar="SECONDS",
    help="Of a sound or video: begin here; reads only what it needs.  [default: 0]",
)
@click.option(
    "--duration",
    type=FiniteFloat(0, min_open=True),
    metavar="SECONDS",
    help="Of a sound or video: decode so much.  [default: to the end]",
)
@click.option("--frames", type=click.IntRange(1), metavar="N", help="Of a video: decode N frames.  [default: to the end]")
@click.option(
    "--allow-partial",
    is_flag=True,
    help="From a damaged file, write what is whole, say what is missing, and exit with 3.  [default: write nothing]",
)
@batch_options
@cluster_option
@engine_options
@message_options
def decode(
    inputs: tuple[str, ...],
    format_name: str | None,
    eight_bit: bool,
    region: tuple[int, int, int, int] | None,
    start: float,
    duration: float | None,
    frames: int | None,
    allow_partial: bool,
    output_dir: str | None,
    jobs: int,
    force: bool,
    cluster: str | None,
    engine: Engine,
    messages: Messages,
) -> None:
    """Decode the .vqc file IN to the picture, sound or video OUT.

    IN can be - for standard input. Without OUT, photo.vqc becomes photo.png beside it, a sound talk.vqc talk.wav, and a video
    clip.vqc clip.mkv (FFV1, lossless). The extension of OUT chooses the format; frame-%05d.png makes a picture of every frame.
    OUT can be - for standard output. Several inputs, and folders with all the .vqc files below them, need -o DIR. With
    one video, -j N works on N groups of frames at a time (by itself on one for each core). Inputs are never changed.
    """
    named = SOUND_FORMATS | VIDEO_FORMATS
    extension = FORMATS[format_name][0] if format_name in FORMATS else named.get(format_name or "", UNNAMED)
    todo = jobs_for(inputs, output_dir, extension=extension, wanted=is_vqc, is_output=is_writable, as_json=messages.as_json)
    if output_dir is None and not todo[0].target.endswith(UNNAMED):
        check_format(todo[0].target, format_name)
    workers = min(jobs, len(todo))
    choices = {"start": start, "duration": duration, "frames": frames, "jobs": groups_at_a_time(jobs, todo)}
    work = DecodeFile(format_name, eight_bit, region, allow_partial, force, engine, workers, **choices)
    click.get_current_context().exit(report(run_files(work, todo, workers, cluster), len(todo), messages))


def is_writable(name: str) -> bool:
    """Whether the extension of the name is that of a format in which something is written."""
    return os.path.splitext(name)[1].lower() in [e for extensions in _EXTENSIONS.values() for e in extensions]


def vqc_medium(source: Any) -> tuple[str, Any]:
    """Medium of a .vqc source (a picture where it is none), and the source with what was read of it put back."""
    prefix, source = peek(source, PREFIX_SIZE + 1)
    return MEDIA.get(prefix[PREFIX_SIZE:], IMAGE), source


def named_for(target: str | None, medium: str, format_name: str | None) -> str | None:
    """The output name, with the usual extension of the medium where it has none; ValueError where it has one of another."""
    if target is None or target == STREAM:
        return target
    own = _EXTENSIONS[medium]
    if target.endswith(UNNAMED):
        return target.removesuffix(UNNAMED) + own[0]
    extension = FORMATS[format_name][0] if format_name in FORMATS else f".{format_name}" if format_name else ""
    extension = extension or os.path.splitext(target)[1].lower()
    if extension not in own and (medium != IMAGE or is_writable(f"x{extension}")):
        raise ValueError(f"this is {_A[medium]}; OUT needs one of the extensions {' '.join(own)}, or --format")
    return target


_EXTENSIONS = {
    IMAGE: list(_FORMAT_OF),
    AUDIO: list(SOUND_FORMATS.values()),
    VIDEO: [*VIDEO_FORMATS.values(), ".png"],
}


def format_of(target: str) -> str:
    """Format name for an output by its extension; ValueError when no format has it."""
    if target == STREAM:
        return DEFAULT_FORMAT
    extension = os.path.splitext(target)[1].lower()
    if not is_writable(target):
        known = [e for extensions in _EXTENSIONS.values() for e in extensions]
        raise ValueError(f"no format for the extension of {target}; one of {' '.join(known)}, or --format.")
    return _FORMAT_OF.get(extension, extension[1:])


def check_format(target: str, format_name: str | None) -> None:
    """A usage error, before anything is done, when the output has neither --format nor an extension that tells one."""
    if format_name is None:
        try:
            format_of(target)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
