"""Codecs of sound through PyAV: Opus, AAC and MP3 of FFmpeg, asked for a bit rate in kbit/s."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import av
import numpy as np

from vqc.sound import CODED_RATE
from vqc.tools.rd.sound import SOUND

from .base import Codec, CodecUnavailable, Setting

_FRAME = 960  # samples at a time, where the codec leaves the choice


@dataclass(frozen=True)
class AvSound(Codec):
    """An encoder of FFmpeg; its files are as large as its rate control makes them, and that size is what counts."""

    MEDIUM: ClassVar = SOUND
    ENCODER: ClassVar[str]
    CONTAINER: ClassVar[str]
    KBPS: ClassVar[Sequence[int]] = range(6, 257)

    @property
    def settings(self) -> Sequence[Setting]:
        return self.KBPS

    def encoder_options(self) -> dict[str, str]:
        """FFmpeg's options of the encoder."""
        return {}

    def encode(self, original: np.ndarray, setting: Setting) -> bytes:
        file, layout = io.BytesIO(), "mono" if len(original) == 1 else "stereo"
        with av.open(file, "w", format=self.CONTAINER) as container:
            stream: Any = container.add_stream(self.ENCODER, rate=CODED_RATE, layout=layout, options=self.encoder_options())
            stream.bit_rate = round(float(setting) * 1000)
            stream.codec_context.open()
            size = stream.codec_context.frame_size or _FRAME
            resampler = av.AudioResampler(stream.codec_context.format, layout, CODED_RATE, frame_size=size)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(original), format="fltp", layout=layout)
            frame.sample_rate, frame.pts = CODED_RATE, 0
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
        return file.getvalue()

    def decode(self, data: bytes) -> np.ndarray:
        # FFmpeg takes out the encoder's delay that the file tells, so that the sound comes back in step.
        with av.open(io.BytesIO(data)) as container:
            stream = container.streams.audio[0]
            convert = av.AudioResampler(format="fltp", layout=stream.layout, rate=CODED_RATE)
            parts = [part for frame in container.decode(stream) for part in convert.resample(frame)]
            return np.concatenate([part.to_ndarray() for part in [*parts, *convert.resample(None)]], axis=1)

    def version(self) -> str:
        if self.ENCODER not in av.codecs_available:
            raise CodecUnavailable(f"the FFmpeg of PyAV {av.__version__} has no {self.ENCODER}")
        major, minor, micro = av.library_versions["libavcodec"]
        return f"PyAV {av.__version__}, libavcodec {major}.{minor}.{micro}, {self.ENCODER}"


@dataclass(frozen=True)
class Opus(AvSound):
    """complexity: 0 to 10. application: audio, voip or lowdelay. Variable rate, frames of 20 ms, in Ogg."""

    ENCODER, CONTAINER = "libopus", "ogg"
    LADDER: ClassVar = (6, 9, 12, 16, 24, 32, 48, 64)
    complexity: int = 10
    application: str = "audio"

    def encoder_options(self) -> dict[str, str]:
        return {"compression_level": str(self.complexity), "application": self.application}


@dataclass(frozen=True)
class Aac(AvSound):
    """FFmpeg's own AAC-LC encoder, in MPEG-4."""

    ENCODER, CONTAINER = "aac", "ipod"
    LADDER: ClassVar = (16, 24, 32, 40, 48, 64, 80, 96)


@dataclass(frozen=True)
class Mp3(AvSound):
    """LAME at a constant rate: at 48 kHz, MPEG-1 layer 3 has fourteen of them."""

    ENCODER, CONTAINER = "libmp3lame", "mp3"
    KBPS: ClassVar = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    LADDER: ClassVar = (32, 40, 48, 56, 64, 80, 96, 128)
