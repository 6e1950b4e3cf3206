"""Turns a training checkpoint into what ships: `python -m vqc.tools.export --checkpoint RUN/checkpoint.pt --data FOLDER`.

Transforms become float16; entropy networks become integers (models/exact.py); the probability tables are counted from the
symbols that the integer network itself meets on training files, so they fit whatever shape the latents really have.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vqc.models.audio_hyperprior import AudioEncoder
from vqc.models.audio_net import AudioNet
from vqc.models.audio_rvq import RvqDecoder, RvqEncoder
from vqc.models.audio_transform import HOP
from vqc.models.entropy_model import HYPER_LIMIT, OUTPUT_BITS, QUALITY_MAX, SCALE_TABLES, EntropyModel, LatentEncoder
from vqc.models.exact import LOG2_UNIT, make_exp2_table, quantise_layer
from vqc.models.hyperprior_net import SCALE_MIN, HyperpriorNet, LogisticMixture, dead_zone
from vqc.models.image_hyperprior import ImageEncoder
from vqc.models.image_net import ImageNet
from vqc.models.rvq_net import RvqNet
from vqc.models.transform import QUALITY_ROWS
from vqc.models.weights import FOLDER
from vqc.tools.export_rvq import code_usage, export_rvq
from vqc.tools.train.images import list_images, load_images, random_crop
from vqc.tools.train.sounds import SoundLoader, list_sounds, load_sounds

TOTAL = 2**20  # counts of a table add up to about this


def export_entropy(net: HyperpriorNet) -> dict[str, Tensor]:
    """Integer layers and step tables of the entropy model."""
    tensors: dict[str, Tensor] = {}

    def add(name: str, layer: nn.Conv2d, extra_bits: Tensor | int = 0) -> None:
        weight = layer.weight.data
        weight = weight[:, 0] if layer.groups > 1 else weight[:, :, 0, 0]
        for part, value in zip(("weight", "bias", "shift"), quantise_layer(weight, layer.bias.data, extra_bits)):
            tensors[f"{name}.{part}"] = value.contiguous()

    convolutions = [layer for layer in net.hyper_decoder.layers if isinstance(layer, nn.Conv2d)]
    for i, layer in enumerate(convolutions):
        add(f"hyper.{i}", layer)
    for k, context in enumerate(net.contexts):
        group = net.widths.groups[k // 2]
        layers = [layer for layer in context.layers if isinstance(layer, nn.Conv2d)]
        mixed, spatial, widen, out = layers
        # features, step plane, decoded latents: the order in which both the network and the integer model join them
        for i, layer in enumerate((mixed, spatial, widen)):
            add(f"context.{k}.{i}", layer)
        add(f"context.{k}.3", out, torch.cat([torch.full((group,), OUTPUT_BITS), torch.zeros(group)]).long())
    rows = torch.arange(QUALITY_ROWS).float()
    log2_base = torch.log2(net.base_step(rows))
    log2_steps = log2_base[:, None] - net.log_gain.data / math.log(2)
    tensors["log2_base"] = torch.round(log2_base * LOG2_UNIT).to(torch.int32)
    tensors["log2_steps"] = torch.round(log2_steps * LOG2_UNIT).to(torch.int32)
    tensors["exp2"] = torch.from_numpy(make_exp2_table().astype(np.int64)).to(torch.int64)
    return tensors


def initial_tables(prior: LogisticMixture) -> list[tuple[int, np.ndarray]]:
    """(lowest symbol, probabilities) of every table before counting: Gaussians by scale, logistic mixtures per channel."""
    tables: list[tuple[int, np.ndarray]] = [(0, np.ones(1))]  # table 0: certain
    for i in range(1, SCALE_TABLES):
        scale = SCALE_MIN * 2 ** (i / 6)
        reach = math.ceil(6 * scale) + 6  # the real tails are heavier than a Gaussian's
        edges = torch.arange(-reach, reach + 2).double() - 0.5
        tables.append((-reach, torch.special.ndtr(edges / scale).diff().numpy()))
    x = torch.arange(-HYPER_LIMIT, HYPER_LIMIT + 2).float() - 0.5
    cdf = prior.cdf(x.view(1, 1, 1, -1).expand(1, len(prior.mean), 1, -1))[0, :, 0].double()
    tables += [(-HYPER_LIMIT, row) for row in cdf.diff(dim=1).detach().numpy()]
    return tables


def image_latents(encoder: ImageEncoder, folder: Path, crops: int) -> Iterator[tuple[Tensor, int]]:
    """Latents (1, 320, 20, 20) of random crops of pictures, and the quality of each."""
    rng = random.Random(5)
    for image in load_images(rng.choices(list_images(folder), k=crops)):
        quality = rng.randrange(QUALITY_MAX + 1)
        crop = random_crop(image, 320, rng).astype(np.float32) / 255
        yield encoder.analyse(np.ascontiguousarray(crop), quality), quality


def audio_latents(encoder: AudioEncoder, folder: Path, crops: int) -> Iterator[tuple[Tensor, int]]:
    """Latents (1, 384, C, 128) of random crops of sounds, and the quality of each."""
    rng = random.Random(5)
    loader = SoundLoader(load_sounds(list_sounds(folder)), 2, 129 * HOP, seed=5)
    for waves, _ in zip(loader, range(crops)):
        quality = rng.randrange(QUALITY_MAX + 1)
        yield encoder.analyse(waves[0].numpy(), quality), quality


def count_symbols(encoder: LatentEncoder, model: EntropyModel, grids: Iterable[tuple[Tensor, int]],
                  tables: list[tuple[int, np.ndarray]]) -> list[np.ndarray]:
    """Histogram of the symbols of each table over all grids of latents; symbols outside a table count last."""
    counts = [np.zeros(len(p) + 1) for _, p in tables]
    for latents, quality in grids:
        h, w = latents.shape[2:]
        step_size = model.step_sizes(quality).fixed.astype(np.float32) / 65536
        scaled = latents[0].permute(1, 2, 0).reshape(h * w, -1).cpu().numpy() / step_size
        steps = model.steps(h, w, quality)
        step = next(steps)
        while True:
            symbols = encoder.hyper(latents) if step.means is None else encoder.quantise(scaled, step)
            order = np.argsort(step.table_ids, axis=None, kind="stable")
            ids, sorted_symbols = step.table_ids.reshape(-1)[order], symbols.reshape(-1)[order]
            present, starts = np.unique(ids, return_index=True)
            for t, part in zip(present, np.split(sorted_symbols, starts[1:])):
                low, p = tables[t]
                inside = (part >= low) & (part < low + len(p))
                counts[t] += np.bincount(np.where(inside, part - low, len(p)), minlength=len(p) + 1)
            try:
                step = steps.send(symbols)
            except StopIteration:
                break
    return counts


def fit_tables(
    tables: list[tuple[int, np.ndarray]], counts: list[np.ndarray], prior_weight: float = 300.0
) -> dict[str, Tensor]:
    """Probabilities from counts plus `prior_weight` symbols of the initial shape, as integer tables with an escape last."""
    low, size, flat = [], [], []
    for i, ((first, p), n) in enumerate(zip(tables, counts)):
        if len(p) == 1:
            low.append(first), size.append(1), flat.append(np.ones(1))
            continue
        body = n[:-1]
        if i < SCALE_TABLES:
            body = (body + body[::-1]) / 2  # residuals have no preferred sign
        body = body + prior_weight * p
        escape = n[-1] + 0.02
        share = np.append(body, escape) / (body.sum() + escape)
        low.append(first), size.append(len(share)), flat.append(np.maximum(np.round(share * TOTAL), 1))
    return {
        "tables.low": torch.tensor(low, dtype=torch.int32),
        "tables.size": torch.tensor(size, dtype=torch.int32),
        "tables.counts": torch.from_numpy(np.concatenate(flat).astype(np.int32)),
    }


def export_halves(net: ImageNet) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Tensors of the encoder and of the decoder file, the latter still without probability tables."""
    half = {k: v.half().contiguous() for k, v in net.state_dict().items()}
    # The prior of the hyper-latents is there only for training on; coding uses its table.
    encoder = {k: v for k, v in half.items() if k.startswith(("analysis.", "hyper_encoder.", "hyper_prior."))}
    encoder["dead_zone"] = dead_zone(math.log2(SCALE_MIN) + torch.arange(SCALE_TABLES) / 6)
    decoder = {k: v for k, v in half.items() if k.startswith("synthesis.")}
    decoder["log_restore"] = half["log_restore"]
    return encoder, decoder | export_entropy(net)


