"""Pictures in from whatever holds one, and out to the formats people use."""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageFile

from vqc.bitstream.errors import LimitExceeded
from vqc.bitstream.limits import Limits

from . import deep_images
from .exif import exif_of
from .image_writers import UnwritableImage, file_bytes, to_pillow
from .outputs import open_output
from .pixels import Pixels

__all__ = ["UnreadableInput", "UnwritableImage", "read_image", "to_pillow", "write_image"]

# Pillow's modes that are 8-bit grey or RGB with or without alpha in other clothes; what is not here has its own branch below.
_AS_MODE = {
    "1": "L", "L": "L", "LA": "LA", "La": "LA", "P": "RGB", "PA": "RGBA", "RGB": "RGB", "RGBX": "RGB", "RGBA": "RGBA",
    "RGBa": "RGBA", "YCbCr": "RGB", "HSV": "RGB",
}  # fmt: skip


class UnreadableInput(ValueError):
    """A source that holds no picture that can be taken in whole. source: its name; reason: what is wrong."""

    def __init__(self, source: str, reason: str):
        super().__init__(source, reason)
        self.source = source
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


def read_image(source: Any, *, frame: int | None = None, limits: Limits | None = None) -> Pixels:
    """The picture in `source`, with all its bits, its alpha and its metadata.

    source: path, binary file object, bytes of an image file, Pillow image, or samples as a uint8 or uint16 array or tensor of
    the shape (H, W), (H, W, 1) grey, (H, W, 2) grey + alpha, (H, W, 3) RGB or (H, W, 4) RGB + alpha.
    frame: which picture to take, from 0, of a file that holds several; without it such a file is refused.
    CMYK and Lab become sRGB, by the profile of the file where it has one. TIFF comes turned upright, everything else as stored.
    Raises UnreadableInput (damaged, unknown, several pictures, samples that 16 bits cannot hold), LimitExceeded before anything
    is allocated, and OSError where a path cannot be opened.
    """
    limits = Limits() if limits is None else limits
    if type(source).__module__.partition(".")[0] == "torch":
        source = _tensor_as_array(source)
    if isinstance(source, np.ndarray):
        return _from_array(source, limits)
    if isinstance(source, Image.Image):
        with unguarded(), _readable("image"):
            position = source.tell()
            try:
                return _from_pillow(source, "image", frame, limits)
            finally:
                if source.tell() != position:
                    source.seek(position)
    if isinstance(source, str | os.PathLike):
        with open(source, "rb") as file:
            return _from_file(file, os.fsdecode(source), frame, limits)
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_file(io.BytesIO(source), "image data", frame, limits)
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        if not getattr(source, "seekable", bool)() or source.tell() != 0:  # Pillow reads from the very start
            source = io.BytesIO(source.read())
        return _from_file(source, name if isinstance(name, str) else "image data", frame, limits)
    raise TypeError(f"cannot read a picture from {type(source).__name__}: give a path, file, bytes, Pillow image or array")


def write_image(
    pixels: Pixels, destination: str | os.PathLike | BinaryIO, format: str | None = None, *, eight_bit: bool = False
) -> None:
    """Writes a picture file. A path is written whole or not at all, and replaced where it exists; a file object need not seek.

    format: a name or extension (png, tiff, jpeg, webp, avif, jp2, bmp, ppm, tga); without it the extension of the path decides.
    eight_bit: round 16-bit samples where the format holds only 8. PNG, TIFF and PPM hold 16.
    Metadata goes with PNG, TIFF, JPEG, WebP and AVIF; JPEG 2000 keeps the profile alone. Where a format cannot say which way up
    the picture is, the pixels are turned. JPEG and AVIF are written at quality 95 without chroma subsampling, WebP losslessly.
    Raises UnwritableImage where the format cannot hold the picture, and OSError where the place cannot be written.
    """
    path = os.fspath(destination) if isinstance(destination, str | os.PathLike) else None
    if format is None:
        name = path if path is not None else getattr(destination, "name", "")
        format = os.path.splitext(name)[1] if isinstance(name, str) else ""
        if not format:
            raise UnwritableImage("name a format: there is no file extension to tell it from")
    data = file_bytes(pixels, format, eight_bit=eight_bit)
    if path is None:
        destination.write(data)
        return
    with open_output(path, force=True) as file:
        file.write(data)


def _from_file(file: BinaryIO, name: str, frame: int | None, limits: Limits) -> Pixels:
    with unguarded(), _readable(name):
        if not file.read(1):
            raise UnreadableInput(name, "is empty")
        file.seek(0)
        with Image.open(file) as image:
            return _from_pillow(image, name, frame, limits)


