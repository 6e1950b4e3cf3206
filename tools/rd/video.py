"""Videos as a medium of `vqc rd`: frames in YUV 4:2:0 of 8 bits as stored, by kbit/s of whole files."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np

from vqc.media import VIDEO_EXTENSIONS
from vqc.places import is_url, read_url

from .medium import Medium, Preview, Series
from .picture import detail_window, png
from .video_metrics import METRICS, Film, frame_psnr, psnr_yuv

_FORMATS = ("yuv420p", "yuvj420p")
# Wider frames are shown by the window with the most detail.
_WHOLE = 640


@lru_cache(maxsize=1)
def load(source: str) -> Film:
    """Every frame of the first video track, as decoded: no conversion, scaling or turning.

    Raises ValueError for other than 4:2:0 with 8 bits, odd sizes, and what is no video.
    """
    try:
        return read_film(io.BytesIO(read_url(source)) if is_url(source) else source)
    except av.FFmpegError as error:
        raise ValueError(f"{source} is no video that can be read: {error}") from error
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def read_film(file: io.BytesIO | str, container: str | None = None, threads: int = 0) -> Film:
    """The film in a file of the container format; threads: of the decoder, 0 for any. Raises FFmpegError, ValueError."""
    with av.open(file, format=container) as opened:
        if not opened.streams.video:
            raise ValueError("there is no video in this file")
        stream = opened.streams.video[0]
        stream.codec_context.thread_count = threads
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        return film_of(opened.decode(stream), Fraction(rate))


def film_of(frames: Iterable[av.VideoFrame], rate: Fraction) -> Film:
    """The frames as one film. Raises ValueError for none, and for frames not 4:2:0 with 8 bits, of odd or of several sizes."""
    planes = []
    for frame in frames:
        if frame.format.name not in _FORMATS or frame.width % 2 or frame.height % 2:
            what = f"{frame.format.name} of {frame.width}x{frame.height}"
            raise ValueError(f"frames are {what}; YUV 4:2:0 of 8 bits and even sizes is compared")
        planes.append(frame.to_ndarray())
        if planes[-1].shape != planes[0].shape:
            raise ValueError("the size of the frames changes")
    if not planes:
        raise ValueError("there are no frames")
    film = Film(np.stack(planes), rate)
    film.frames.flags.writeable = False  # shared by every measurement of this process
    return film


def fit(original: Film, decoded: Film) -> Film:
    """The decoded film as it is. Raises RuntimeError for another number or size of frames."""
    if decoded.frames.shape != original.frames.shape or decoded.frames.dtype != np.uint8:
        raise RuntimeError(f"decoded {decoded.frames.shape} {decoded.frames.dtype} from {original.frames.shape} uint8")
    return decoded


def _preview(original: Film, decoded: Film) -> Preview:
    one, other = (_middle(film) for film in (original, decoded))
    if one.shape[1] > _WHOLE:
        x, y, width, height = detail_window(one)
        other = other[y : y + height, x : x + width]
    return Preview(png(other), None, None if decoded is original else _series(original, decoded))


def _series(original: Film, decoded: Film) -> list[float]:
    return frame_psnr(original, decoded).round(3).tolist()


def _middle(film: Film) -> np.ndarray:
    """The frame in the middle as (H, W, 3) RGB."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(film.frames[len(film.frames) // 2]), format="yuv420p")
    return frame.to_ndarray(format="rgb24")


def _is_video(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in VIDEO_EXTENSIONS


VIDEO = Medium(
    name="video",
    plural="videos",
    is_file=_is_video,
    load=load,
    fit=fit,
    facts={
        "width": lambda film: film.width,
        "height": lambda film: film.height,
        "frames": lambda film: len(film.frames),
        "duration": lambda film: float(len(film.frames) / film.rate),
    },
    rates={
        "kbps": lambda facts: 1000 * facts["duration"],
        "bpp": lambda facts: facts["width"] * facts["height"] * facts["frames"],
    },
    rate_name="kbit/s",
    logarithmic=True,
    unit="frame",
    units=lambda facts: facts["frames"],
    metrics=METRICS,
    codecs="vqc,x264,x265,svt-av1,vp9",
    chosen_metrics="psnr-yuv,psnr-y,ms-ssim",
    anchor="x264",
    preview=_preview,
    figure=lambda original, decoded: f"{psnr_yuv(original, decoded):.2f} dB",
    look=("The same frame at the same size", "The frame in the middle; below, the quality of every frame."),
    series=Series("frame-psnr-yuv", "YUV-PSNR, dB", _series),
)
