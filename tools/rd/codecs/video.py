"""Codecs of video through PyAV: x264, x265, SVT-AV1 and VP9, one pass at constant quality (CRF).

gop: frames from one intra frame to the next, at fixed places (no scene cuts, closed groups); 0 is one intra frame only.
Between them each encoder does what its preset brings: B-frames in pyramids, look-ahead, hidden reference frames; frames are
coded out of order. Counted are the bytes of the elementary stream, without the message in which x264 and x265 tell their
settings.
"""

from __future__ import annotations

import io
import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

from vqc.tools.rd.video import VIDEO, read_film
from vqc.tools.rd.video_metrics import Film

from .base import Codec, CodecUnavailable, Setting


@dataclass(frozen=True)
class AvVideo(Codec):
    """An encoder of FFmpeg and the container that its bytes are counted in."""

    MEDIUM: ClassVar = VIDEO
    ENCODER: ClassVar[str]
    CONTAINER: ClassVar[str]
    WORST: ClassVar[int]
    FILTER: ClassVar[str] = ""
    gop: int = 32

    @property
    def settings(self) -> Sequence[Setting]:
        return range(self.WORST, 0, -1)

    @abstractmethod
    def encoder_options(self, setting: Setting, period: int) -> dict[str, str]:
        """FFmpeg's options of the encoder; period: frames from one intra frame to the next."""

    def encode(self, original: Film, setting: Setting) -> bytes:
        file = io.BytesIO()
        period = self.gop or len(original.frames)
        with av.open(file, "w", format=self.CONTAINER) as container:
            options = self.encoder_options(setting, period)
            stream: Any = container.add_stream(self.ENCODER, rate=original.rate, options=options)
            stream.width, stream.height, stream.pix_fmt = original.width, original.height, "yuv420p"
            stream.codec_context.gop_size = period
            stream.codec_context.thread_count = self.threads
            bits = BitStreamFilterContext(self.FILTER, in_stream=stream) if self.FILTER else None
            for number, planes in enumerate(original.frames):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(planes), format="yuv420p")
                frame.pts = number
                _write(container, stream.encode(frame), bits)
            _write(container, stream.encode(None), bits)
        return file.getvalue()

    def decode(self, data: bytes) -> Film:
        return read_film(io.BytesIO(data), self.CONTAINER, self.threads)

    def version(self) -> str:
        if self.ENCODER not in av.codecs_available:
            raise CodecUnavailable(f"the FFmpeg of PyAV {av.__version__} has no {self.ENCODER}")
        major, minor, micro = av.library_versions["libavcodec"]
        return f"PyAV {av.__version__}, libavcodec {major}.{minor}.{micro}, {self.ENCODER}"


def _write(container: Any, packets: Sequence[Any], bits: BitStreamFilterContext | None) -> None:
    for packet in packets:
        container.mux(packet if bits is None else bits.filter(packet))


@dataclass(frozen=True)
class X264(AvVideo):
    """preset and tune: x264's. Without tune=psnr, as most people use it, it pleases the eye at the cost of PSNR. Medium has up
    to three B-frames in a row, used as references too. Annex B."""

    ENCODER, CONTAINER, WORST, FILTER = "libx264", "h264", 51, "filter_units=remove_types=6"
    LADDER: ClassVar = (42, 38, 34, 30, 26, 22, 18)
    preset: str = "medium"
    tune: str = ""

    def encoder_options(self, setting: Setting, period: int) -> dict[str, str]:
        fixed = f"keyint={period}:min-keyint={period}:scenecut=0:open-gop=0:threads={self.threads}"
        return {"preset": self.preset, "crf": str(setting), "x264-params": fixed} | ({"tune": self.tune} if self.tune else {})


@dataclass(frozen=True)
class X265(AvVideo):
    """preset and tune: x265's, as with x264. Medium has up to four B-frames in a row, in a pyramid. Annex B."""

    ENCODER, CONTAINER, WORST = "libx265", "hevc", 51
    LADDER: ClassVar = (42, 38, 34, 30, 26, 22, 18)
    preset: str = "medium"
    tune: str = ""

    def encoder_options(self, setting: Setting, period: int) -> dict[str, str]:
        fixed = f"keyint={period}:min-keyint={period}:scenecut=0:open-gop=0:info=0:log-level=none"
        parallel = f":pools={self.threads}:frame-threads=1"
        given = {"preset": self.preset, "crf": str(setting), "x265-params": fixed + parallel}
        return given | ({"tune": self.tune} if self.tune else {})


@dataclass(frozen=True)
class SvtAv1(AvVideo):
    """preset: 0 (slow) to 13. Hierarchical groups of up to 32 frames with hidden references. Open bitstream units."""

    ENCODER, CONTAINER, WORST = "libsvtav1", "obu", 63
    LADDER: ClassVar = (60, 54, 48, 41, 34, 27, 20)
    preset: int = 8

    def encoder_options(self, setting: Setting, period: int) -> dict[str, str]:
        os.environ.setdefault("SVT_LOG", "1")  # it tells its settings on standard error otherwise
        return {"preset": str(self.preset), "crf": str(setting), "svtav1-params": f"scd=0:lp={self.threads}"}


@dataclass(frozen=True)
class Vp9(AvVideo):
    """speed: cpu-used of the good deadline, 0 (slow) to 5. Hidden reference frames from up to 25 frames ahead. IVF, which takes
    32 bytes, and 12 more for each frame."""

    ENCODER, CONTAINER, WORST = "libvpx-vp9", "ivf", 63
    LADDER: ClassVar = (60, 54, 48, 41, 34, 27, 20)
    speed: int = 2

    def encoder_options(self, setting: Setting, period: int) -> dict[str, str]:
        quality = {"crf": str(setting), "b": "0", "deadline": "good", "cpu-used": str(self.speed)}
        return quality | {"keyint_min": str(period), "lag-in-frames": "25", "auto-alt-ref": "1"}
