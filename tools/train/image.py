"""Trains the image model: `python -m vqc.tools.train.image --data FOLDER --run FOLDER --minutes 60`.

Reads top to bottom: settings, evaluation, checkpoint, loop. The same command continues a run that was stopped. The
learning rate follows a cosine over the wall-clock budget, so that a run ends annealed on any machine.
Loss per sample: (bpp + lambda * 255^2 * MSE) / sqrt(lambda), lambda drawn with the quality row.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import signal
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vqc.models.image_net import ImageNet, lagrangian
from vqc.models.transform import QUALITY_ROWS
from vqc.tools.train.images import CropLoader, list_images, load_images
from vqc.tools.train.restore import load_start


@dataclasses.dataclass
class Settings:
    """Everything that decides a run; saved in the checkpoint and in the card of the weights."""

    data: str = ""  # folder of photographs, searched with its subfolders
    run: str = "runs/image"  # checkpoints and log
    start: str = ""  # weights to start from when the run folder holds no checkpoint: see restore.load_start
    minutes: float = 60.0  # wall-clock budget of the whole schedule, over all restarts
    batch: int = 8
    crop: int = 256
    rate: float = 1e-3  # learning rate of the entropy networks
    transform_rate: float = 5e-4  # learning rate of everything else
    entropy_steps: int = 0  # first steps, in which only the entropy networks learn
    warmup: int = 100
    average: float = 0.999  # decay of the moving average of the weights
    clip: float = 1.0
    seed: int = 1
    exact: bool = False  # train through the integer grid of the entropy networks' activations
    freeze_transform: bool = False
    bfloat16: bool = True
    evaluate: str = ""  # folder of images measured every `evaluate_minutes`, never trained on
    evaluate_minutes: float = 20.0
    save_minutes: float = 3.0
    device: str = "auto"


ENTROPY = ("hyper_encoder", "hyper_prior", "hyper_decoder", "contexts")


def load_image(path: Path, device: torch.device) -> torch.Tensor:
    """Image file to (1, 3, H, W) float 0..1, cropped to multiples of 64."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    h, w = (n // 64 * 64 for n in pixels.shape[:2])
    return torch.from_numpy(pixels[:h, :w].copy()).to(device).permute(2, 0, 1)[None].float() / 255


@torch.no_grad()
def evaluate(net: ImageNet, folder: str, device: torch.device, rows: tuple[float, ...] = (0, 2, 4, 6, 8, 10)) -> dict:
    """Mean bits per pixel (estimated, rounded latents) and mean PSNR over RGB for each quality row."""
    net.eval()
    result = {}
    images = [load_image(p, device) for p in list_images(Path(folder))[::3]]
    for r in rows:
        bpp, psnr = [], []
        for image in images:
            out = net(image, torch.full((1,), float(r), device=device), training_noise=False)
            mse = (torch.round(out["image"].clamp(0, 1) * 255) / 255 - image).square().mean()
            bpp.append(out["bits"].item() / image[0, 0].numel())
            psnr.append(-10 * math.log10(mse.item()))
        result[r] = (float(np.mean(bpp)), float(np.mean(psnr)))
    net.train()
    return result


