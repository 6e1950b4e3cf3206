"""Pictures as a medium of `vqc rd`: (H, W, 3) uint8, by bits per pixel."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from PIL import Image

from vqc.commands.encode import is_picture
from vqc.image_files import read_image
from vqc.places import readable

from .medium import Medium, Preview
from .picture_metrics import METRICS, psnr

SIDE = 256


@lru_cache(maxsize=2)
def load(source: str) -> np.ndarray:
    """The picture (H, W, 3) uint8 as stored (not turned by its orientation), grey as three equal colours, alpha left out.

    Raises ValueError for more than 8 bits per sample, which the codecs compared do not all hold, and what read_image raises.
    """
    pixels = read_image(readable(source))
    if pixels.depth != 8:
        raise ValueError(f"{source} has {pixels.depth} bits per sample; only pictures of 8 bits are compared")
    image = np.ascontiguousarray(np.broadcast_to(pixels.colour, (pixels.height, pixels.width, 3)))
    image.flags.writeable = False  # shared by every measurement of this process
    return image


def fit(original: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """The decoded picture as it is. Raises RuntimeError for another shape or type."""
    if decoded.shape != original.shape or decoded.dtype != np.uint8:
        raise RuntimeError(f"decoded {decoded.shape} {decoded.dtype} from {original.shape} uint8")
    return decoded


def detail_window(image: np.ndarray) -> tuple[int, int, int, int]:
    """(x, y, width, height) of the window of 256x256 with the most detail: the largest sum of absolute gradients of green."""
    height, width = image.shape[:2]
    side_x, side_y = min(SIDE, width), min(SIDE, height)
    green = image[..., 1].astype(np.int64)
    detail = np.zeros((height + 1, width + 1), np.int64)
    detail[2:, 1:] += np.abs(np.diff(green, axis=0))
    detail[1:, 2:] += np.abs(np.diff(green, axis=1))
    total = detail.cumsum(axis=0).cumsum(axis=1)
    best = max(
        (int(total[y + side_y, x + side_x] - total[y, x + side_x] - total[y + side_y, x] + total[y, x]), -y, -x)
        for y in _starts(height - side_y)
        for x in _starts(width - side_x)
    )
    return -best[2], -best[1], side_x, side_y


def png(image: np.ndarray) -> bytes:
    """(H, W, 3) uint8 as a file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", optimize=True)
    return file.getvalue()


def _preview(original: np.ndarray, decoded: np.ndarray) -> Preview:
    x, y, width, height = detail_window(original)
    return Preview(png(decoded[y : y + height, x : x + width]))


def _starts(room: int) -> Iterable[int]:
    return np.unique(np.linspace(0, room, min(room // 16, 200) + 1).round().astype(int)).tolist()


PICTURE = Medium(
    name="picture",
    plural="pictures",
    is_file=is_picture,
    load=load,
    fit=fit,
    facts={"width": lambda image: image.shape[1], "height": lambda image: image.shape[0]},
    rates={"bpp": lambda facts: facts["width"] * facts["height"]},
    rate_name="bits per pixel",
    logarithmic=False,
    unit="megapixel",
    units=lambda facts: facts["width"] * facts["height"] / 1e6,
    metrics=METRICS,
    codecs="vqc,jpeg,webp,avif",
    chosen_metrics="psnr,ms-ssim",
    anchor="jpeg",
    preview=_preview,
    figure=lambda original, decoded: f"{psnr(original, decoded):.2f} dB",
    look=("The same detail at the same size", "The part of the picture with the most detail."),
)