def _from_pillow(image: Image.Image, name: str, frame: int | None, limits: Limits) -> Pixels:
    _check_size(*image.size, limits)
    _choose_frame(image, name, frame)
    _check_size(*image.size, limits)
    file = getattr(image, "fp", None) if getattr(image, "tile", None) else None
    if file is None:
        _refuse_cut(image, name)
    if image.format == "PNG" and file is not None and not image.info.get("icc_profile"):
        _warn_of_colours(image, file, name)
    depth = deep_images.lost_depth(image, file) if file is not None else 8
    inverted = image.format == "TIFF" and image.tag_v2.get(262) == 0
    before = exif_of(image)[1] if image.format == "TIFF" else 1
    deep = deep_images.read_deep(image.format, file) if depth > 8 and not frame else None
    image.load()  # in the deep case too: it finds truncation, and what FFmpeg made of the file is held against it
    exif, orientation = exif_of(image)
    metadata = {"icc": image.info.get("icc_profile"), "exif": exif, "xmp": image.info.get("xmp")}
    if depth > 8:
        colour, alpha = _checked_deep(deep, before, image, name, depth)
    else:
        colour, alpha, metadata["icc"] = _samples(image, name, metadata["icc"], inverted)
    kept = {kind: _as_bytes(block) for kind, block in metadata.items() if block}
    return Pixels(np.ascontiguousarray(colour), None if alpha is None else np.ascontiguousarray(alpha), kept, orientation)


def _warn_of_colours(image: Image.Image, file: BinaryIO, name: str) -> None:
    """Warns of a PNG whose colours are told by other chunks than an ICC profile: those are not kept."""
    position = file.tell()
    file.seek(0)
    head = file.read(1024)
    file.seek(position)
    gamma = image.info.get("gamma")
    if b"cICP" in head:
        warnings.warn(f"{name}: the colour space in its cICP chunk is not kept", stacklevel=2)
    elif gamma and abs(gamma - 1 / 2.2) > 0.01 and "srgb" not in image.info:
        warnings.warn(f"{name}: its gamma of {gamma:g} is not kept", stacklevel=2)


def _refuse_cut(image: Image.Image, name: str) -> None:
    """Refuses an image whose lower bits Pillow has dropped already; its file, where it still has one, tells."""
    path = getattr(image, "filename", "")
    if isinstance(image, ImageFile.ImageFile) and path and os.path.isfile(path):
        with Image.open(path) as stored:
            depth = deep_images.lost_depth(stored, stored.fp) if stored.format == image.format else 8
        if depth > 8:
            raise UnreadableInput(name, f"Pillow has cut its {depth} bits per sample to 8: give the path {path} instead")


def _samples(
    image: Image.Image, name: str, icc: bytes | None, inverted: bool
) -> tuple[np.ndarray, np.ndarray | None, bytes | None]:
    """Colour (H, W, 1 or 3), alpha (H, W) or None and the profile that then describes the colour, of a loaded image."""
    mode = image.mode
    if mode.startswith("I"):
        return *_sixteen_bit_grey(image, name, inverted), icc
    if mode in ("CMYK", "LAB"):
        return np.array(_as_srgb(image, icc, name)), None, None
    if mode not in _AS_MODE:
        raise UnreadableInput(name, f"holds samples of the Pillow mode {mode}, which 16 bits per sample cannot hold exactly")
    target = _AS_MODE[mode]
    if image.has_transparency_data and not target.endswith("A"):
        target = "LA" if mode in ("1", "L") else "RGBA"
    samples = np.array(image if mode == target else image.convert(target))
    if samples.ndim == 2:
        return samples[..., None], None, icc
    if target.endswith("A"):
        return samples[..., :-1], samples[..., -1], icc
    return samples, None, icc


def _sixteen_bit_grey(image: Image.Image, name: str, inverted: bool) -> tuple[np.ndarray, np.ndarray | None]:
    samples = np.array(image)
    low, high = int(samples.min()), int(samples.max())
    if low < 0 or high > 65535:
        raise UnreadableInput(name, f"holds samples from {low} to {high}, more than 16 bits per sample can hold")
    grey = samples.astype(np.uint16)
    key = image.info.get("transparency")
    alpha = None if key is None else np.where(grey == key, 0, 65535).astype(np.uint16)
    # TIFF with 0 as white: Pillow turns that round for 8 bits and leaves it for 16.
    return (65535 - grey if inverted else grey)[..., None], alpha


def _as_srgb(image: Image.Image, icc: bytes | None, name: str) -> Image.Image:
    """CMYK by its own profile (plainly where it has none) and Lab by its definition, as sRGB."""
    if image.mode == "CMYK" and not icc:
        return image.convert("RGB")
    try:
        source = ImageCms.createProfile("LAB") if image.mode == "LAB" else ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC, "RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )  # fmt: skip
    except (ImageCms.PyCMSError, OSError) as error:
        raise UnreadableInput(name, f"its {image.mode} colour profile cannot be used: {error}") from error


