"""Sound files to blocks of samples and back: soundfile first, PyAV for what it does not read (m4a, the sound of a video)."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile

from .image_files import UnreadableInput
from .sound import SoundFormat

BLOCK = 1 << 16  # samples of each channel that are read at a time
TAGS = ("title", "artist", "album", "date", "genre", "comment", "copyright", "tracknumber", "software", "license")
_DEPTHS = {"PCM_U8": 16, "PCM_S8": 16, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 32}
_SUBTYPES = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}
# Extension: format of soundfile, and the deepest samples that it holds.
FORMATS = {".wav": ("WAV", 32), ".flac": ("FLAC", 24), ".aiff": ("AIFF", 32), ".aif": ("AIFF", 32), ".w64": ("W64", 32)}

Blocks = Iterator[np.ndarray]


@contextmanager
def open_sound(source: Any, rate: int | None = None) -> Iterator[tuple[SoundFormat, Blocks]]:
    """Format and blocks (C, n) float32 of a path, bytes, binary file object, or array (N,) or (N, C) with its `rate`.

    Raises UnreadableInput for what is no sound, or has more than two channels or a rate outside 8000 to 192000 Hz.
    """
    if isinstance(source, np.ndarray):
        yield _array(source, rate)
        return
    path = os.fspath(source) if isinstance(source, str | os.PathLike) else None
    name = path or "the input"
    file: Any = io.BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else source
    seekable = path is not None or file.seekable()
    start = file.tell() if path is None and seekable else 0
    try:
        if not seekable:
            raise soundfile.LibsndfileError(1)  # libsndfile has to seek, FFmpeg takes most formats from a pipe
        with soundfile.SoundFile(path or file) as sound:
            kind = SoundFormat(sound.samplerate, sound.channels, _DEPTHS.get(sound.subtype, 16), sound.frames, _tags(sound))
            _check(kind, name)
            yield kind, _soundfile_blocks(sound, name)
            return
    except soundfile.LibsndfileError:
        if path is None and seekable:
            file.seek(start)
    try:
        container = av.open(path or file)
    except (av.FFmpegError, ValueError, OSError) as error:
        if isinstance(error, OSError) and not isinstance(error, av.FFmpegError):
            raise
        raise UnreadableInput(name, "no picture or sound that can be read") from None
    with container:
        if not container.streams.audio:
            raise UnreadableInput(name, "there is no sound in this file")
        stream = container.streams.audio[0]
        channels, fmt = stream.codec_context.channels, stream.codec_context.format
        codec = stream.codec_context.name
        deep = fmt is not None and fmt.name.startswith(("s32", "flt", "dbl")) and codec in _LOSSLESS
        depth = 32 if codec.startswith("pcm_f") else 24 if deep else 16
        tags = {k.lower(): v for k, v in container.metadata.items() if k.lower() in TAGS}
        kind = SoundFormat(stream.codec_context.sample_rate, channels, depth, 0, tags)
        _check(kind, name)
        yield kind, _av_blocks(container, kind, name)


_LOSSLESS = {"alac", "flac", "wavpack", "tta", "pcm_s24le", "pcm_s24be", "pcm_f32le", "pcm_s32le", "truehd"}


def _check(kind: SoundFormat, name: str) -> None:
    if kind.channels not in (1, 2):
        raise UnreadableInput(name, f"{kind.channels} channels: mono and stereo can be coded; mix it down first")
    if not 8000 <= kind.rate <= 192000:
        raise UnreadableInput(name, f"{kind.rate} samples a second: 8000 to 192000 can be coded")


def _array(samples: np.ndarray, rate: int | None) -> tuple[SoundFormat, Blocks]:
    if rate is None:
        raise ValueError("an array of samples needs its rate")
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "fi":
        raise ValueError(f"samples are {samples.dtype} with {samples.ndim} axes: (N,) or (N, C), float or int16, is needed")
    columns = samples[:, None] if samples.ndim == 1 else samples
    if samples.dtype.kind == "i":
        columns = columns.astype(np.float64) / -float(np.iinfo(samples.dtype).min)
    elif not np.isfinite(samples).all():
        raise ValueError("samples are not all finite")
    depth = {1: 16, 2: 16}.get(samples.dtype.itemsize, 24) if samples.dtype.kind == "i" else 32
    kind = SoundFormat(rate, columns.shape[1], depth, len(columns))
    _check(kind, "the array")
    planar = np.ascontiguousarray(columns.T, np.float32)
    return kind, iter(np.split(planar, range(BLOCK, planar.shape[1], BLOCK), axis=1))


def _soundfile_blocks(sound: soundfile.SoundFile, name: str) -> Blocks:
    while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
        if not np.isfinite(block).all():
            raise UnreadableInput(name, "samples are not all finite")
        yield np.ascontiguousarray(block.T)


def _av_blocks(container: Any, kind: SoundFormat, name: str) -> Blocks:
    convert = av.AudioResampler(format="fltp", layout="mono" if kind.channels == 1 else "stereo", rate=kind.rate)
    try:
        for frame in container.decode(audio=0):
            for part in convert.resample(frame):
                yield part.to_ndarray()
        for part in convert.resample(None):
            yield part.to_ndarray()
    except av.FFmpegError as error:
        raise UnreadableInput(name, f"damaged sound: {error}") from error


def _tags(sound: soundfile.SoundFile) -> dict[str, str]:
    found = {}
    for tag in TAGS:
        with suppress(RuntimeError, AttributeError):
            if value := getattr(sound, tag, ""):
                found[tag] = value
    return found


class SoundWriter:
    """Writes blocks (C, n) float32 to a sound file of the format that `extension` names.

    Samples beyond full scale are clipped where the format holds integers. Raises ValueError for an unknown extension.
    """

    def __init__(self, file: BinaryIO, kind: SoundFormat, extension: str) -> None:
        if extension not in FORMATS:
            raise ValueError(f"no format for sound with the extension '{extension}'; one of {' '.join(FORMATS)}")
        name, deepest = FORMATS[extension]
        subtype = _SUBTYPES[min(kind.depth, deepest)]
        self._pipe = None
        if not file.seekable():
            self._pipe, file = file, io.BytesIO()  # the header of a file comes to hold its length
        self._buffer = file
        self._sound = soundfile.SoundFile(file, "w", kind.rate, kind.channels, subtype, format=name)
        for tag, value in kind.tags.items():
            with suppress(RuntimeError, AttributeError, UnicodeError):
                setattr(self._sound, tag, value)

    def write(self, block: np.ndarray) -> None:
        self._sound.write(np.ascontiguousarray(block.T))

    def close(self) -> None:
        self._sound.close()
        if self._pipe is not None:
            self._pipe.write(self._buffer.getvalue())
