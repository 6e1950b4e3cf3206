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
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from vqc.latent_coding import in_steps, run_steps
from vqc.models.audio_hyperprior import AudioEncoder
from vqc.models.audio_net import AudioNet
from vqc.models.audio_transform import HOP
from vqc.models.entropy_model import OUTPUT_BITS, QUALITY_MAX, SCALE_TABLES, EntropyModel, LatentEncoder, Step
from vqc.models.exact import LOG2_UNIT, make_exp2_table, quantise_layer
from vqc.models.frame_order import levels
from vqc.models.hyper_contexts import SETS
from vqc.models.hyperprior_net import SCALE_MIN, HyperpriorNet
from vqc.models.image_hyperprior import ImageEncoder
from vqc.models.image_net import ImageNet
from vqc.models.motion import Motion, to_motion
from vqc.models.motion_coding import TABLES as MOTION_TABLES
from vqc.models.motion_coding import MotionStep, Surprise, Syntax, motion_steps
from vqc.models.trace import Trace, expected_fields, surprise_of
from vqc.models.transform import QUALITY_ROWS
from vqc.models.video_hyperprior import VideoDecoder, VideoEncoder, intra_reference
from vqc.models.video_net import Reference, VideoNet
from vqc.models.video_prediction import unmoved
from vqc.models.weights import FOLDER
from vqc.motion_search import Found
from vqc.tools.symbol_counts import SymbolCounts, fit_tables, initial_motion_tables, initial_tables, pool_hyper_tables
from vqc.tools.train.clips import FIRST_ORDER, STRUCTURES, Walk, list_clips, load_clips, random_walk
from vqc.tools.train.images import list_images, load_images, random_crop
from vqc.tools.train.sounds import SoundLoader, list_sounds, load_sounds
from vqc.video_quality import DEEPER, THRIFT, qualities_for


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
    if net.widths.temporal:
        for i, layer in enumerate(layer for layer in net.temporal.layers if isinstance(layer, nn.Conv2d)):
            add(f"temporal.{i}", layer)
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


def count_grids(encoder: LatentEncoder, model: EntropyModel, grids: Iterable[tuple[Tensor, int]], counts: SymbolCounts) -> None:
    """Counts the symbols of grids of latents, each with its quality."""
    for latents, quality in grids:
        h, w = latents.shape[2:]
        step_size = model.step_sizes(quality).fixed.astype(np.float32) / 65536
        scaled = latents[0].permute(1, 2, 0).reshape(h * w, -1).cpu().numpy() / step_size

        def code(step: Step, latents: Tensor = latents, scaled: np.ndarray = scaled) -> np.ndarray:
            symbols = encoder.hyper(latents) if step.means is None else encoder.quantise(scaled, step)
            counts.add(symbols, step.table_ids)
            return symbols

        run_steps(model.steps(h, w, quality), code)


