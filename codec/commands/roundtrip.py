"""`vqc roundtrip`: encode and decode in memory, to see what a quality costs and gives."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from vqc.batch import STREAM, Job, Outcome, run_jobs
from vqc.commands.decode import check_format, format_of, format_options
from vqc.commands.options import (
    FILE,
    Engine,
    Messages,
    chosen_quality,
    effort_option,
    engine_options,
    message_options,
    quality_options,
    strip_option,
)
from vqc.commands.report import report, shown
from vqc.commands.targets import open_target, source_of

if TYPE_CHECKING:
    import numpy as np

    from vqc.audio_api import DecodedSound
    from vqc.video_api import DecodedVideo

_ROWS = 512  # of a picture at a time in float64, so that 100 megapixels need no gigabytes beside themselves


def psnr(reference: np.ndarray, decoded: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB over all samples (H, W, C), uint8 or uint16; infinite when equal.

    10 log10(peak^2 / MSE), the mean squared error in float64, peak 255 or 65535 by the type. Raises ValueError when shapes or
    types differ.
    """
    import numpy as np

    if reference.shape != decoded.shape or reference.dtype != decoded.dtype:
        raise ValueError(
            f"decoded picture is {decoded.shape} {decoded.dtype}, but the original {reference.shape} {reference.dtype}"
        )
    total = 0.0
    for top in range(0, len(reference), _ROWS):
        difference = reference[top : top + _ROWS].astype(np.float64) - decoded[top : top + _ROWS]
        total += float(np.sum(difference * difference))
    peak = np.iinfo(reference.dtype).max
    return math.inf if total == 0 else 10 * math.log10(peak**2 * reference.size / total)