def _checked_deep(
    deep: tuple[np.ndarray, np.ndarray | None] | None, orientation: int, image: Image.Image, name: str, depth: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """The samples that FFmpeg read, if their upper 8 bits are those that Pillow read; refused rather than cut or guessed."""
    if deep is not None:
        # Pillow has turned a TIFF upright by now, FFmpeg has not.
        read = Pixels(*deep, orientation=orientation).upright()
        upper = np.array(image.convert("RGB"))
        if upper.shape[:2] == read.colour.shape[:2] and _agree(read.colour, upper):
            return read.colour, read.alpha
    raise UnreadableInput(
        name,
        f"is {image.format} of {depth} bits per sample in a layout that cannot be read whole: convert it to 16-bit PNG",
    )


def _agree(deep: np.ndarray, upper: np.ndarray) -> bool:
    rows = max(1, (1 << 22) // upper.shape[1])
    for top in range(0, len(upper), rows):
        difference = (deep[top : top + rows] >> 8).astype(np.int16) - upper[top : top + rows]
        if np.abs(difference).max() > 1:  # one step, since Pillow cuts in some formats and rounds in others
            return False
    return True


def _choose_frame(image: Image.Image, name: str, frame: int | None) -> None:
    count = _frame_count(image)
    if frame is None:
        if count > 1:
            choice = f"choose one with --frame 0 to {count - 1}, or frame= from Python"
            raise UnreadableInput(name, f"holds {count} frames or pages: {choice}")
    elif not 0 <= frame < count:
        raise UnreadableInput(name, f"has no frame {frame}, only 0 to {count - 1}")
    elif count > 1:
        image.seek(frame)


def _frame_count(image: Image.Image) -> int:
    """Pictures in the file; the layers of a PSD, merged in its main picture, and the thumbnails of an MPO do not count."""
    count = getattr(image, "n_frames", 1)
    if image.format == "PSD":
        return 1
    if image.format == "MPO":
        kinds = [entry["Attribute"]["MPType"] for entry in image.mpinfo[0xB002]]
        return count if any("Thumbnail" not in kind for kind in kinds[1:]) else 1
    return count


def _from_array(samples: np.ndarray, limits: Limits) -> Pixels:
    name = "array"
    if samples.dtype.kind != "u" or samples.dtype.itemsize > 2:
        raise UnreadableInput(name, f"holds {samples.dtype} samples: give uint8 (0..255) or uint16 (0..65535)")
    if samples.ndim == 2:
        samples = samples[..., None]
    if samples.ndim != 3 or samples.shape[2] not in (1, 2, 3, 4):
        hint = ", not channels first" if samples.ndim == 3 and samples.shape[0] in (1, 2, 3, 4) else ""
        raise UnreadableInput(name, f"has the shape {samples.shape}: give (H, W) or (H, W, C) with 1 to 4 channels last{hint}")
    if samples.size == 0:
        raise UnreadableInput(name, f"has the shape {samples.shape}, no pixels at all")
    _check_size(samples.shape[1], samples.shape[0], limits)
    samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    colours = 1 if samples.shape[2] < 3 else 3
    alpha = np.ascontiguousarray(samples[..., -1]) if samples.shape[2] in (2, 4) else None
    return Pixels(np.ascontiguousarray(samples[..., :colours]), alpha)


def _tensor_as_array(tensor: Any) -> np.ndarray:
    # bfloat16 and the like have no numpy type; everything but bytes and words is refused, so it need not have one.
    if str(tensor.dtype) not in ("torch.uint8", "torch.uint16"):
        raise UnreadableInput("tensor", f"holds {tensor.dtype} samples: give torch.uint8 (0..255) or torch.uint16 (0..65535)")
    return tensor.detach().cpu().numpy()


def _check_size(width: int, height: int, limits: Limits) -> None:
    limits.check("side", max(width, height))
    limits.check("pixels", width * height)


def _as_bytes(block: bytes | str) -> bytes:
    return block.encode() if isinstance(block, str) else bytes(block)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Names the source in whatever Pillow raises."""
    try:
        yield
    except (UnreadableInput, LimitExceeded, MemoryError):
        raise
    except Image.UnidentifiedImageError as error:
        raise UnreadableInput(name, "is not an image of a known format, or its header is damaged") from error
    except Exception as error:  # Pillow's plug-ins answer damaged files with nearly every exception there is.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableInput(name, f"is damaged or unsupported: {reason}") from error


_guard_lock = threading.Lock()
_guard_users = 0
_guard_saved: int | None = None


@contextmanager
def unguarded() -> Iterator[None]:
    """Pillow's decompression-bomb guard off, since Limits decide here; back on when the last thread that reads is through."""
    global _guard_users, _guard_saved
    with _guard_lock:
        if _guard_users == 0:
            _guard_saved, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        _guard_users += 1
    try:
        yield
    finally:
        with _guard_lock:
            _guard_users -= 1
            if _guard_users == 0:
                Image.MAX_IMAGE_PIXELS = _guard_saved
