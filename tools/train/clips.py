"""Training clips in memory, with what the video model needs beside the frames, and random crops of them."""

from __future__ import annotations

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
from vqc.models.frame_order import levels
from vqc.models.image_hyperprior import ImageDecoder, ImageEncoder
from vqc.models.motion import to_motion
from vqc.models.trace import Trace, expected_fields
from vqc.models.video_transform import BLOCK
from vqc.motion_refinement import Reference, refine, with_older, worth_of_error
from vqc.motion_search import Found, MotionSearch, quantiser
from vqc.persistence import MOST
from vqc.planes import join, split
from vqc.video_quality import LEVEL_QUALITY, PLAIN, enhancement_quality, picture_quality

EXTENSIONS = {".mkv", ".mp4", ".mov", ".webm", ".avi", ".y4m"}
INTRA_ROWS = (0.0, 2.5, 5.0, 7.5, PLAIN / 100)  # quality rows at which first frames are coded
UNIT = 4  # frames that a walk takes at once
# Lengths of the runs that make up a unit, and the quality rows for which their motion is searched.
STRUCTURES = {4: (2.0, 6.5), 2: (4.0,), 1: (4.0,)}
# The frames of the first unit of a walk, level by level, and of later ones, which know those of the unit before (below 0).
FIRST_ORDER = {length: list(levels([length] * (UNIT // length), two_before=True)) for length in STRUCTURES}
ORDER = {
    length: [
        tuple(place.later(-length) for place in level)
        for level in levels([length] * (UNIT // length + 1), two_before=True)
        if level[0].number > length
    ]
    for length in STRUCTURES
}


@dataclass
class Way:
    """Frames in one direction of time, a whole number of units and one before: planes (T, 3/2 H, W) uint8 as PyAV lays out
    yuv420p, sides multiples of 16; motion by length of run and quality row, of frames from 1 on; first: the first frame coded
    as a picture at each of INTRA_ROWS, (rows, 3/2 H, W) uint8."""

    planes: np.ndarray
    motion: dict[tuple[int, float], list[Found]]
    first: np.ndarray


@dataclass
class Clip:
    """A clip forward and backward."""

    ways: tuple[Way, Way]


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


def search_motion(planes: np.ndarray, length: int, quality: int) -> list[Found]:
    """Motion of frames from 1 on in runs of `length`, refined against the frames as they are. Raises ValueError where `length`
    does not go into their number."""
    height, width = planes.shape[1] * 2 // 3, planes.shape[2]
    if (len(planes) - 1) % length:
        raise ValueError(f"{len(planes) - 1} predicted frames in runs of {length}")
    search = MotionSearch(width, height, quantiser(quality), length, adapt=False)
    runs = [run for frame in planes for run in search(frame)] + search.rest()
    found = [one for run in runs for one in run]
    references = [Reference(one[:height].astype(np.float32)) for one in planes]
    traces = {0: Trace()}
    for place in (place for level in levels(map(len, runs), two_before=True) for place in level):
        one = found[place.number - 1]
        if place.older is not None:
            one = with_older(one, traces[place.before].fields)
        expected = expected_fields(place, traces, one.fields.shape[1:3])
        sources = [references[number] for number in place.sources]
        y = planes[place.number, :height]
        one = refine(one, sources, y, worth_of_error(round(quality * LEVEL_QUALITY)), expected, place.older is not None)
        _, fields = to_motion(one.fields[None], one.modes[None], expected[None])
        found[place.number - 1] = Found(fields[0], one.modes)
        traces[place.number] = Trace(fields=fields[0], place=place)
    return found


def prepare(path: Path) -> Clip:
    """Reads a file, searches its motion and codes its first and last frames as pictures."""
    planes = read_planes(path)
    planes = planes[: (len(planes) - 1) // UNIT * UNIT + 1]
    return Clip((_way(planes), _way(planes[::-1])))


def _way(planes: np.ndarray) -> Way:
    motion = {
        (length, row): search_motion(planes, length, round(row * 100)) for length, rows in STRUCTURES.items() for row in rows
    }
    return Way(planes, motion, code_intra(planes[0], INTRA_ROWS))


def load_clips(files: list[Path], cache: Path) -> list[Clip]:
    """All files, prepared; what was prepared once is kept in the folder `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    clips = []
    for path in tqdm(files, desc="clips", disable=None):
        kept = cache / f"{path.stem}-{weights.IMAGE_MODEL}.pt"
        if not kept.exists():
            torch.save(prepare(path), kept.with_suffix(".tmp"))
            kept.with_suffix(".tmp").replace(kept)
        clips.append(torch.load(kept, weights_only=False))
    return clips


@dataclass(frozen=True)
class Crop:
    """A frame of a walk: y (1, S, S) and uv (2, S/2, S/2) uint8, fields (s, S/8, S/8, 2) int16 and modes (S/16, S/16) int64."""

    y: np.ndarray
    uv: np.ndarray
    fields: np.ndarray
    modes: np.ndarray


class Walk:
    """A crop of a clip, walked from a frame that was coded as a picture to the end of the clip, back, and forth again.

    y0, uv0: the first frame as decoded, coded as a picture of quality `intra_row`; original: as it is; enhancement_row: quality
    row of what it is to be enhanced by, or None. A walk sees as many frames as a group has, of clips that are short. Mirrored
    at random.
    """

    def __init__(self, clip: Clip, size: int, row: float, rng: random.Random) -> None:
        self._ways, self._way, self._position = clip.ways, rng.randrange(2), 0
        planes = clip.ways[0].planes
        height, width = planes.shape[1] * 2 // 3, planes.shape[2]
        self._top, self._left = (rng.randrange((n - size) // 16 + 1) * 16 for n in (height, width))
        self._size, self._mirrored, self.row = size, rng.random() < 0.5, row
        wanted = picture_quality(round(row * 100), rng.randrange(MOST + 1)) / 100
        intra = min(range(len(INTRA_ROWS)), key=lambda i: abs(INTRA_ROWS[i] - wanted))
        enhanced = wanted > INTRA_ROWS[-1]
        self.intra_row = INTRA_ROWS[intra]
        self.enhancement_row = enhancement_quality(round(wanted * 100)) / 100 if enhanced else None
        self.y0, self.uv0 = self._cut_planes(clip.ways[self._way].first[intra])
        self.original = self._cut_planes(clip.ways[self._way].planes[0])

    def unit(self, length: int) -> dict[int, Crop]:
        """The next frames in runs of `length`, by number from 1 on."""
        way = self._ways[self._way]
        if self._position + UNIT >= len(way.planes):
            self._way, self._position = 1 - self._way, 0
            way = self._ways[self._way]
        begin, self._position = self._position, self._position + UNIT
        row = min(STRUCTURES[length], key=lambda r: abs(r - self.row))
        found = way.motion[length, row][begin : begin + UNIT]
        return {
            k: Crop(*self._cut_planes(way.planes[begin + k]), *self._cut_motion(one)) for k, one in enumerate(found, start=1)
        }

    def _cut_motion(self, found: Found) -> tuple[np.ndarray, np.ndarray]:
        blocks, squares = (
            [slice(n // unit, (n + self._size) // unit) for n in (self._top, self._left)] for unit in (BLOCK, 2 * BLOCK)
        )
        fields, modes = found.fields[:, blocks[0], blocks[1]], found.modes[squares[0], squares[1]].astype(np.int64)
        if self._mirrored:
            fields, modes = fields[:, :, ::-1] * np.array([-1, 1], np.int16), modes[:, ::-1]
        return fields, modes

    def _cut_planes(self, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        def cut(part: np.ndarray, unit: int) -> np.ndarray:
            rows, columns = (slice(n // unit, (n + self._size) // unit) for n in (self._top, self._left))
            part = part[:, rows, columns]
            return part[:, :, ::-1] if self._mirrored else part

        y, uv = split(planes)
        return cut(y, 1), cut(uv, 2)


def random_walk(clips: list[Clip], size: int, row: float, rng: random.Random) -> Walk:
    """A walk through a random clip that is large enough."""
    shapes = [clip.ways[0].planes.shape for clip in clips]
    usable = [clip for clip, (t, rows, width) in zip(clips, shapes) if min(rows * 2 // 3, width) >= size and t > UNIT]
    return Walk(rng.choice(usable), size, row, rng)
