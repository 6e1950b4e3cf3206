"""Turns a checkpoint of tools/train/rvq.py into what ships: `python -m vqc.tools.export_rvq --checkpoint FILE --data FOLDER`.

Transforms and codebooks become int8 with a scale for each row (models/compact.py), the code model becomes integers.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vqc.latent_coding import run_steps
from vqc.models.audio_rvq import RvqDecoder, RvqEncoder, stages_of
from vqc.models.audio_transform import HOP
from vqc.models.code_model import CodeStep, make_powers
from vqc.models.code_net import CodeNet
from vqc.models.compact import packed
from vqc.models.entropy_model import QUALITY_MAX
from vqc.models.exact import LIMIT, quantise_layer
from vqc.models.residual_vq import usage
from vqc.models.rvq_net import THRIFT, RvqNet
from vqc.models.weights import FOLDER
from vqc.tools.export import save_model
from vqc.tools.train.sounds import SoundLoader, list_sounds, load_sounds


def export_codes(net: CodeNet) -> dict[str, Tensor]:
    """Integer layers of the code model; vectors of codes in 8 bits with a power of two for each stage, heads in 8 bits."""
    tensors: dict[str, Tensor] = {"code.powers": torch.from_numpy(make_powers())}

    def add(name: str, weight: Tensor, bias: Tensor, largest: int = 32767) -> None:
        parts = quantise_layer(weight, bias, largest=largest)
        for part, value in zip(("weight", "bias", "shift"), parts):
            tensors[f"{name}.{part}"] = value.contiguous()
        if largest < 128:
            tensors[f"{name}.weight"] = tensors[f"{name}.weight"].to(torch.int8)

    for i, context in enumerate(net.contexts):
        mix, spatial, out = (layer for layer in context.layers if isinstance(layer, nn.Conv2d))
        for j, layer in enumerate((mix, spatial, out)):
            weight = layer.weight.data
            add(f"code.context.{i}.{j}", weight[:, 0] if layer.groups > 1 else weight[:, :, 0, 0], layer.bias.data)
    for k, head in enumerate(net.heads):
        add(f"code.head.{k}", head.weight.data, head.bias.data, largest=127)
    fixed = (net.vectors.data * 64).clamp(-LIMIT, LIMIT)
    shift = torch.ceil(torch.log2((fixed.abs().amax((1, 2)) / 127).clamp_min(1))).long()
    tensors["code.vectors"] = torch.round(fixed / torch.exp2(shift.float())[:, None, None]).clamp(-127, 127).to(torch.int8)
    tensors["code.vectors.shift"] = shift.to(torch.int8)
    return tensors


def export_rvq(net: RvqNet, thrift: float = THRIFT) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Tensors of the encoder and of the decoder file. thrift: of the encoder, see rvq_net.THRIFT."""
    state = net.state_dict()

    def part(*prefixes: str) -> dict[str, Tensor]:
        return {k: v for k, v in state.items() if k.startswith(prefixes)}

    # the slope is there only for training on
    encoder = packed(part("analysis.", "project.")) | {"weights": thrift * state["slope"], "slope": state["slope"]}
    quantiser = net.quantiser
    books = torch.stack([quantiser.codebook(k) for k in range(quantiser.stages)])
    # every stage has a scale of its own for each of its codes
    flat = packed({"codebooks": books.flatten(0, 1)})
    codebooks = {"codebooks": flat["codebooks"], "codebooks.scale": flat["codebooks.scale"]}
    return encoder, packed(part("synthesis.", "restore.")) | codebooks | export_codes(net.code_model)


@torch.inference_mode()
def code_usage(encoder: RvqEncoder, decoder: RvqDecoder, folder: Path, crops: int) -> dict[str, list[float]]:
    """Part of codes used, and their perplexity over the number of codes, for every stage on random crops of sounds."""
    loader = SoundLoader(load_sounds(list_sounds(folder)), 2, 129 * HOP, seed=5)
    stages, size = decoder.codes.stages, decoder.codes.size
    counts = torch.zeros(stages, size)
    for waves, _ in zip(loader, range(crops)):
        latents = encoder.analyse(waves[0].numpy(), QUALITY_MAX)
        choose = encoder.chooser(decoder, latents, QUALITY_MAX)

        def code(step: CodeStep, choose: Callable[[CodeStep], np.ndarray] = choose) -> np.ndarray:
            codes = choose(step)
            counts[step.stage] += torch.bincount(torch.from_numpy(codes).long(), minlength=size)
            return codes

        run_steps(decoder.steps(*latents.shape[2:], QUALITY_MAX), code)
    used = [usage(row) for row in counts]
    assert stages_of(QUALITY_MAX, stages) == stages
    return {"codes_used": [round(u, 4) for u, _ in used], "perplexity": [round(p, 4) for _, p in used]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="training files, for the use of codes")
    parser.add_argument("--name", required=True, help="of the model, 16 letters and digits at most")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--crops", type=int, default=400)
    parser.add_argument("--thrift", type=float, default=THRIFT, help="worth of a bit in the choice of codes")
    arguments = parser.parse_args()

    saved = torch.load(arguments.checkpoint, map_location="cpu", weights_only=True)
    net = RvqNet()
    net.load_state_dict(saved["average"])
    encoder, decoder = export_rvq(net.eval().requires_grad_(False), arguments.thrift)
    device = torch.device("cpu")
    used = code_usage(RvqEncoder(encoder, device), RvqDecoder(decoder, device), arguments.data, arguments.crops)
    told = {"thrift": arguments.thrift, "usage_crops": arguments.crops, **used}
    save_model(arguments.folder, arguments.name, encoder, decoder, saved, **told)


if __name__ == "__main__":
    main()
