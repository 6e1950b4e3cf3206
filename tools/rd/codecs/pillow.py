"""Codecs that Pillow brings: JPEG, JPEG 2000, WebP, AVIF, and JPEG XL through a plugin."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed
from typing import Any, ClassVar

import numpy as np
from PIL import AvifImagePlugin, Image, features

from vqc.tools.rd.picture import PICTURE

from .base import Codec, CodecUnavailable, Setting


@dataclass(frozen=True)
class PillowCodec(Codec):
    """A format that Pillow reads and writes."""

    MEDIUM: ClassVar = PICTURE
    FORMAT: ClassVar[str]
    FEATURE: ClassVar[str]

    @property
    def settings(self) -> Sequence[Setting]:
        return range(1, 101)

    @abstractmethod
    def save_options(self, setting: Setting, size: tuple[int, int]) -> dict[str, Any]:
        """Keyword arguments of Image.save for a picture of this (width, height)."""

    def encode(self, original: np.ndarray, setting: Setting) -> bytes:
        file = io.BytesIO()
        picture = Image.fromarray(original)
        picture.save(file, self.FORMAT, **self.save_options(setting, picture.size))
        return file.getvalue()

    def decode(self, data: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(data), formats=[self.FORMAT]) as picture:
            return np.asarray(picture.convert("RGB"))

    def version(self) -> str:
        if not features.check(self.FEATURE):
            raise CodecUnavailable(f"this Pillow ({installed('pillow')}) was built without {self.FORMAT}")
        return f"Pillow {installed('pillow')}, {self.FEATURE} {features.version(self.FEATURE)}"


@dataclass(frozen=True)
class Jpeg(PillowCodec):
    FORMAT, FEATURE = "JPEG", "libjpeg_turbo"
    LADDER: ClassVar = (8, 15, 25, 40, 55, 70, 82, 90, 95)
    optimize: bool = True
    progressive: bool = False
    subsampling: str = "4:2:0"

    def save_options(self, setting: Setting, size: tuple[int, int]) -> dict[str, Any]:
        return {
            "quality": setting,
            "optimize": self.optimize,
            "progressive": self.progressive,
            "subsampling": self.subsampling,
        }

    def version(self) -> str:
        turbo = features.version("libjpeg_turbo")
        return f"Pillow {installed('pillow')}, " + (f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}")


@dataclass(frozen=True)
class Jpeg2000(PillowCodec):
    """Irreversible wavelet, plain codestream, one layer of the quality asked for in dB."""

    FORMAT, FEATURE = "JPEG2000", "jpg_2000"
    LADDER: ClassVar = (25, 27, 29, 31, 33, 35, 37, 39, 41)

    @property
    def settings(self) -> Sequence[Setting]:
        return [round(15 + step / 10, 1) for step in range(450)]

    def save_options(self, setting: Setting, size: tuple[int, int]) -> dict[str, Any]:
        # Each resolution halves the picture, and OpenJPEG refuses more of them than its smaller side can bear.
        resolutions = min(6, min(size).bit_length())
        return {
            "quality_mode": "dB",
            "quality_layers": [setting],
            "irreversible": True,
            "no_jp2": True,
            "mct": 1,  # Pillow leaves the colour transform out, which doubles the file
            "num_resolutions": resolutions,
        }


@dataclass(frozen=True)
class WebP(PillowCodec):
    FORMAT, FEATURE = "WEBP", "webp"
    LADDER: ClassVar = (2, 10, 25, 45, 65, 80, 90, 95)
    method: int = 6

    def save_options(self, setting: Setting, size: tuple[int, int]) -> dict[str, Any]:
        return {"quality": setting, "method": self.method}


@dataclass(frozen=True)
class Avif(PillowCodec):
    FORMAT, FEATURE = "AVIF", "avif"
    LADDER: ClassVar = (15, 25, 35, 45, 55, 65, 75, 85, 92)
    speed: int = 6
    subsampling: str = "4:2:0"

    def save_options(self, setting: Setting, size: tuple[int, int]) -> dict[str, Any]:
        # The encoder's choices depend on the number of threads: fixed, or the same run would differ between machines.
        return {"quality": setting, "speed": self.speed, "subsampling": self.subsampling, "max_threads": self.threads}

    def decode(self, data: bytes) -> np.ndarray:
        # The decoder takes every CPU otherwise, and has no argument for it.
        AvifImagePlugin.DEFAULT_MAX_THREADS = self.threads
        return super().decode(data)


@dataclass(frozen=True)
class JpegXl(PillowCodec):
    FORMAT, FEATURE = "JXL", "jxl"
    LADDER: ClassVar = (10, 25, 40, 55, 70, 80, 88, 93, 96)
    effort: int = 7

    @property
    def settings(self) -> Sequence[Setting]:
        return range(1, 100)  # the plugin fails at 100, unless lossless, which is no point of this ladder

    def save_options(self, setting: Setting, size: tuple[int, int]) -> dict[str, Any]:
        _load_jxl()
        return {"quality": setting, "effort": self.effort, "num_threads": self.threads}

    def decode(self, data: bytes) -> np.ndarray:
        # As with AVIF.
        _load_jxl().DECODE_THREADS = self.threads
        return super().decode(data)

    def version(self) -> str:
        _load_jxl()
        return f"pillow-jxl-plugin {installed('pillow-jxl-plugin')}"


def _load_jxl() -> Any:
    """The plugin, whose import registers the format."""
    try:
        from pillow_jxl import JpegXLImagePlugin
    except ImportError as error:
        raise CodecUnavailable(f"JPEG XL needs a plugin: pip install pillow-jxl-plugin ({error})") from error
    return JpegXLImagePlugin
