"""Makes the samples of this folder: `python samples/make.py [FOLDER]`. Seeded, so every run draws the same.

photo.png     512x384 RGB, a lake at evening with a boathouse and its sign: smooth sky, fine grass, sharp edges, small letters
drawing.png   240x180 RGBA, flat shapes with soft edges and half transparent parts
gradient.png  192x128 grey of 16 bits, steps far finer than 8 bits can hold
portrait.jpg  a head and shoulders stored lying on the side, 200x160, with EXIF orientation 6
talk.flac     3 s of vowels and a hiss, 24 kHz mono: pulses through resonances, as a voice is
tune.flac     3 s of plucked strings, 44.1 kHz stereo, with a title
clip.mkv      25 frames of 160x128 with sound: the camera pans over the lake while a ball falls and leaps again
"""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from vqc.image_files import write_image
from vqc.pixels import Pixels
from vqc.sound import SoundFormat
from vqc.video import Frame, VideoFormat
from vqc.video_api import frames_from_arrays
from vqc.video_writers import open_writer

# Letters of 5x7 dots, one number per row, the left dot in the highest of five bits.
_LETTERS = {
    "V": (17, 17, 17, 17, 10, 10, 4), "Q": (14, 17, 17, 17, 21, 18, 13), "C": (14, 17, 16, 16, 16, 17, 14),
    "B": (30, 17, 17, 30, 17, 17, 30), "O": (14, 17, 17, 17, 17, 17, 14), "A": (14, 17, 17, 31, 17, 17, 17),
    "T": (31, 4, 4, 4, 4, 4, 4), "S": (15, 16, 16, 14, 1, 1, 30), "2": (14, 17, 1, 2, 4, 8, 31),
    "5": (31, 16, 30, 1, 1, 17, 14),
    " ": (0, 0, 0, 0, 0, 0, 0),
}  # fmt: skip


def grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of every pixel centre, as (H, 1) and (1, W)."""
    return np.arange(height)[:, None] + 0.5, np.arange(width)[None, :] + 0.5


def fractal(rng: np.random.Generator, height: int, width: int, slope: float, stretch: float = 1.0) -> np.ndarray:
    """(H, W) noise of mean 0 and deviation 1 whose spectrum falls as frequency^-slope; stretch > 1 draws it out sideways."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :] * stretch
    frequency = np.maximum(np.hypot(fy, fx), 1 / max(height, width))
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((height, width))) * frequency**-slope, s=(height, width))
    return (noise - noise.mean()) / noise.std()


def blend(canvas: np.ndarray, colour: np.ndarray | tuple[float, ...], cover: np.ndarray) -> None:
    """Paints colour, (3,) or (H, W, 3) in 0..1, over canvas (H, W, 3) where cover (H, W) in 0..1 says."""
    canvas += (np.asarray(colour) - canvas) * np.clip(cover, 0, 1)[..., None]


def ellipse(
    y: np.ndarray, x: np.ndarray, centre: tuple[float, float], radii: tuple[float, float], soft: float = 1
) -> np.ndarray:
    """Cover of an ellipse, its edge `soft` pixels wide."""
    distance = np.hypot((y - centre[0]) / radii[0], (x - centre[1]) / radii[1])
    return np.clip((1 - distance) * min(radii) / soft + 0.5, 0, 1)


def box(y: np.ndarray, x: np.ndarray, top: float, left: float, bottom: float, right: float) -> np.ndarray:
    """Cover of an upright rectangle with antialiased edges."""
    return np.clip(np.minimum(y - top, bottom - y) + 0.5, 0, 1) * np.clip(np.minimum(x - left, right - x) + 0.5, 0, 1)


def lettering(shape: tuple[int, int], text: str, top: int, left: int, dot: int) -> np.ndarray:
    """Cover (H, W) of a line of text, each dot of a letter `dot` pixels wide."""
    rows = np.array([[2 * _LETTERS[c][row] >> (5 - column) & 1 for c in text for column in range(6)] for row in range(7)])
    cover = np.zeros(shape)
    cover[top : top + 7 * dot, left : left + rows.shape[1] * dot] = np.kron(rows, np.ones((dot, dot)))
    return cover


def bytes_of(canvas: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8)


