"""Files of more than 8 bits per sample that Pillow has no mode for: found out, and read through FFmpeg.

Pillow opens such files and hands out the upper 8 bits without a word, so `lost_depth` is asked before its pixels are believed.
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from PIL import Image

# The demuxer is named, never probed: probing could take a picture for a playlist and open what that names.
_DEMUXERS = {"PNG": "png_pipe", "TIFF": "tiff_pipe", "PPM": "ppm_pipe", "SGI": "sgi_pipe"}


def lost_depth(image: Image.Image, file: BinaryIO | None) -> int:
    """Bits per sample of an opened, unloaded image whose Pillow mode holds only 8 of them; 8 where nothing would be lost."""
    if image.format == "TIFF":
        bits = max(image.tag_v2.get(258, (8,)))
        return 8 if image.mode.startswith(("I", "F")) else max(bits, 8)
    if image.format in ("JPEG2000", "AVIF") and file is not None:
        file.seek(0)
        data = file.read()
        file.seek(0)
        bits = _jpeg2000_depth(data) if image.format == "JPEG2000" else _avif_depth(data)
        return 8 if image.mode.startswith("I") else bits
    if isinstance(image.info.get("bit_depth"), int):  # HEIF and JPEG XL plug-ins say it here.
        return max(image.info["bit_depth"], 8)
    if image.mode.startswith(("I", "F")):
        return 8
    if image.format in ("PNG", "SGI", "PPM"):
        # What Pillow will decode with: the layout of the samples by its name, or for PPM their largest value.
        for _codec, _extents, _offset, given in image.tile:
            arguments = given if isinstance(given, tuple) else (given,)
            if any(";16" in argument for argument in arguments if isinstance(argument, str)):
                return 16
            if image.format == "PPM" and isinstance(arguments[-1], int):
                return max(arguments[-1].bit_length(), 8)
    return 8


def read_deep(format: str, file: BinaryIO) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Colour (H, W, 1 or 3) uint16 and alpha (H, W) or None of a PNG, TIFF, PPM or SGI file; None where FFmpeg cannot."""
    if format not in _DEMUXERS:
        return None
    import av

    file.seek(0)
    try:
        with av.open(file, format=_DEMUXERS[format]) as container:
            frame = next(container.decode(video=0))
    except (av.FFmpegError, StopIteration, ValueError):
        return None
    name = frame.format.name
    if name.startswith("ya16"):
        samples = frame.reformat(format="rgba64le").to_ndarray()
        return samples[..., :1], samples[..., 3]
    if not name.startswith(("rgb48", "rgba64", "gbrp16")):
        return None
    samples = frame.to_ndarray().astype(np.uint16, copy=False)
    return samples[..., :3], samples[..., 3] if samples.shape[2] == 4 else None


def _jpeg2000_depth(data: bytes) -> int:
    """Most bits of any component by the SIZ marker (ISO 15444-1, A.5.1)."""
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(data) < start + 42:
        return 8
    count = int.from_bytes(data[start + 40 : start + 42], "big")
    return max([(bits & 0x7F) + 1 for bits in data[start + 42 : start + 42 + 3 * count : 3]] + [8])


def _avif_depth(data: bytes) -> int:
    """8, 10 or 12 by the first av1C property (AV1 in ISOBMFF, section 2.3.3)."""
    start = data.find(b"av1C")
    flags = data[start + 6] if 0 <= start < len(data) - 6 else 0
    return 8 + 2 * (flags >> 6 & 1) + 2 * (flags >> 6 & 1) * (flags >> 5 & 1)
