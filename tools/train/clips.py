"""Training clips in memory, with what the video model needs beside the frames, and random crops of them."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from tqdm import tqdm

from vqc.models import weights
from vqc.models.colour import planes_to_rgb, rgb_to_planes
from vqc.models.entropy_model import quality_row
from vqc.models.image_hyperprior import ImageDecoder, ImageEncoder
from vqc.models.video_transform import BLOCK
from vqc.motion_refinement import Reference, refine, worth_of_error
from vqc.motion_search import MotionSearch, quantiser
from vqc.planes import join, split
from vqc.video_encoding import picture_quality

EXTENSIONS = {".mkv", ".mp4", ".mov", ".webm", ".avi", ".y4m"}
INTRA_ROWS = (0.0, 2.5, 5.0, 7.5, 10.0)  # quality rows at which first frames are coded
MOTION_ROWS = (2.0, 6.5)  # quality rows for which motion is searched


@dataclass
class Clip:
    """Consecutive frames, sides multiples of 16; planes (T, 3/2 H, W) uint8 as PyAV lays out yuv420p.

    forward (rows, T, H/8, W/8, 2) int16: vectors of each frame against the one before; backward: against the one after. intra:
    by frame number, that frame coded as a picture (rows, 3/2 H, W) uint8.
    """

    planes: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
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
    starts = {0} | ({len(planes) // 2} if len(planes) >= 8 else set())
    backward = search_motion(planes[::-1])[:, ::-1]
    return Clip(planes, search_motion(planes), backward, {s: code_intra(planes[s], INTRA_ROWS) for s in starts})


def search_motion(planes: np.ndarray) -> np.ndarray:
    """Vectors of each frame against the one before, for MOTION_ROWS: (rows, T, H/8, W/8, 2) int16; those of the first are 0."""
    height, width = planes.shape[1] * 2 // 3, planes.shape[2]
    qualities = [round(row * 100) for row in MOTION_ROWS]
    search = MotionSearch(width, height, quantiser(qualities[0]))
    fields: list[list[np.ndarray]] = [[search(planes[0])] * len(qualities)]
    for last, frame in itertools.pairwise(planes):
        found, reference = search(frame), Reference(torch.from_numpy(last[:height]).float()[None, None])
        pairs = zip(qualities, fields[-1])
        fields.append([refine(found, reference, frame[:height], worth_of_error(q), before) for q, before in pairs])
    return np.stack(fields, axis=1)


def load_clips(files: list[Path], cache: Path) -> list[Clip]:
    """All files, prepared; what was prepared once is kept in the folder `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    clips = []
    for path in tqdm(files, desc="clips", disable=None):
        kept = cache / f"{path.stem}.npz"
        if not kept.exists():
            clip = prepare(path)
            intra = {f"intra{k}": v for k, v in clip.intra.items()}
            np.savez(kept, planes=clip.planes, forward=clip.forward, backward=clip.backward, **intra)
        with np.load(kept) as data:
            intra = {int(k.removeprefix("intra")): data[k] for k in data if k.startswith("intra")}
            clips.append(Clip(data["planes"], data["forward"], data["backward"], intra))
    return clips


class Walk:
    """A crop of a clip, walked from a frame that was coded as a picture to the end of the clip, back, and forth again.

    y0, uv0: the first frame as decoded, and each `step`: the next frame and its vectors against the one before, as
    (y (1, S, S), uv (2, S/2, S/2) uint8, vectors (S/8, S/8, 2) int16). A walk sees as many frames as a group has, of clips that
    are short. Mirrored at random.
    """

    def __init__(self, clip: Clip, size: int, row: float, rng: random.Random) -> None:
        height, width = clip.planes.shape[1] * 2 // 3, clip.planes.shape[2]
        self._top, self._left = (rng.randrange((n - size) // 16 + 1) * 16 for n in (height, width))
        self._size, self._mirrored = size, rng.random() < 0.5
        motion = min(range(len(MOTION_ROWS)), key=lambda i: abs(MOTION_ROWS[i] - row))
        self._clip, self._forward, self._backward = clip, clip.forward[motion], clip.backward[motion]
        self._position, self._direction = rng.choice(list(clip.intra)), 1
        wanted = picture_quality(round(row * 100)) / 100
        intra = min(range(len(INTRA_ROWS)), key=lambda i: abs(INTRA_ROWS[i] - wanted))
        self.row = row
        self.y0, self.uv0 = self._cut_planes(clip.intra[self._position][intra])

    def step(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The next frame."""
        if not 0 <= self._position + self._direction < len(self._clip.planes):
            self._direction = -self._direction
        self._position += self._direction
        vectors = (self._forward if self._direction > 0 else self._backward)[self._position]
        cells = [slice(n // BLOCK, (n + self._size) // BLOCK) for n in (self._top, self._left)]
        vectors = vectors[cells[0], cells[1]]
        if self._mirrored:
            vectors = vectors[:, ::-1] * np.array([-1, 1], np.int16)
        return *self._cut_planes(self._clip.planes[self._position]), vectors

    def _cut_planes(self, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        def cut(part: np.ndarray, unit: int) -> np.ndarray:
            rows, columns = (slice(n // unit, (n + self._size) // unit) for n in (self._top, self._left))
            part = part[:, rows, columns]
            return part[:, :, ::-1] if self._mirrored else part

        y, uv = split(planes)
        return cut(y, 1), cut(uv, 2)


def random_walk(clips: list[Clip], size: int, row: float, rng: random.Random) -> Walk:
    """A walk through a random clip that is large enough."""
    usable = [c for c in clips if min(c.planes.shape[1] * 2 // 3, c.planes.shape[2]) >= size and len(c.planes) > 1]
    return Walk(rng.choice(usable), size, row, rng)