def _scalar_model(state: dict[str, Tensor], data: Path, crops: int) -> tuple[dict[str, Tensor], dict[str, Tensor], dict]:
    """Both halves of a model of hyperprior_net.py, and what its card tells of them."""
    sound = "synthesis.predict.weight" in state
    net = AudioNet() if sound else ImageNet()
    net.load_state_dict(state)
    net.eval().requires_grad_(False)

    encoder, decoder = export_halves(net)
    tables = initial_tables(net.hyper_prior)
    device = torch.device("cpu")
    if sound:
        half = AudioEncoder(encoder, device)
        grids = audio_latents(half, data, crops)
    else:
        half = ImageEncoder(encoder, device)
        grids = image_latents(half, data, crops)
    counts = count_symbols(half, EntropyModel(decoder, device), grids, tables)
    return encoder, decoder | fit_tables(tables, counts), {"table_crops": crops}


def _vector_model(state: dict[str, Tensor], data: Path, crops: int) -> tuple[dict[str, Tensor], dict[str, Tensor], dict]:
    """The same of rvq_net.py."""
    net = RvqNet()
    net.load_state_dict(state)
    encoder, decoder = export_rvq(net.eval().requires_grad_(False))
    device = torch.device("cpu")
    used = code_usage(RvqEncoder(encoder, device), RvqDecoder(decoder, device), data, crops)
    return encoder, decoder, {"usage_crops": crops, **used}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="training files, for the tables and the use of codes")
    parser.add_argument("--name", default="img1", help="of the model, 16 letters and digits at most")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--crops", type=int, default=400)
    arguments = parser.parse_args()

    saved = torch.load(arguments.checkpoint, map_location="cpu", weights_only=True)
    export = _vector_model if "quantiser.base" in saved["average"] else _scalar_model
    encoder, decoder, told = export(saved["average"], arguments.data, arguments.crops)

    arguments.folder.mkdir(parents=True, exist_ok=True)
    path = arguments.folder / f"{arguments.name}-decoder.safetensors"
    save_file(decoder, path)
    save_file(encoder, arguments.folder / f"{arguments.name}-encoder.safetensors")
    card = {
        "model": arguments.name,
        "decoder_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "encoder_sha256": hashlib.sha256((arguments.folder / f"{arguments.name}-encoder.safetensors").read_bytes()).hexdigest(),
        "steps": saved["step"],
        "hours": round(saved["spent"] / 3600, 2),
        "training_files": saved.get("files", saved.get("images")),
        "settings": {k: v for k, v in saved["settings"].items() if k not in ("data", "run", "start", "evaluate")},
        **told,
    }
    (arguments.folder / f"{arguments.name}.json").write_text(json.dumps(card, indent=1) + "\n")
    print(json.dumps(card, indent=1))


if __name__ == "__main__":
    main()
