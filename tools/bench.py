"""`vqc bench`: how long vqc takes to encode and decode one image, and where the time goes, beside two models of compressai.

All codecs run in one process, warm, from a uint8 array to bytes and back to a uint8 array. Every round runs each of them
once, so that a disturbance from outside hits all alike; what is reported is the median over the rounds. The compressai
models have random weights: the amount of work does not depend on them, and nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import click
import numpy as np
import torch
from PIL import Image

import vqc
from vqc.timing import collect
from vqc.tools.compressai_shim import CompressaiMissing, import_compressai
from vqc.version import __version__

ZOO = ("bmshj2018-hyperprior", "mbt2018-mean")
ZOO_QUALITY = 5
PARTS = ("transform", "entropy networks", "coder", "I/O")


@dataclass(frozen=True)
class Codec:
    """Something to time: an image (H, W, 3) uint8 to coded data, and back."""

    name: str
    encode: Callable[[np.ndarray], Any]
    decode: Callable[[Any], np.ndarray]
    size: Callable[[Any], int]


@dataclass(frozen=True)
class Direction:
    """Medians over the rounds, in seconds. `parts` are named spans (vqc.timing); empty for codecs that have none."""

    seconds: float
    seconds_per_megapixel: float
    parts: dict[str, float]


@dataclass(frozen=True)
class Result:
    codec: str
    bytes: int
    encode: Direction
    decode: Direction

    @property
    def seconds(self) -> float:
        """Encode and decode together."""
        return self.encode.seconds + self.decode.seconds


def vqc_codec(quality: float) -> Codec:
    return Codec("vqc", lambda image: vqc.encode(image, quality=quality), lambda data: vqc.decode(data).pixels, len)


def zoo_codec(name: str) -> Codec:
    """An untrained model of compressai's zoo with its real range coder. Raises CompressaiMissing."""
    zoo = import_compressai().zoo
    torch.manual_seed(0)
    model = zoo.image_models[name](quality=ZOO_QUALITY, pretrained=False).eval()
    model.update(force=True)

    @torch.inference_mode()
    def encode(image: np.ndarray) -> dict[str, Any]:
        x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        height, width = image.shape[:2]
        # These models halve the picture six times.
        x = torch.nn.functional.pad(x, (0, -width % 64, 0, -height % 64), mode="replicate")
        return {"size": (height, width), **model.compress(x)}

    @torch.inference_mode()
    def decode(coded: dict[str, Any]) -> np.ndarray:
        height, width = coded["size"]
        x = model.decompress(coded["strings"], coded["shape"])["x_hat"][0, :, :height, :width]
        return (x * 255).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()

    return Codec(name, encode, decode, lambda coded: sum(len(string) for group in coded["strings"] for string in group))