def photo() -> Pixels:
    rng = np.random.default_rng(1)
    height, width, shore = 384, 512, 236
    y, x = grid(height, width)
    up = np.clip(y / shore, 0, 1)[..., None]
    canvas = np.broadcast_to((1 - up) * (0.22, 0.36, 0.62) + up * (0.98, 0.74, 0.50), (height, width, 3)).copy()
    clouds = fractal(rng, height, width, 1.7, 0.45)
    blend(canvas, (1.0, 0.88, 0.80), 0.5 * np.clip(clouds - 0.1, 0, 1) * (1 - 0.6 * up[..., 0]))
    blend(canvas, (1.0, 0.95, 0.75), 0.7 * np.exp(-np.hypot(y - 190, x - 372) / 45))
    blend(canvas, (1.0, 0.98, 0.86), ellipse(y, x, (190, 372), (15, 15), 2))
    for distance, base, rough in ((0.75, 168, 26.0), (0.5, 196, 20.0), (0.2, 220, 13.0)):
        ridge = base + rough * fractal(rng, 2, width, 1.6)[0]
        texture = fractal(rng, height, width, 1.0)[..., None]
        rock = (0.14, 0.19, 0.15) + 0.035 * texture + 0.03 * fractal(rng, height, width, 2.0)[..., None]
        blend(canvas, distance * np.array((0.72, 0.58, 0.58)) + (1 - distance) * rock, y - ridge)
    # The lake is the sky and hills upside down, drawn out by ripples that widen towards the viewer.
    ripple = fractal(rng, height, width, 1.1, 7.0) * np.clip((y - shore) / 28, 0.15, 4)
    mirrored = np.clip(2 * shore - y - 1 + ripple, 0, shore - 1).astype(int)
    lake = 0.82 * canvas[mirrored, np.broadcast_to(x.astype(int), mirrored.shape)] + (0.0, 0.012, 0.035)
    blend(canvas, lake + 0.02 * fractal(rng, height, width, 0.6, 5.0)[..., None], y - shore)
    boathouse(canvas, rng)
    # Grass: many thin blades, lighter the higher they reach.
    bank = 322 + 9 * fractal(rng, 2, width, 1.5)[0]
    ground = np.array((0.16, 0.21, 0.08)) + 0.07 * fractal(rng, height, width, 0.5)[..., None] * (1.0, 1.0, 0.4)
    blend(canvas, ground, y - bank)
    for _ in range(1500):
        root_x, lean = rng.uniform(-5, width + 5), rng.uniform(-7, 7)
        root_y, length = rng.uniform(318, height + 20), rng.uniform(10, 30)
        along = np.linspace(0, 1, 32)
        rows, columns = (root_y - length * along).astype(int), (root_x + lean * along**2).astype(int)
        seen = (rows > 0) & (rows < height) & (columns >= 0) & (columns < width)
        shade = rng.uniform(0.6, 1.4) * (0.6 + 0.8 * along[seen, None])
        canvas[rows[seen], columns[seen]] = shade * (0.26, 0.33, 0.11)
    return Pixels(bytes_of(canvas + rng.normal(0, 0.006, canvas.shape)))


