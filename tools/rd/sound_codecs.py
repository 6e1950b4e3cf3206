"""Codecs of sound for `vqc rd-sound`: (C, N) float32 at 48 kHz to the bytes of a whole file, and back."""

from __future__ import annotations

import io
from dataclasses import dataclass

import av
import numpy as np

import vqc
from vqc.sound import CODED_RATE
from vqc.sound_files import open_sound


@dataclass(frozen=True)
class VqcSound:
    """vqc itself, at the quality that gives the rate."""

    threads: int = 1

    def encode(self, wave: np.ndarray, kbps: float) -> bytes:
        return vqc.encode(np.ascontiguousarray(wave.T), rate=CODED_RATE, bitrate=kbps, threads=self.threads)

    def decode(self, data: bytes) -> np.ndarray:
        return np.ascontiguousarray(vqc.decode(data, threads=self.threads).samples.T)


@dataclass(frozen=True)
class FfmpegSound:
    """A codec of FFmpeg's through PyAV, asked for a bit rate; its files are as large as its rate control makes them."""

    codec: str
    container: str
    frame: int = 960  # samples at a time, where the codec leaves the choice

    def encode(self, wave: np.ndarray, kbps: float) -> bytes:
        file, layout = io.BytesIO(), "mono" if len(wave) == 1 else "stereo"
        with av.open(file, "w", format=self.container) as container:
            stream = container.add_stream(self.codec, rate=CODED_RATE, layout=layout)
            stream.bit_rate = round(kbps * 1000)
            stream.codec_context.open()
            size = stream.codec_context.frame_size or self.frame
            resampler = av.AudioResampler(stream.codec_context.format, layout, CODED_RATE, frame_size=size)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave, np.float32), format="fltp", layout=layout)
            frame.sample_rate, frame.pts = CODED_RATE, 0
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
        return file.getvalue()

    def decode(self, data: bytes) -> np.ndarray:
        with open_sound(data) as (_, blocks):
            return np.concatenate(list(blocks), axis=1)


CODECS = {
    "vqc": VqcSound(),
    "opus": FfmpegSound("libopus", "ogg"),
    "aac": FfmpegSound("aac", "ipod"),
    "mp3": FfmpegSound("libmp3lame", "mp3"),
}
