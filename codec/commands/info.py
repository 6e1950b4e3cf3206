"""`vqc info`: what a .vqc file says of itself, without decoding it and without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from vqc.batch import Job, Outcome, run_jobs
from vqc.commands.options import FILE, LimitChoice, Messages, limit_options, message_options
from vqc.commands.report import report, shown
from vqc.commands.targets import source_of

if TYPE_CHECKING:
    from vqc.inspection import FileInfo, SoundInfo, VideoInfo


@dataclass(frozen=True)
class ShowInfo:
    """Tell what the input of one job holds."""

    limits: LimitChoice

    def __call__(self, job: Job) -> Outcome:
        from vqc import api

        info = api.inspect(source_of(job), limits=self.limits.limits())
        if info.media == "audio":
            return _sound(job, info)
        if info.media == "video":
            return _video(job, info)
        record = {
            **_head(job, info),
            "width": info.width,
            "height": info.height,
            "channels": info.channels,
            "depth": info.depth,
            "alpha": info.alpha,
            "orientation": info.orientation,
            "quality": info.quality,
            "tile": info.tile,
            "segments": info.segments,
            "bytes": info.file_size,
            "bpp": info.bpp,
            "metadata": {kind: len(content) for kind, content in info.metadata.items()},
        }
        return Outcome(job, record, _for_people(record))


def _head(job: Job, info: FileInfo) -> dict[str, Any]:
    return {
        "input": job.source,
        "media": info.media,
        "version": info.version,
        "model": info.model,
        "weights": info.weights,
    }


def _sound(job: Job, info: SoundInfo) -> Outcome:
    record = {
        **_head(job, info),
        "rate": info.rate,
        "channels": info.channels,
        "depth": info.depth,
        "samples": info.samples,
        "duration": info.seconds,
        "quality": info.quality,
        "span": info.span,
        "segments": info.segments,
        "bytes": info.file_size,
        "kbps": info.kbps,
        "metadata": {kind: len(content) for kind, content in info.metadata.items()},
    }
    length = f"{info.seconds:.3f} s, {info.samples} samples" if info.samples else "not told by the header"
    rows = {
        "media": f"{info.media}, format version {info.version}",
        "model": f"{info.model}, weights {info.weights}",
        "sound": f"{info.rate} Hz, {'stereo' if info.channels == 2 else 'mono'}, {info.depth} bits",
        "length": length,
        "quality": f"{info.quality:g}",
        "segments": f"{info.segments}, spans of {info.span * 0.02:.2f} s",
        "bytes": f"{info.file_size}" + (f", {info.kbps:.3f} kbit/s" if info.samples else ""),
        "metadata": ", ".join(f"{kind} {len(content)} bytes" for kind, content in info.metadata.items()) or "none",
    }
    return Outcome(job, record, _listed(job.source, rows))


def _video(job: Job, info: VideoInfo) -> Outcome:
    from vqc.inspection import CopiedSoundInfo

    sound, heard = None, "none"
    if info.sound is not None:
        copied = isinstance(info.sound, CopiedSoundInfo)
        source = {"codec": info.sound.codec} if copied else {"model": info.sound.model}
        sound = {**source, "rate": info.sound.rate, "channels": info.sound.channels}
        how = f"{info.sound.codec}, copied" if copied else f"model {info.sound.model}"
        heard = f"{how}, {info.sound.rate} Hz, {info.sound.channels} channels"
    record = {
        **_head(job, info),
        "width": info.width,
        "height": info.height,
        "rate": info.rate,
        "frames": info.frames,
        "duration": info.seconds,
        "rotation": info.rotation,
        "quality": info.quality,
        "group": info.group,
        "sound": sound,
        "segments": info.segments,
        "bytes": info.file_size,
        "kbps": info.kbps,
        "metadata": {kind: len(content) for kind, content in info.metadata.items()},
    }
    rows = {
        "media": f"{info.media}, format version {info.version}",
        "model": f"{info.model}, weights {info.weights}",
        "size": f"{info.width}x{info.height}" + (f", to be turned by {info.rotation} degrees" if info.rotation else ""),
        "length": f"{info.seconds:.3f} s, {info.frames} frames, {info.rate:g} a second" if info.frames else "not told",
        "sound": heard,
        "quality": f"{info.quality:g}",
        "segments": f"{info.segments}, groups of {info.group} frames",
        "bytes": f"{info.file_size}" + (f", {info.kbps:.2f} kbit/s" if info.frames else ""),
        "metadata": ", ".join(f"{kind} {len(content)} bytes" for kind, content in info.metadata.items()) or "none",
    }
    return Outcome(job, record, _listed(job.source, rows))


def _listed(name: str, rows: dict[str, object]) -> str:
    return "\n".join([shown(name), *(f"  {key + ':':<13}{value}" for key, value in rows.items())])


def _for_people(record: dict[str, Any]) -> str:
    colour = ("grey" if record["channels"] == 1 else "RGB") + (" and alpha" if record["alpha"] else "")
    metadata = ", ".join(f"{kind} {size} bytes" for kind, size in record["metadata"].items())
    rows = {
        "media": f"{record['media']}, format version {record['version']}",
        "model": f"{record['model']}, weights {record['weights']}",
        "size": f"{record['width']}x{record['height']}, {colour}, {record['depth']} bits",
        "orientation": record["orientation"],
        "quality": f"{record['quality']:g}",
        "segments": f"{record['segments']}, tiles of {record['tile']}",
        "bytes": f"{record['bytes']}, {record['bpp']:.4f} bits per pixel",
        "metadata": metadata or "none",
    }
    return _listed(record["input"], rows)


@click.command(
    epilog="Exit codes: 0 done, 1 failure, 2 usage, 3 corrupt or truncated, 4 unsupported version, 5 limit exceeded."
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
@limit_options
@message_options
def info(files: tuple[str, ...], limits: LimitChoice, messages: Messages) -> None:
    """Show what a .vqc FILE holds: size, model, quality, metadata.

    Reads the header and the index only, decodes nothing, and answers at once. FILE can be - for standard input. "bytes" is the
    whole file, and bits per pixel count all of it.
    """
    outcomes = run_jobs(ShowInfo(limits), [Job(file) for file in files])
    click.get_current_context().exit(report(outcomes, len(files), messages, answer=True))
