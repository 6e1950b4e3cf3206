"""vqc itself, one class for each medium."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, ClassVar

import numpy as np
import torch

import vqc
from vqc.bitstream import Segment, Writer
from vqc.image_encoding import encode_segments, header_for
from vqc.models import weights
from vqc.pixels import Pixels
from vqc.planes import join, split
from vqc.sound import CODED_RATE
from vqc.tools.rd.picture import PICTURE
from vqc.tools.rd.sound import SOUND
from vqc.tools.rd.video import VIDEO
from vqc.tools.rd.video_metrics import Film
from vqc.version import __version__
from vqc.video import Frame, VideoFormat
from vqc.video_encoding import Settings, group_segments
from vqc.video_encoding import header_for as video_header

from .base import Codec, CodecUnavailable, Setting


@dataclass(frozen=True)
class Vqc(Codec):
    """From array to bytes and back, by quality. model: name of installed weights; without it, the one that vqc encodes with."""

    DEFAULT: ClassVar[str]
    LADDER: ClassVar = (0, 20, 40, 60, 80, 100)
    device: str = "cpu"
    model: str = ""

    @property
    def settings(self) -> Sequence[Setting]:
        return [round(step / 10, 1) for step in range(1001)]

    def version(self) -> str:
        name = self.model or self.DEFAULT
        try:
            decoder = weights.fingerprint(name).hex()
            encoder = sha256((weights.FOLDER / f"{name}-encoder.safetensors").read_bytes()).hexdigest()[:16]
        except (weights.ModelNotFound, OSError) as error:
            raise CodecUnavailable(str(error)) from error
        return f"vqc {__version__}, model {name}, decoder {decoder}, encoder {encoder}"


@dataclass(frozen=True)
class VqcPicture(Vqc):
    """The public interface leaves no choice of model, for users have none to make: with `model`, segments are coded here.

    effort: 0 to 2, as of `vqc encode`.
    """

    MEDIUM, DEFAULT = PICTURE, weights.IMAGE_MODEL
    effort: int = 0

    def encode(self, original: np.ndarray, setting: Setting) -> bytes:
        if not self.model:
            return vqc.encode(original, quality=setting, effort=self.effort, device=self.device, threads=self.threads)
        torch.set_num_threads(self.threads)
        pixels = Pixels(original)
        header = header_for(pixels, round(setting * 10), self.model)
        return _file(header, encode_segments(pixels, header, torch.device(self.device), self.effort))

    def decode(self, data: bytes) -> np.ndarray:
        return vqc.decode(data, device=self.device, threads=self.threads).pixels


@dataclass(frozen=True)
class VqcSound(Vqc):
    """bitrate: settings are kbit/s, for each of which a quality is searched; the search counts for the time of encoding."""

    MEDIUM, DEFAULT = SOUND, weights.AUDIO_MODEL
    bitrate: bool = False

    @property
    def settings(self) -> Sequence[Setting]:
        return [step / 2 for step in range(2, 129)] if self.bitrate else super().settings

    def usual(self) -> tuple[float, ...]:
        return (3, 6, 9, 12, 16, 24) if self.bitrate else self.LADDER

    def encode(self, original: np.ndarray, setting: Setting) -> bytes:
        wish = {"bitrate" if self.bitrate else "quality": setting, "model": self.model or None}
        samples = np.ascontiguousarray(original.T)
        return vqc.encode(samples, rate=CODED_RATE, device=self.device, threads=self.threads, **wish)

    def decode(self, data: bytes) -> np.ndarray:
        return np.ascontiguousarray(vqc.decode(data, device=self.device, threads=self.threads).samples.T)


@dataclass(frozen=True)
class VqcVideo(Vqc):
    """gop: frames from one intra frame to the next; 0: one only. bframes: most frames in a row predicted from both sides.
    steady: whether the quality of long groups is held."""

    MEDIUM, DEFAULT = VIDEO, weights.VIDEO_MODEL
    gop: int = 32
    bframes: int = 3
    steady: bool = True

    def encode(self, original: Film, setting: Setting) -> bytes:
        rate, period = original.rate, self.gop or len(original.frames)
        planes = zip(*split(original.frames))
        frames = (Frame(y[0], uv, number, 1 / rate) for number, (y, uv) in enumerate(planes))
        if not self.model:
            choices = {"group": period, "bframes": self.bframes, "steady": self.steady}
            return vqc.encode(frames, fps=rate, quality=setting, device=self.device, threads=self.threads, **choices)
        torch.set_num_threads(self.threads)
        kind = VideoFormat(original.width, original.height, 1 / rate, rate, len(original.frames))
        header = video_header(kind, round(setting * 10), None, period, self.model)
        settings = Settings(header, torch.device(self.device), self.bframes + 1, self.steady)
        return _file(header, group_segments(frames, settings))

    def decode(self, data: bytes) -> Film:
        film = vqc.decode(data, device=self.device, threads=self.threads)
        return Film(np.stack([join(frame.y[None], frame.uv) for frame in film]), film.kind.rate)

    def version(self) -> str:
        return f"{super().version()}, intra {weights.IMAGE_MODEL} {weights.fingerprint(weights.IMAGE_MODEL).hex()}"


def _file(header: Any, segments: Iterable[Segment]) -> bytes:
    file = io.BytesIO()
    writer = Writer(file, header)
    for segment in segments:
        writer.segment(segment)
    writer.close()
    return file.getvalue()