def count_clips(encoder: VideoEncoder, decoder: VideoDecoder, arguments: argparse.Namespace, counts: SymbolCounts) -> None:
    """Counts the symbols of predicted frames in random crops of clips; of motion, those of all frames."""
    rng = random.Random(5)
    clips = load_clips(list_clips(arguments.data), arguments.checkpoint.parent.parent / "clips")
    for clip in tqdm(clips, desc="motion", disable=None):
        for (length, _), found in clip.ways[0].motion.items():
            count_motion(found, length, decoder.first_motion_table, counts)
    for _ in tqdm(range(arguments.crops), desc="tables", disable=None):
        quality, length = rng.randrange(QUALITY_MAX + 1), rng.choice(list(STRUCTURES))
        walk = random_walk(clips, 240, quality / 100, rng)
        references, traces = {0: intra_reference(*planes_of(walk.y0, walk.uv0))}, {0: Trace()}
        if walk.enhancement_row is not None:
            references[0], traces[0] = count_enhancement(encoder, decoder, walk, references[0], counts)
        unit = walk.unit(length)
        for places in FIRST_ORDER[length]:
            crops = [unit[place.number] for place in places]
            y, uv = (torch.from_numpy(np.stack(p)).float() / 255 for p in zip(*((c.y, c.uv) for c in crops)))
            h, w = crops[0].modes.shape
            depth = min(places[0].depth, len(DEEPER) - 1)
            level_quality = qualities_for(quality)[depth]
            expected = decoder.expected(places, traces, h, w)
            found = (np.stack([getattr(c, part) for c in crops]) for part in ("fields", "modes"))
            motion, fields = to_motion(*found, expected, True)
            prediction = decoder.predict([[references[n] for n in p.sources] for p in places], fields, motion.modes)
            latents = encoder.analyse(y, uv, prediction)
            scaled = in_steps(decoder, latents, level_quality)
            hyper, kept = encoder.hyper_and_kept(scaled, len(places), *latents.shape[2:], THRIFT[depth])

            def code(step: MotionStep | Step, hyper=hyper, scaled=scaled, kept=kept, motion=motion) -> np.ndarray:
                if isinstance(step, MotionStep):
                    return step.symbols(motion)
                symbols = hyper if step.means is None else encoder.quantise(scaled, step, kept)
                counts.add(symbols, step.table_ids)
                return symbols

            coded, left = run_steps(decoder.steps(places, h, w, level_quality, traces, fields), code)
            decoded = decoder.synthesise(coded.latents, prediction, level_quality)
            for place, reference, trace in zip(places, decoded, left):
                references[place.number], traces[place.number] = reference, trace


def planes_of(y: np.ndarray, uv: np.ndarray) -> tuple[Tensor, Tensor]:
    """Planes (1, S, S) and (2, S/2, S/2) uint8 of a frame to those of one in a batch, 0..1."""
    return tuple(torch.from_numpy(part.copy())[None].float() / 255 for part in (y, uv))


