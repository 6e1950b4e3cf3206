"""Pictures as files of the formats people use: which of them holds what, through Pillow where Pillow can.

PNG of 16 bits and TIFF of any are written here: Pillow has no mode for 16-bit colour.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin

from .exif import with_orientation, with_prefix
from .pixels import Pixels


class UnwritableImage(ValueError):
    """A picture and a file format that do not go together."""


@dataclass(frozen=True)
class _Format:
    """What a file format holds. carries: kinds of metadata; options: how Pillow is asked to write it."""

    name: str
    extensions: tuple[str, ...]
    alpha: bool = False
    deep: bool = False
    carries: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


_ALL = ("icc", "exif", "xmp")
_FORMATS = (
    _Format("PNG", ("png",), alpha=True, deep=True, carries=_ALL),
    _Format("TIFF", ("tiff", "tif"), alpha=True, deep=True, carries=_ALL),
    _Format("JPEG", ("jpeg", "jpg", "jfif"), carries=_ALL, options={"quality": 95, "subsampling": 0, "optimize": True}),
    _Format("WEBP", ("webp",), alpha=True, carries=_ALL, options={"lossless": True, "exact": True}),
    _Format("AVIF", ("avif",), alpha=True, carries=_ALL, options={"quality": 95, "subsampling": "4:4:4"}),
    _Format("JPEG2000", ("jp2", "j2k", "jpeg2000"), alpha=True, carries=("icc",)),
    _Format("BMP", ("bmp",)),
    _Format("PPM", ("ppm", "pgm", "pnm"), deep=True),
    _Format("TGA", ("tga",), alpha=True),
)
_BY_EXTENSION = {extension: format for format in _FORMATS for extension in format.extensions}


def to_pillow(pixels: Pixels) -> Image.Image:
    """The picture as a Pillow image (L, LA, RGB, RGBA or I;16) with icc_profile, exif and xmp in its `info`.

    Raises ValueError for 16-bit RGB or alpha, which Pillow has no mode for.
    """
    if pixels.depth == 16 and (pixels.channels == 3 or pixels.alpha is not None):
        raise ValueError("Pillow has no mode for 16-bit colour or alpha: use the array, write PNG or TIFF, or reduce to 8 bits")
    samples = pixels.interleaved
    image = Image.fromarray(np.ascontiguousarray(samples[..., 0] if samples.shape[2] == 1 else samples))
    image.info.update(pillow_metadata(pixels.metadata, pixels.orientation))
    return image


def pillow_metadata(metadata: Mapping[str, bytes], orientation: int) -> dict[str, bytes]:
    """What Pillow keeps in `info`: icc_profile, exif (made to say `orientation`) and xmp, as far as there are any."""
    exif = with_orientation(metadata.get("exif"), orientation)
    blocks = {"icc_profile": metadata.get("icc"), "exif": with_prefix(exif), "xmp": metadata.get("xmp")}
    return {key: block for key, block in blocks.items() if block}


def file_bytes(pixels: Pixels, format: str, *, eight_bit: bool = False) -> bytes:
    """The picture as a file of `format`, a name or extension as in `write_image`, which tells the rest.

    Raises UnwritableImage where the format is unknown or cannot hold the picture.
    """
    kind = _BY_EXTENSION.get(format.lower().lstrip("."))
    if kind is None:
        raise UnwritableImage(f"cannot write {format!r}: known formats are {', '.join(f.extensions[0] for f in _FORMATS)}")
    if pixels.alpha is not None and not kind.alpha:
        raise UnwritableImage(f"{kind.name} holds no alpha channel: choose {_names_where('alpha')}")
    if pixels.depth == 16 and not kind.deep:
        if not eight_bit:
            choice = _names_where("deep")
            raise UnwritableImage(
                f"{kind.name} holds 8 bits per sample, the picture has 16: choose {choice}, "
                "or round it to 8 (--eight-bit; in Python eight_bit=True)"
            )
        pixels = pixels.eight_bit()
    if "exif" not in kind.carries:
        pixels = pixels.upright()
    exif = with_orientation(pixels.metadata.get("exif"), pixels.orientation)
    if kind.name == "TIFF":
        return tiff_bytes(pixels, exif)
    if kind.name == "PNG" and pixels.depth == 16:
        return png_bytes(pixels, exif)
    if kind.name == "PPM" and pixels.depth == 16:
        header = b"P%d %d %d 65535\n" % (5 if pixels.channels == 1 else 6, pixels.width, pixels.height)
        return header + pixels.colour.astype(">u2").tobytes()
    return _pillow_bytes(to_pillow(pixels), kind)


def _names_where(ability: str) -> str:
    return " or ".join(f.name for f in _FORMATS if getattr(f, ability))


def _pillow_bytes(image: Image.Image, kind: _Format) -> bytes:
    # Given by name even where Pillow would take them from `info`: which formats do so has changed between its versions.
    options = dict(kind.options)
    names = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}
    options.update({names[k]: image.info[names[k]] for k in kind.carries if names[k] in image.info})
    image.info = {}
    if kind.name == "PNG" and "xmp" in options:
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode("utf-8", "surrogateescape"))
        options["pnginfo"] = text
    out = io.BytesIO()
    try:
        image.save(out, kind.name, **options)
    except (OSError, ValueError) as error:
        raise UnwritableImage(f"cannot write as {kind.name}: {' '.join(str(error).split())}") from error
    return out.getvalue()


# Rows are filtered and compressed in bands of about this size, to bound the memory.
_BAND_BYTES = 1 << 20


def png_bytes(pixels: Pixels, exif: bytes | None) -> bytes:
    """A PNG file of 16 bits per sample (PNG third edition, 2025), rows filtered by the least sum of absolute differences."""
    colour_type = {(1, False): 0, (3, False): 2, (1, True): 4, (3, True): 6}[pixels.channels, pixels.alpha is not None]
    samples = pixels.interleaved
    out = io.BytesIO()
    out.write(b"\x89PNG\r\n\x1a\n")
    _png_chunk(out, b"IHDR", struct.pack(">IIBBBBB", pixels.width, pixels.height, 16, colour_type, 0, 0, 0))
    if "icc" in pixels.metadata:
        _png_chunk(out, b"iCCP", b"ICC profile\0\0" + zlib.compress(pixels.metadata["icc"]))
    if exif:
        _png_chunk(out, b"eXIf", exif)
    if "xmp" in pixels.metadata:
        _png_chunk(out, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + pixels.metadata["xmp"])
    deflate = zlib.compressobj(6)
    row_bytes = samples[0].nbytes
    rows = max(1, _BAND_BYTES // row_bytes)
    above = np.zeros(row_bytes, np.uint8)
    for top in range(0, pixels.height, rows):
        band = samples[top : top + rows].astype(">u2").view(np.uint8).reshape(-1, row_bytes)
        _png_chunk(out, b"IDAT", deflate.compress(_filtered(band, above, samples.shape[2] * 2).tobytes()))
        above = band[-1]
    _png_chunk(out, b"IDAT", deflate.flush())
    _png_chunk(out, b"IEND", b"")
    return out.getvalue()


def _png_chunk(out: BinaryIO, kind: bytes, payload: bytes) -> None:
    if payload or kind == b"IEND":
        out.write(struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload)))


def _filtered(band: np.ndarray, above: np.ndarray, step: int) -> np.ndarray:
    """band: (rows, bytes) uint8, above: the row before it, step: bytes per pixel. Returns (rows, 1 + bytes) uint8."""
    up = np.vstack((above, band[:-1]))
    left, up_left = np.zeros_like(band), np.zeros_like(band)
    left[:, step:], up_left[:, step:] = band[:, :-step], up[:, :-step]
    # Paeth (section 9.4): the neighbour nearest to left + up - up_left.
    a, b, c = (x.astype(np.int16) for x in (left, up, up_left))
    to_left, to_up, to_corner = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    paeth = np.where((to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, up_left))
    choices = np.stack((band - left, band - up, band - paeth))  # filters 1, 2 and 4, modulo 256
    best = np.abs(choices.view(np.int8).astype(np.int16)).sum(axis=2, dtype=np.int64).argmin(axis=0)
    number = np.array([1, 2, 4], np.uint8)[best]
    return np.hstack((number[:, None], choices[best, np.arange(len(band))]))


def tiff_bytes(pixels: Pixels, exif: bytes | None) -> bytes:
    """A TIFF file (revision 6.0) of 8 or 16 bits, deflated in strips with horizontal differences, with all metadata."""
    if pixels.depth == 16 and pixels.channels == 1 and pixels.alpha is not None:
        # Grey with alpha of 16 bits is a TIFF that most programs, Pillow among them, refuse to open.
        pixels = replace(pixels, colour=np.repeat(pixels.colour, 3, axis=2))
    samples = pixels.interleaved
    channels = samples.shape[2]
    tags = Image.Exif()
    if exif:
        tags.load(exif)
    directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    for tag in tags:
        directory[tag] = dict(tags.get_ifd(tag)) if tag in (0x8769, 0x8825) else tags[tag]
    rows = max(1, _BAND_BYTES // samples[0].nbytes)
    strips = []
    for top in range(0, pixels.height, rows):
        band = samples[top : top + rows].copy()
        band[:, 1:] -= samples[top : top + rows, :-1]
        strips.append(zlib.compress(band.astype(band.dtype.newbyteorder("<")).tobytes(), 6))
    sizes = [len(strip) for strip in strips]
    directory.update({
        256: pixels.width, 257: pixels.height, 258: (pixels.depth,) * channels, 259: 8, 262: 2 if pixels.channels == 3 else 1,
        273: tuple(int(x) for x in np.cumsum([0, *sizes[:-1]])), 277: channels, 278: rows, 279: tuple(sizes), 284: 1, 317: 2,
    })  # fmt: skip
    # Pillow writes small numbers as SHORT; the offsets are moved past the directory when it is written, and need LONG.
    directory.tagtype[273] = directory.tagtype[279] = 4
    if pixels.alpha is not None:
        directory[338] = 2  # unassociated: colour is not premultiplied
    for tag, kind in ((34675, "icc"), (700, "xmp")):
        if kind in pixels.metadata:
            directory.tagtype[tag] = 7 if kind == "icc" else 1
            directory[tag] = pixels.metadata[kind]
    out = io.BytesIO()
    directory.save(out)
    out.writelines(strips)
    return out.getvalue()