def boathouse(canvas: np.ndarray, rng: np.random.Generator) -> None:
    y, x = grid(*canvas.shape[:2])
    planks = 0.5 + 0.5 * np.cos((x - 70) * 2 * np.pi / 7.5)
    grain = fractal(rng, *canvas.shape[:2], 0.8, 0.2)
    wall = (0.55 + 0.05 * grain - 0.22 * planks**12)[..., None] * (1.0, 0.28, 0.20)
    blend(canvas, (0.10, 0.07, 0.06), box(y, x, 288, 70, 322, 78) + box(y, x, 288, 192, 322, 200))
    blend(canvas, wall, box(y, x, 212, 66, 296, 206))
    slope = np.clip(np.minimum(x - 52, 220 - x) * 0.62 - (212 - y) + 4, 0, 1)
    tiles = 0.5 + 0.5 * np.sign(np.sin(y * 1.05) * np.sin(x * 0.8 + (y // 3) * 1.6))
    roof = (0.17 + 0.05 * tiles + 0.02 * grain)[..., None] * (1.0, 0.95, 1.05)
    blend(canvas, roof, slope * np.clip(216 - y, 0, 1) * np.clip(y - 168, 0, 1))
    for left in (78, 168):
        blend(canvas, (0.95, 0.93, 0.88), box(y, x, 246, left, 278, left + 28))
        for pane in (left + 3, left + 15):
            light = 1.1 - 0.012 * (y - 246)
            blend(canvas, light[..., None] * (0.98, 0.80, 0.42), box(y, x, 249, pane, 261, pane + 10))
            blend(canvas, light[..., None] * (0.98, 0.80, 0.42), box(y, x, 264, pane, 275, pane + 10))
    blend(canvas, (0.20, 0.10, 0.07), box(y, x, 244, 116, 296, 158))
    blend(canvas, (0.93, 0.91, 0.84), box(y, x, 220, 104, 240, 170))
    blend(canvas, (0.08, 0.10, 0.22), lettering(canvas.shape[:2], "BOATS", 223, 108, 2))
    blend(canvas, (0.93, 0.91, 0.84), lettering(canvas.shape[:2], "VQC 25", 252, 120, 1))


def drawing() -> Pixels:
    height, width = 180, 240
    y, x = grid(height, width)
    canvas, alpha = np.zeros((height, width, 3)), np.zeros((height, width))
    for colour, opacity, cover in (
        ((0.96, 0.66, 0.14), 1.0, ellipse(y, x, (92, 84), (66, 66))),
        ((0.15, 0.42, 0.80), 0.6, ellipse(y, x, (92, 150), (60, 74))),
        ((0.86, 0.18, 0.30), 1.0, box(y, x, 112.5, 40.3, 150.7, 199.6)),
        ((1.00, 1.00, 1.00), 1.0, lettering((height, width), "VQC", 118, 84, 4)),
        ((0.05, 0.05, 0.05), 0.35, ellipse(y, x, (165, 120), (8, 100), 12)),
    ):
        cover = opacity * cover
        # Over, for colours that are not premultiplied.
        total = cover + alpha * (1 - cover)
        share = np.divide(cover, total, out=np.zeros_like(cover), where=total > 0)
        blend(canvas, colour, share)
        alpha = total
    return Pixels(bytes_of(canvas), bytes_of(alpha))


def gradient() -> Pixels:
    y, x = grid(128, 192)
    light = 0.1 + 0.5 * x / 192 + 0.3 * (y / 128) ** 2
    ring = 0.04 * np.exp(-(((np.hypot(y - 64, x - 120) - 40) / 9) ** 2))
    return Pixels(np.rint(np.clip(light + ring, 0, 1) * 65535).astype(np.uint16)[..., None])


def portrait() -> Pixels:
    rng = np.random.default_rng(4)
    height, width = 200, 160
    y, x = grid(height, width)
    texture = fractal(rng, height, width, 2.2)[..., None]
    canvas = np.array((0.30, 0.38, 0.36)) + 0.07 * texture + 0.1 * (1 - y / height)[..., None]
    blend(canvas, (0.17, 0.11, 0.08), ellipse(y, x, (78, 80), (58, 47), 3))
    knit = 0.06 * np.sin(x * 1.5) * np.sin(y * 1.2)
    blend(canvas, np.array((0.62, 0.22, 0.20)) + knit[..., None], ellipse(y, x, (212, 80), (64, 74), 2))
    skin = (0.80 + 0.0022 * (60 - x) + 0.012 * fractal(rng, height, width, 0.9))[..., None] * (1.0, 0.76, 0.62)
    blend(canvas, 0.86 * skin, box(y, x, 112, 63, 158, 97))
    blend(canvas, skin, ellipse(y, x, (88, 80), (46, 34), 2))
    blend(canvas, (0.14, 0.09, 0.07), ellipse(y, x, (44, 76), (17, 38), 4))
    for side in (-1, 1):
        blend(canvas, (0.95, 0.94, 0.92), ellipse(y, x, (84, 80 + 14 * side), (4, 7.5)))
        blend(canvas, (0.22, 0.32, 0.28), ellipse(y, x, (84, 80 + 14 * side), (3.8, 3.8)))
        blend(canvas, (0.02, 0.02, 0.02), ellipse(y, x, (84, 80 + 14 * side), (1.8, 1.8)))
        blend(canvas, (0.16, 0.10, 0.08), ellipse(y, x, (74, 80 + 14 * side), (1.8, 9), 1.5))
        blend(canvas, (0.90, 0.48, 0.42), 0.35 * ellipse(y, x, (100, 80 + 19 * side), (9, 9), 9))
    blend(canvas, 0.78 * skin, ellipse(y, x, (100, 82), (3, 6), 3))
    blend(canvas, (0.66, 0.26, 0.26), ellipse(y, x, (114, 80), (3.5, 12), 1.5))
    hair = np.clip(fractal(rng, height, width, 0.7, 4.0), 0, 2) * 0.05 * ellipse(y, x, (70, 80), (62, 50), 8)
    stored = np.rot90(bytes_of(canvas + (hair * (canvas.sum(2) < 0.6))[..., None]))
    return Pixels(np.ascontiguousarray(stored), metadata={"exif": camera()}, orientation=6)


def camera() -> bytes:
    """The EXIF block that a camera held upright writes."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112], exif[0x0132] = "vqc", "samples/make.py", 6, "2025:01:01 12:00:00"
    return exif.tobytes().removeprefix(b"Exif\0\0")


def talk() -> tuple[np.ndarray, int, str]:
    """(N, 1) samples, rate and title: four vowels with falling pitch, then a fading hiss."""
    rate, rng = 24000, np.random.default_rng(5)
    out = np.zeros(3 * rate)
    vowels = [(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480)]
    for number, resonances in enumerate(vowels):
        n = np.arange(int(0.5 * rate))
        phase = np.cumsum(130 * (1 - 0.25 * n / len(n)) * (1 + 0.01 * np.sin(n / 700))) / rate
        spectrum = np.fft.rfft((np.diff(np.floor(phase), prepend=0) > 0).astype(float) + 0.003 * rng.standard_normal(len(n)))
        frequency = np.fft.rfftfreq(len(n), 1 / rate)
        for centre in resonances:
            spectrum = spectrum / np.sqrt((1 - (frequency / centre) ** 2) ** 2 + (0.12 * frequency / centre) ** 2)
        vowel = np.fft.irfft(spectrum, len(n)) * np.sin(np.pi * n / len(n)) ** 0.5
        start = int((0.1 + 0.58 * number) * rate)
        out[start : start + len(n)] += 0.25 * vowel / np.abs(vowel).max()
    hiss = np.diff(rng.standard_normal(int(0.4 * rate) + 1)) * np.hanning(int(0.4 * rate))
    out[-len(hiss) :] += 0.04 * hiss
    return out[:, None], rate, "four vowels"


def tune() -> tuple[np.ndarray, int, str]:
    """(N, 2) samples, rate and title: notes of decaying partials, each at its place between left and right."""
    rate = 44100
    out = np.zeros((3 * rate, 2))
    for number, half_tones in enumerate((0, 7, 12, 16, 12, 7, 4, 0)):
        n = np.arange(len(out) - int(number * 0.34 * rate))
        pitch, note = 196 * 2 ** (half_tones / 12), np.zeros(len(n))
        for partial in range(1, 13):
            decay = np.exp(-n / rate * (1.5 + 0.9 * partial))
            note += decay * np.sin(2 * np.pi * pitch * partial * (1 + 0.0004 * partial**2) * n / rate) / partial
        side = 0.5 + 0.4 * np.sin(number)
        out[len(out) - len(n) :] += 0.16 * note[:, None] * np.array((side, 1 - side))
    return out, rate, "eight notes"


def clip() -> tuple[VideoFormat, list[Frame], np.ndarray]:
    """Format, frames, and samples (2, N) of the sound."""
    lake = photo().colour.reshape(192, 2, 256, 2, 3).mean((1, 3)) / 255
    y, x = grid(128, 160)
    pictures = []
    for number in range(25):
        top, left = 40 + 10 * np.sin(number / 9), 90 - 3.3 * number
        row, column = int(top), int(left)
        down, right = top - row, left - column
        window = lake[row : row + 129, column : column + 161]
        window = window[:-1] * (1 - down) + window[1:] * down
        canvas = window[:, :-1] * (1 - right) + window[:, 1:] * right
        height = 118 - 70 * abs(np.sin(number / 7))
        blend(canvas, (0.85, 0.20, 0.15), ellipse(y, x, (height, 20 + 5 * number), (9, 9)))
        blend(canvas, (1.0, 0.85, 0.80), ellipse(y, x, (height - 3, 17 + 5 * number), (2.5, 2.5), 2))
        pictures.append(bytes_of(canvas))
    kind, frames = frames_from_arrays(pictures, Fraction(25))
    samples, rate, _ = tune()
    return replace(kind, sound=SoundFormat(rate, 2, 16)), list(frames), samples[:rate].T.astype(np.float32)


SAMPLES = {"photo.png": photo, "drawing.png": drawing, "gradient.png": gradient, "portrait.jpg": portrait}
SOUNDS = {"talk.flac": talk, "tune.flac": tune}


def main(folder: Path) -> None:
    for name, draw in SAMPLES.items():
        write_image(draw(), folder / name)
    for name, play in SOUNDS.items():
        samples, rate, title = play()
        with soundfile.SoundFile(folder / name, "w", rate, samples.shape[1], "PCM_16") as file:
            file.title = title
            file.write(samples)
    kind, frames, samples = clip()
    with open(folder / "clip.mkv", "wb") as file:
        writer = open_writer(file, kind, ".mkv")
        for frame in frames:
            writer.frame(frame)
        writer.sound(samples)
        writer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