def synthetic_image(width: int = 768, height: int = 512) -> np.ndarray:
    """A picture (H, W, 3) uint8 with the spectrum of a photograph (amplitude falling as 1/f), the same on every run."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    noise = rng.standard_normal((3, *frequency.shape)) + 1j * rng.standard_normal((3, *frequency.shape))
    # The colours of a photograph go mostly together.
    noise[1:] = 0.9 * noise[0] + 0.3 * noise[1:]
    picture = np.fft.irfft2(noise / frequency, s=(height, width))
    picture = picture / picture.std(axis=(1, 2), keepdims=True) * 50 + 128
    return np.ascontiguousarray(picture.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def measure(codecs: Sequence[Codec], image: np.ndarray, rounds: int) -> list[Result]:
    """Time every codec on `image` (H, W, 3), after one round that loads models and warms caches and is not counted."""
    megapixels = image.shape[0] * image.shape[1] / 1e6
    encoding: dict[str, list[tuple[float, dict[str, float]]]] = {codec.name: [] for codec in codecs}
    decoding: dict[str, list[tuple[float, dict[str, float]]]] = {codec.name: [] for codec in codecs}
    sizes: dict[str, int] = {}
    for _ in range(rounds + 1):
        for codec in codecs:
            coded = _timed(codec.encode, image, encoding[codec.name])
            decoded = _timed(codec.decode, coded, decoding[codec.name])
            if decoded.shape != image.shape:
                raise RuntimeError(f"{codec.name} decoded {decoded.shape} from {image.shape}")
            sizes[codec.name] = codec.size(coded)
    return [
        Result(codec.name, sizes[codec.name], *(_median(runs[codec.name][1:], megapixels) for runs in (encoding, decoding)))
        for codec in codecs
    ]


def _timed(function: Callable[[Any], Any], argument: Any, runs: list[tuple[float, dict[str, float]]]) -> Any:
    with collect() as times:
        start = perf_counter()
        result = function(argument)
        elapsed = perf_counter() - start
    runs.append((elapsed, times.seconds))
    return result


def _median(runs: list[tuple[float, dict[str, float]]], megapixels: float) -> Direction:
    seconds = median(elapsed for elapsed, _ in runs)
    names = sorted({name for _, parts in runs for name in parts})
    parts = {name: median(parts.get(name, 0.0) for _, parts in runs) for name in names}
    return Direction(seconds, seconds / megapixels, parts)


def table(results: Sequence[Result]) -> str:
    """The results as text, one line per codec and direction, times in milliseconds."""
    width = max(len(result.codec) for result in results)
    parts = [*PARTS, *sorted({p for r in results for d in (r.encode, r.decode) for p in d.parts} - set(PARTS))]
    lines = [f"{'codec':{width}}          {'ms':>8} {'ms/MP':>8}" + "".join(f"{part:>18}" for part in [*parts, "rest"])]
    for result in results:
        for verb, direction in (("encode", result.encode), ("decode", result.decode)):
            line = f"{result.codec:{width}}  {verb} {direction.seconds * 1e3:9.1f} {direction.seconds_per_megapixel * 1e3:8.1f}"
            if direction.parts:
                rest = direction.seconds - sum(direction.parts.values())
                line += "".join(f"{direction.parts.get(part, 0.0) * 1e3:18.1f}" for part in parts) + f"{rest * 1e3:18.1f}"
            lines.append(line)
    return "\n".join(lines)


def ratios(results: Sequence[Result]) -> list[str]:
    """How much faster vqc is, encode and decode together, than each of the others."""
    own = next((result for result in results if result.codec == "vqc"), None)
    others = [result for result in results if result is not own]
    return [f"vqc is {other.seconds / own.seconds:.2f} times as fast as {other.codec}" for other in others] if own else []


@click.command("bench")
@click.argument("image", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-n", "--rounds", default=7, show_default=True, type=click.IntRange(1), help="Runs per codec; the median counts.")
@click.option("-q", "--quality", default=50.0, show_default=True, type=click.FloatRange(0, 100), help="Quality for vqc.")
@click.option("--threads", type=click.IntRange(1), help="Threads of torch. Default: as many as torch takes by itself.")
@click.option("--codecs", default=",".join(("vqc", *ZOO)), show_default=True, help="What to time, separated by commas.")
@click.option("--json", "report", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures to this file too.")
def command(image: Path | None, rounds: int, quality: float, threads: int | None, codecs: str, report: Path | None) -> None:
    """Time encoding and decoding of IMAGE, warm and in process.

    Without IMAGE, a synthetic picture of 768x512 is used. The models of compressai take part where it is installed.
    """
    if threads:
        torch.set_num_threads(threads)
    names = codecs.split(",")
    if unknown := set(names) - {"vqc", *ZOO}:
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: choose from vqc, {', '.join(ZOO)}", param_hint="--codecs")
    pixels = np.asarray(Image.open(image).convert("RGB")) if image else synthetic_image()
    runners = []
    for name in names:
        try:
            runners.append(vqc_codec(quality) if name == "vqc" else zoo_codec(name))
        except CompressaiMissing as error:
            click.echo(f"{name} left out: {error}", err=True)
    if not runners:
        raise click.ClickException("nothing to time")
    results = measure(runners, pixels, rounds)
    setting = {
        "vqc": __version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "image": str(image) if image else "synthetic",
        "size": [pixels.shape[1], pixels.shape[0]],
        "quality": quality,
        "rounds": rounds,
    }
    click.echo(
        f"{setting['image']} {pixels.shape[1]}x{pixels.shape[0]}, median of {rounds}, {setting['threads']} threads, "
        f"torch {torch.__version__}, times in milliseconds\n"
    )
    click.echo("\n\n".join([table(results), *ratios(results)]))
    if report:
        report.write_text(json.dumps({**setting, "results": [asdict(result) for result in results]}, indent=2) + "\n")


if __name__ == "__main__":
    command()
