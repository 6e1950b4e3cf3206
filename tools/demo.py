"""`make demo`: a sample through vqc and back, beside JPEG and WebP at the nearest size, with a picture of all four."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import click
import numpy as np
from PIL import Image, ImageDraw

import vqc

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "samples" / "photo.png"
CAPTION = 20


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 images (H, W, 3), the squared error averaged over all three colours."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def jpeg(image: Image.Image, quality: int) -> bytes:
    return _save(image, format="JPEG", quality=quality, optimize=True)


def webp(image: Image.Image, quality: int) -> bytes:
    return _save(image, format="WEBP", quality=quality, method=6)


def _save(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def nearest_size(encode: Callable[[int], bytes], size: int) -> bytes:
    """The output of `encode(quality)`, quality 1 to 100, whose length is nearest to `size`; length grows with quality."""
    low, high = 1, 100
    files = {quality: encode(quality) for quality in (low, high)}
    while high - low > 1:
        middle = (low + high) // 2
        files[middle] = encode(middle)
        low, high = (middle, high) if len(files[middle]) < size else (low, middle)
    return min(files.values(), key=lambda file: abs(len(file) - size))


def side_by_side(pictures: list[tuple[str, Image.Image]]) -> Image.Image:
    """The pictures, all of one size, two to a row with their captions above them."""
    width, height = pictures[0][1].size
    rows = (len(pictures) + 1) // 2
    sheet = Image.new("RGB", (2 * width, rows * (height + CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (caption, picture) in enumerate(pictures):
        x, y = place % 2 * width, place // 2 * (height + CAPTION)
        draw.text((x + 4, y + 4), caption, fill="black")
        sheet.paste(picture, (x, y + CAPTION))
    return sheet


@click.command()
@click.argument("image", default=SAMPLE, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-q", "--quality", default=40.0, show_default=True, type=click.FloatRange(0, 100))
@click.option("-o", "--out", default=Path("build/demo"), show_default=True, type=click.Path(file_okay=False, path_type=Path))
def main(image: Path, quality: float, out: Path) -> None:
    """Encode and decode IMAGE with vqc, and compare with JPEG and WebP at the nearest size."""
    out.mkdir(parents=True, exist_ok=True)
    original = Image.open(image).convert("RGB")
    pixels = np.asarray(original)

    start = perf_counter()
    data = vqc.encode(original, quality=quality)
    middle = perf_counter()
    decoded = vqc.decode(data).image
    end = perf_counter()
    click.echo(f"encoded in {middle - start:.2f} s and decoded in {end - middle:.2f} s, loading of models included")
    coded = out / f"{image.stem}.vqc"
    coded.write_bytes(data)
    click.echo(f"{coded}: {vqc.inspect(data)}\n")

    files = {
        "JPEG": nearest_size(lambda quality: jpeg(original, quality), len(data)),
        "WebP": nearest_size(lambda quality: webp(original, quality), len(data)),
    }
    rows = [("vqc", len(data), decoded)]
    rows += [(name, len(file), Image.open(io.BytesIO(file)).convert("RGB")) for name, file in files.items()]
    pictures = [(f"original, {image.stat().st_size} bytes as {image.suffix[1:].upper()}", original)]
    click.echo(f"{'codec':8}{'bytes':>9}{'bit/pixel':>11}{'PSNR dB':>10}")
    for name, size, picture in rows:
        rate, fidelity = size * 8 / (original.width * original.height), psnr(pixels, np.asarray(picture))
        click.echo(f"{name:8}{size:9}{rate:11.3f}{fidelity:10.2f}")
        pictures.append((f"{name}, {size} bytes, {rate:.3f} bit/pixel, PSNR {fidelity:.2f} dB", picture))
    sheet = out / f"{image.stem}.png"
    side_by_side(pictures).save(sheet)
    click.echo(f"\nside by side: {sheet}")


if __name__ == "__main__":
    main()