@dataclass(frozen=True)
class RoundTrip:
    """Encode and decode the input of one job in memory, and write the decoded picture if the job has a target."""

    quality: dict[str, float]
    effort: int
    strip: bool
    force: bool
    format: str | None
    eight_bit: bool
    engine: Engine

    def __call__(self, job: Job) -> Outcome:
        from contextlib import ExitStack

        from vqc import api
        from vqc.audio_api import DecodedSound, write_sound_file
        from vqc.image_files import read_image, write_image
        from vqc.video_api import DecodedVideo

        arguments = self.engine.arguments()
        with ExitStack() as stack:
            file = stack.enter_context(open_target(job, self.force)) if job.target else None
            source = source_of(job)
            if job.source == STREAM:
                source = source.read()
            start = perf_counter()
            data = api.encode(source, **self.quality, effort=self.effort, strip=self.strip, **arguments)
            middle = perf_counter()
            decoded = api.decode(data, **arguments)
            end = perf_counter()
            if isinstance(decoded, DecodedSound):
                if file is not None and job.target:
                    write_sound_file(decoded, file, job.target)
                return self._sound(job, data, decoded, start, middle, end)
            if isinstance(decoded, DecodedVideo):
                return self._video(job, source, data, decoded, file, middle - start)
            quality_db = psnr(read_image(source, limits=arguments["limits"]).colour, decoded.content.colour)
            if file is not None and job.target:
                write_image(decoded.content, file, self.format or format_of(job.target), eight_bit=self.eight_bit)
        info = api.inspect(data, limits=arguments["limits"])
        record = {
            "input": job.source,
            "output": job.target,
            "bytes": len(data),
            "width": info.width,
            "height": info.height,
            "bpp": info.bpp,
            "quality": info.quality,
            # JSON has no infinity: null is a picture that came back equal.
            "psnr": quality_db if math.isfinite(quality_db) else None,
            "encode_seconds": round(middle - start, 4),
            "decode_seconds": round(end - middle, 4),
            "seconds": round(end - start, 4),
        }
        summary = (
            f"{shown(job.source)}: {info.width}x{info.height}, quality {info.quality:g}, {len(data)} bytes, "
            f"{info.bpp:.4f} bpp, {quality_db:.2f} dB PSNR, encode {middle - start:.2f} s, decode {end - middle:.2f} s"
        )
        return Outcome(job, record, summary)

    def _video(self, job: Job, source: Any, data: bytes, decoded: DecodedVideo, file: Any, encode_seconds: float) -> Outcome:
        """Squared errors are summed over all frames, then PSNR is taken of each plane and weighted 6:1:1."""
        import numpy as np

        from vqc.video_files import open_video
        from vqc.video_writers import open_writer

        extension = f".{self.format}" if self.format else os.path.splitext(job.target or "")[1].lower()
        writer = open_writer(file, replace(decoded.kind, sound=None), extension) if file is not None else None
        errors, samples, count, decode_seconds = np.zeros(3), np.zeros(3), 0, 0.0
        with open_video(source, sound=False) as original:
            start = perf_counter()
            for before, after in zip(original.frames(), decoded, strict=True):
                decode_seconds += perf_counter() - start
                for i, (a, b) in enumerate(zip((before.y, *before.uv), (after.y, *after.uv))):
                    errors[i] += np.sum((a.astype(np.float64) - b) ** 2)
                    samples[i] += a.size
                count += 1
                if writer is not None:
                    writer.frame(after)
                start = perf_counter()
        if writer is not None:
            writer.close()
        y, u, v = (math.inf if e == 0 else 10 * math.log10(255**2 * n / e) for e, n in zip(errors, samples))
        quality_db, kbps = (6 * y + u + v) / 8, 8 * len(data) * float(decoded.kind.rate) / count / 1000
        record = {
            "input": job.source,
            "output": job.target,
            "bytes": len(data),
            "frames": count,
            "kbps": kbps,
            "psnr_yuv": quality_db if math.isfinite(quality_db) else None,
            "encode_seconds": round(encode_seconds, 4),
            "decode_seconds": round(decode_seconds, 4),
        }
        summary = (
            f"{shown(job.source)}: {count} frames, {len(data)} bytes, {kbps:.1f} kbit/s, {quality_db:.2f} dB PSNR (YUV 6:1:1), "
            f"encode {encode_seconds:.2f} s, decode {decode_seconds:.2f} s"
        )
        return Outcome(job, record, summary)

    @staticmethod
    def _sound(job: Job, data: bytes, decoded: DecodedSound, start: float, middle: float, end: float) -> Outcome:
        length = len(decoded.samples) / decoded.rate
        record = {
            "input": job.source,
            "output": job.target,
            "bytes": len(data),
            "duration": length,
            "kbps": 8 * len(data) / length / 1000 if length else None,
            "encode_seconds": round(middle - start, 4),
            "decode_seconds": round(end - middle, 4),
            "seconds": round(end - start, 4),
        }
        rate = f", {record['kbps']:.2f} kbit/s" if length else ""
        summary = (
            f"{shown(job.source)}: {length:.2f} s, {len(data)} bytes{rate}, encode {middle - start:.2f} s, "
            f"decode {end - middle:.2f} s"
        )
        return Outcome(job, record, summary)


@click.command(epilog="Exit codes: 0 done, 1 failure, 2 usage, 5 limit exceeded, 130 interrupted.")
@click.argument("source", metavar="IN", type=FILE)
@click.argument("target", metavar="[OUT]", required=False, type=FILE)
@quality_options
@effort_option
@strip_option
@format_options
@click.option("-f", "--force", is_flag=True, help="Overwrite OUT if it exists.  [default: an OUT that exists is an error]")
@engine_options
@message_options
def roundtrip(
    source: str,
    target: str | None,
    quality: float | None,
    bpp: float | None,
    bitrate: float | None,
    target_size: int | None,
    effort: int,
    strip: bool,
    format_name: str | None,
    eight_bit: bool,
    force: bool,
    engine: Engine,
    messages: Messages,
) -> None:
    """Encode and decode the picture, sound or video IN in memory and print bytes, rate, times, and PSNR but for sound.

    Bytes are those of the whole .vqc file. PSNR is over the colour samples (RGB, or grey), peak 255 or 65535; of a video over
    all frames, (6 Y + U + V) / 8. Times include loading the models. IN can be - for standard input; with OUT, what was decoded
    is written there, of a video the frames.
    """
    wish = chosen_quality(quality, bpp, bitrate, target_size)
    if target == STREAM:
        raise click.UsageError("the figures and the picture cannot share standard output; give a file as OUT.")
    if target is not None:
        check_format(target, format_name)
    work = RoundTrip(wish, effort, strip, force, format_name, eight_bit, engine)
    outcomes = run_jobs(work, [Job(source, target)])
    click.get_current_context().exit(report(outcomes, 1, messages, answer=True))
