"""Training clips in memory, with what the video model needs beside the frames, and random crops of them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vqc.models import weights
from vqc.models.colour import planes_to_rgb, rgb_to_planes
from vqc.models.entropy_model import quality_row
from vqc.models.image_hyperprior import ImageDecoder, ImageEncoder
from vqc.models.video_transform import BLOCK
from vqc.motion_search import MotionSearch, quantiser
from vqc.planes import join, split

EXTENSIONS = {".mkv", ".mp4", ".mov", ".webm", ".avi", ".y4m"}
INTRA_ROWS = (0.0, 2.5, 5.0, 7.5, 10.0)  # quality rows at which first frames are coded
INTRA_OFFSET = -0.75  # rows between a predicted frame and the first frame before it, as the encoder has it
MOTION_ROWS = (1.0, 5.0, 9.0)  # quality rows for which motion is searched


@dataclass
class Clip:
    """Consecutive frames, sides multiples of 16; planes (T, 3/2 H, W) uint8 as PyAV lays out yuv420p.

    vectors (rows, T, H/8, W/8, 2) int16; intra: by frame number, that frame coded as a picture (rows, 3/2 H, W) uint8.
    """

    planes: np.ndarray
    vectors: np.ndarray
    intra: dict[int, np.ndarray]


def list_clips(folder: Path) -> list[Path]:
    """Video files below `folder`, sorted by path; raises FileNotFoundError when there are none."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in EXTENSIONS)
    if not files:
        raise FileNotFoundError(f"no clips below {folder}")
    return files


def read_planes(path: Path, limit: int | None = None) -> np.ndarray:
    """Frames of a file (T, 3/2 H, W) uint8, cut to multiples of 16."""
    frames = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            y, uv = split(frame.to_ndarray(format="yuv420p"))
            h, w = (n // 16 * 16 for n in y.shape[1:])
            frames.append(join(y[:, :h, :w], uv[:, : h // 2, : w // 2]))
            if len(frames) == limit:
                break
    return np.stack(frames)


def code_intra(planes: np.ndarray, rows: tuple[float, ...]) -> np.ndarray:
    """A frame (3/2 H, W) as the image model returns it at each quality row, without the coding: (rows, 3/2 H, W) uint8."""
    device = torch.device("cpu")
    encoder: ImageEncoder = weights.image_encoder(weights.IMAGE_MODEL, device)
    decoder: ImageDecoder = weights.image_decoder(weights.IMAGE_MODEL, device)
    y, uv = (torch.from_numpy(p)[None].float() / 255 for p in split(planes))
    image = planes_to_rgb(y, uv)
    pad = [-n % 16 for n in image.shape[2:]]
    image = torch.nn.functional.pad(image, (0, pad[1], 0, pad[0]), mode="replicate")
    coded = []
    with torch.inference_mode():
        for row in rows:
            quality = round(row * 100)
            latents = encoder.analysis(image, quality_row(quality))
            steps = torch.from_numpy(decoder.entropy.step_sizes(quality).fixed / 65536).float()[None, :, None, None]
            h, w = latents.shape[2:]
            rounded = (torch.round(latents / steps) * 64)[0].flatten(1).t().numpy().astype(np.float64)
            restored = torch.from_numpy(decoder.dequantise(rounded, h, w, quality))[None]
            result = decoder.synthesis(restored, quality_row(quality))[..., : y.shape[2], : y.shape[3]]
            coded.append(join(*((p[0] * 255).round().clamp(0, 255).byte().numpy() for p in rgb_to_planes(result))))
    return np.stack(coded)


def prepare(path: Path) -> Clip:
    """Reads a file, searches its motion and codes its first frame and one in the middle as pictures."""
    planes = read_planes(path)
    height, width = planes.shape[1] * 2 // 3, planes.shape[2]
    vectors = []
    for row in MOTION_ROWS:
        search = MotionSearch(width, height, quantiser(round(row * 100)))
        vectors.append([search(frame) for frame in planes])
    starts = {0} | ({len(planes) // 2} if len(planes) >= 8 else set())
    return Clip(planes, np.array(vectors), {s: code_intra(planes[s], INTRA_ROWS) for s in starts})


def load_clips(files: list[Path], cache: Path) -> list[Clip]:
    """All files, prepared; what was prepared once is kept in the folder `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    clips = []
    for path in tqdm(files, desc="clips", disable=None):
        kept = cache / f"{path.stem}.npz"
        if not kept.exists():
            clip = prepare(path)
            intra = {f"intra{k}": v for k, v in clip.intra.items()}
            np.savez(kept, planes=clip.planes, vectors=clip.vectors, **intra)
        with np.load(kept) as data:
            intra = {int(k.removeprefix("intra")): data[k] for k in data if k.startswith("intra")}
            clips.append(Clip(data["planes"], data["vectors"], intra))
    return clips


@dataclass
class Batch:
    """Crops: y (B, T, 1, S, S), uv (B, T, 2, S/2, S/2) uint8; frame 0 as a picture: y0, uv0; vectors (B, T, S/8, S/8, 2)."""

    y: Tensor
    uv: Tensor
    y0: Tensor
    uv0: Tensor
    vectors: Tensor


def random_crop(clip: Clip, frames: int, size: int, row: float, rng: random.Random) -> tuple[np.ndarray, ...]:
    """A crop of `frames` frames at a quality row, as the fields of `Batch` without the first dimension; mirrored at random."""
    start = rng.choice([s for s in clip.intra if s + frames <= len(clip.planes)])
    planes = clip.planes[start : start + frames]
    y, uv = split(planes)
    y0, uv0 = split(clip.intra[start][min(range(len(INTRA_ROWS)), key=lambda i: abs(INTRA_ROWS[i] - row - INTRA_OFFSET))])
    motion = clip.vectors[min(range(len(MOTION_ROWS)), key=lambda i: abs(MOTION_ROWS[i] - row))][start : start + frames]
    top, left = (rng.randrange((n - size) // 16 + 1) * 16 for n in y.shape[-2:])

    def cut(a: np.ndarray, unit: int) -> np.ndarray:
        return a[..., top // unit : (top + size) // unit, left // unit : (left + size) // unit]

    parts = [cut(y, 1), cut(uv, 2), cut(y0, 1), cut(uv0, 2)]
    motion = np.moveaxis(cut(np.moveaxis(motion, -1, 0), BLOCK), 0, -1)
    if rng.random() < 0.5:
        parts = [p[..., ::-1] for p in parts]
        motion = motion[:, :, ::-1] * np.array([-1, 1], np.int16)
    return *parts, motion


def random_batch(clips: list[Clip], rows: list[float], frames: int, size: int, rng: random.Random) -> Batch:
    """One crop for each quality row, of clips with enough frames and pixels."""
    usable = [c for c in clips if len(c.planes) >= frames and min(c.planes.shape[1] * 2 // 3, c.planes.shape[2]) >= size]
    crops = [random_crop(rng.choice(usable), frames, size, row, rng) for row in rows]
    return Batch(*(torch.from_numpy(np.stack(parts)) for parts in zip(*crops)))