def count_enhancement(
    encoder: VideoEncoder, decoder: VideoDecoder, walk: Walk, picture: Reference, counts: SymbolCounts
) -> tuple[Reference, Trace]:
    """Counts the symbols of the enhancement of the frame that a walk begins with; what it leaves."""
    quality = round(walk.enhancement_row * 100)
    prediction = unmoved(picture)
    latents = encoder.analyse(*planes_of(*walk.original), prediction)
    h, w = latents.shape[2:]
    scaled = in_steps(decoder, latents, quality)
    hyper, kept = encoder.hyper_and_kept(scaled, 1, h, w, THRIFT[0])

    def code(step: Step) -> np.ndarray:
        symbols = hyper if step.means is None else encoder.quantise(scaled, step, kept)
        counts.add(symbols, step.table_ids)
        return symbols

    coded, trace = run_steps(decoder.enhancement_steps(h // 2, w // 2, round(walk.intra_row * 100), quality), code)
    return decoder.synthesise(coded.latents, prediction, quality)[0], trace


def count_motion(found: list[Found], length: int, first: int, counts: SymbolCounts) -> None:
    """Counts the motion of frames in runs of `length`; first: the number of the first table of motion."""
    traces = {0: Trace()}
    for places in levels([length] * (len(found) // length), two_before=True):
        here = [found[place.number - 1] for place in places]
        fields, modes = np.stack([one.fields for one in here]), np.stack([one.modes for one in here])
        n, sides, h, w = *fields.shape[:2], *modes.shape[1:]
        expected = np.stack([expected_fields(place, traces, fields.shape[2:4]) for place in places])
        motion, fields = to_motion(fields, modes, expected, True)

        def code(step: MotionStep, motion: Motion = motion) -> np.ndarray:
            symbols = step.symbols(motion)
            counts.add(symbols, step.table_ids + first)
            return symbols

        before, two_before = surprise_of(places, traces, (h, w)), places[0].older is not None
        _, surprise = run_steps(motion_steps(n, sides, h, w, before, Syntax.of(MOTION_TABLES, True), two_before), code)
        for i, (place, field) in enumerate(zip(places, fields)):
            left = Surprise(surprise.squares[i : i + 1], surprise.blocks[i : i + 1])
            traces[place.number] = Trace(None, left, field, place)


def network_of(state: dict[str, Tensor]) -> HyperpriorNet:
    """An untrained network of the kind whose state dictionary this is."""
    if "synthesis.trunk.enter.weight" in state and "temporal.layers.0.weight" in state:
        return VideoNet()
    return AudioNet() if "synthesis.predict.weight" in state else ImageNet()


def export_halves(net: HyperpriorNet) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Tensors of the encoder and of the decoder file, the latter still without probability tables."""
    half = {k: v.half().contiguous() for k, v in net.state_dict().items()}
    # The prior of the hyper-latents is there only for training on; coding uses its table.
    encoder = {k: v for k, v in half.items() if k.startswith(("analysis.", "hyper_encoder.", "hyper_prior."))}
    encoder["dead_zone"] = net.encoder_dead_zone(math.log2(SCALE_MIN) + torch.arange(SCALE_TABLES) / 6)
    decoder = {k: v for k, v in half.items() if k.startswith("synthesis.")}
    decoder["log_restore"] = half["log_restore"]
    return encoder, decoder | export_entropy(net)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="training files, for the tables")
    parser.add_argument("--name", required=True, help="of the model, 16 letters and digits at most")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--crops", type=int, default=400)
    arguments = parser.parse_args()

    saved = torch.load(arguments.checkpoint, map_location="cpu", weights_only=True)
    net = network_of(saved["average"])
    net.load_state_dict(saved["average"])
    net.eval().requires_grad_(False)

    encoder, decoder = export_halves(net)
    device = torch.device("cpu")
    tables = initial_tables(net.hyper_prior, math.prod(SETS) if isinstance(net, VideoNet) else 1)
    if isinstance(net, VideoNet):
        tables += initial_motion_tables(MOTION_TABLES)
        decoder["hyper_sets"] = torch.tensor(math.prod(SETS), dtype=torch.int32)
        counts = SymbolCounts(tables)
        model = VideoDecoder(decoder | fit_tables(tables, counts.counts), device)
        count_clips(VideoEncoder(encoder, device), model, arguments, counts)
        tables = pool_hyper_tables(tables, counts.counts, SETS, model.entropy.widths.hyper_latents)
    else:
        counts = SymbolCounts(tables)
        sound = isinstance(net, AudioNet)
        half, latents = (AudioEncoder, audio_latents) if sound else (ImageEncoder, image_latents)
        half = half(encoder, device)
        count_grids(half, EntropyModel(decoder, device), latents(half, arguments.data, arguments.crops), counts)
    decoder |= fit_tables(tables, counts.counts)

    save_model(arguments.folder, arguments.name, encoder, decoder, saved, table_crops=arguments.crops)


def save_model(
    folder: Path, name: str, encoder: dict[str, Tensor], decoder: dict[str, Tensor], saved: dict[str, Any], **told: Any
) -> None:
    """Writes both halves and the card of a model, which tells of the checkpoint `saved` and what else is `told`."""
    folder.mkdir(parents=True, exist_ok=True)
    sums = {}
    for half, tensors in (("decoder", decoder), ("encoder", encoder)):
        path = folder / f"{name}-{half}.safetensors"
        save_file(tensors, path)
        path.chmod(0o644)
        sums[f"{half}_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    card = {
        "model": name,
        **sums,
        "steps": saved["step"],
        "hours": round(saved["spent"] / 3600, 2),
        "training_files": saved.get("files", saved.get("images")),
        "settings": {k: v for k, v in saved["settings"].items() if k not in ("data", "run", "start", "evaluate")},
        **told,
    }
    (folder / f"{name}.json").write_text(json.dumps(card, indent=1) + "\n")
    print(json.dumps(card, indent=1))


if __name__ == "__main__":
    main()