def main(settings: Settings) -> None:
    """Runs the whole schedule; returns when the budget is spent or on SIGTERM / SIGINT, after saving."""
    name = settings.device if settings.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if not settings.data:
        raise SystemExit("--data FOLDER is needed: photographs to train on")
    run = Path(settings.run)
    run.mkdir(parents=True, exist_ok=True)
    checkpoint = run / "checkpoint.pt"

    torch.manual_seed(settings.seed)
    net = ImageNet().to(device=device, memory_format=torch.channels_last)
    step, spent = 0, 0.0  # optimiser steps, and seconds of the budget, of earlier starts too
    saved = torch.load(checkpoint, map_location=device, weights_only=True) if checkpoint.exists() else None
    if saved is None and settings.start:
        net.load_state_dict(load_start(settings.start))
    average = {k: v.clone() for k, v in net.state_dict().items()}

    for key, parameter in net.named_parameters():
        if settings.freeze_transform and not key.startswith(ENTROPY):
            parameter.requires_grad_(False)
    named = [(k, p) for k, p in net.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for k, p in named if k.startswith(ENTROPY)], "peak": settings.rate},
        {"params": [p for k, p in named if not k.startswith(ENTROPY)], "peak": settings.transform_rate},
    ]
    optimiser = torch.optim.Adam([g for g in groups if g["params"]], lr=settings.rate, betas=(0.9, 0.99))
    if saved is not None:
        net.load_state_dict(saved["net"])
        optimiser.load_state_dict(saved["optimiser"])
        average, step, spent = saved["average"], saved["step"], saved["spent"]
    for module in net.modules():
        if hasattr(module, "exact"):
            module.exact = settings.exact

    files = list_images(Path(settings.data))
    loader = CropLoader(load_images(files), settings.batch, settings.crop, settings.seed + step)

    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)

    def save() -> None:
        state = {"net": net.state_dict(), "average": average, "optimiser": optimiser.state_dict(),
                 "step": step, "spent": spent, "settings": dataclasses.asdict(settings), "images": len(files)}
        torch.save(state, checkpoint.with_suffix(".tmp"))
        checkpoint.with_suffix(".tmp").replace(checkpoint)

    def log(text: str) -> None:
        line = f"step {step} minute {spent / 60:.1f} {text}"
        print(line, flush=True)
        with open(run / "log.txt", "a") as f:
            f.write(line + "\n")

    def measure() -> None:
        live = {k: v.clone() for k, v in net.state_dict().items()}
        net.load_state_dict(average)
        result = evaluate(net, settings.evaluate, device)
        log("evaluation " + json.dumps({k: [round(x, 4) for x in v] for k, v in result.items()}))
        net.load_state_dict(live)

    net.train()
    last_save = last_evaluation = spent
    totals = np.zeros(4)
    while spent < settings.minutes * 60 and not stopping:
        began = time.monotonic()
        progress = spent / (settings.minutes * 60)
        scale = min(1, (step + 1) / settings.warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * scale

        image = next(loader).to(device, non_blocking=True).float() / 255
        image = image.contiguous(memory_format=torch.channels_last)
        row = torch.rand(image.shape[0], device=device) * (QUALITY_ROWS - 1)
        weight = lagrangian(row)
        entropy_only = settings.freeze_transform or step < settings.entropy_steps
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.bfloat16):
            if entropy_only:
                with torch.no_grad():
                    latents = net.analysis(image, row)
                _, bits, hyper_bits = net.entropy(latents, row, training_noise=True)
                mse = torch.zeros_like(row)
                bits = bits + hyper_bits
            else:
                out = net(image, row)
                bits, mse = out["bits"], (out["image"].float() - image).square().mean((1, 2, 3))
        bpp = bits / (image.shape[2] * image.shape[3])
        loss = ((bpp + weight * 65025 * mse) / weight.sqrt()).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if entropy_only:  # without a distortion term the gains would only learn to spend nothing
            for key, parameter in named:
                if not key.startswith(ENTROPY):
                    parameter.grad = None
        norm = torch.nn.utils.clip_grad_norm_([p for _, p in named], settings.clip)
        if torch.isfinite(norm):
            optimiser.step()
        step += 1
        decay = min(settings.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for key, value in net.state_dict().items():
                average[key].lerp_(value, 1 - decay)

        totals += loss.item(), bpp.mean().item(), mse.mean().item(), norm.item()
        spent += time.monotonic() - began
        if step % 50 == 0:
            mean = totals / 50
            log(f"loss {mean[0]:.3f} bpp {mean[1]:.3f} mse {mean[2] * 65025:.2f} norm {mean[3]:.2f} rate {scale:.3f}")
            totals[:] = 0
        if spent - last_save > settings.save_minutes * 60:
            save()
            last_save = spent
        if settings.evaluate and spent - last_evaluation > settings.evaluate_minutes * 60:
            measure()
            last_evaluation = spent
    save()
    if settings.evaluate:
        measure()


def parse(arguments: list[str] | None = None) -> Settings:
    """Command line to settings: one `--name value` for each field."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for field in dataclasses.fields(Settings):
        kind = type(field.default)
        if kind is bool:
            parser.add_argument(f"--{field.name}", action=argparse.BooleanOptionalAction, default=field.default)
        else:
            parser.add_argument(f"--{field.name}", type=kind, default=field.default)
    return Settings(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main(parse())
