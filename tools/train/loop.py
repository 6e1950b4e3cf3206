"""The loop that trains every model: schedule, checkpoints, moving average, log. A task says what is trained on what.

Reads top to bottom: settings, task, checkpoint, loop. The same command continues a run that was stopped. The learning rate
follows a cosine over the wall-clock budget, so that a run ends annealed on any machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import signal
import time
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

ENTROPY = ("hyper_encoder", "hyper_prior", "hyper_decoder", "temporal", "contexts", "code_model")


@dataclasses.dataclass
class Settings:
    """Everything that decides a run; saved in the checkpoint and in the card of the weights."""

    data: str = ""  # folder of training files, searched with its subfolders
    run: str = "runs/new"  # checkpoints and log
    start: str = ""  # weights to start from when the run folder holds no checkpoint: see restore.load_start
    minutes: float = 60.0  # wall-clock budget of the whole schedule, over all restarts
    batch: int = 8
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
    evaluate: str = ""  # folder of files measured every `evaluate_minutes`, never trained on
    evaluate_minutes: float = 20.0
    save_minutes: float = 3.0
    device: str = "auto"


class Task(Protocol):
    """What is trained: a network, its data and its loss."""

    net: torch.nn.Module
    files: int  # that are trained on

    def load(self, seed: int) -> None:
        """Opens the training data."""

    def loss(self, entropy_only: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of the next batch, and means for the log; with `entropy_only` without a distortion."""

    def evaluate(self) -> dict[Any, list[float]]:
        """Rate and quality on the evaluation files for some quality rows."""


S = TypeVar("S", bound=Settings)


def device_of(settings: Settings) -> torch.device:
    """The device that the settings name."""
    name = settings.device if settings.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def train(settings: Settings, task: Task, start: dict[str, Tensor] | None = None) -> None:
    """Runs the whole schedule; returns when the budget is spent or on SIGTERM / SIGINT, after saving.

    start: state dictionary to begin with where there is no checkpoint.
    """
    run = Path(settings.run)
    run.mkdir(parents=True, exist_ok=True)
    checkpoint = run / "checkpoint.pt"

    device = device_of(settings)
    torch.manual_seed(settings.seed)
    net = task.net.to(device=device, memory_format=torch.channels_last)
    step, spent = 0, 0.0  # optimiser steps, and seconds of the budget, of earlier starts too
    saved = torch.load(checkpoint, map_location=device, weights_only=True) if checkpoint.exists() else None
    if saved is None and start is not None:
        net.load_state_dict(start)
    average = {k: v.clone() for k, v in net.state_dict().items()}

    for key, parameter in net.named_parameters():
        if settings.freeze_transform and not key.startswith(ENTROPY):
            parameter.requires_grad_(False)
    named = [(k, p) for k, p in net.named_parameters() if p.requires_grad]
    learned = {k for k, _ in named}  # what is set and not learned is not averaged either
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

    task.load(settings.seed + step)

    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)

    def save() -> None:
        state = {"net": net.state_dict(), "average": average, "optimiser": optimiser.state_dict(),
                 "step": step, "spent": spent, "settings": dataclasses.asdict(settings), "files": task.files}
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
        net.eval()
        with torch.no_grad():
            result = task.evaluate()
        log("evaluation " + json.dumps({k: [round(x, 4) for x in v] for k, v in result.items()}))
        net.load_state_dict(live)
        net.train()

    net.train()
    last_save = last_evaluation = spent
    totals: dict[str, float] = {}
    while spent < settings.minutes * 60 and not stopping:
        began = time.monotonic()
        progress = spent / (settings.minutes * 60)
        scale = min(1, (step + 1) / settings.warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * scale

        entropy_only = settings.freeze_transform or step < settings.entropy_steps
        loss, means = task.loss(entropy_only)
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
            live = net.state_dict()
            torch._foreach_lerp_([average[k] for k in learned], [live[k] for k in learned], 1 - decay)
            for key in live.keys() - learned:
                average[key].copy_(live[key])

        for name, value in {"loss": loss, **means, "norm": norm}.items():
            totals[name] = totals.get(name, 0.0) + value.item() / 50
        spent += time.monotonic() - began
        if step % 50 == 0:
            log(" ".join(f"{name} {value:.4g}" for name, value in totals.items()) + f" rate {scale:.3f}")
            totals.clear()
        if spent - last_save > settings.save_minutes * 60:
            save()
            last_save = spent
        if settings.evaluate and spent - last_evaluation > settings.evaluate_minutes * 60:
            measure()
            last_evaluation = spent
    save()
    if settings.evaluate:
        measure()


def parse(kind: type[S], description: str | None, arguments: list[str] | None = None) -> S:
    """Command line to settings: one `--name value` for each field."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for field in dataclasses.fields(kind):
        value = type(field.default)
        if value is bool:
            parser.add_argument(f"--{field.name}", action=argparse.BooleanOptionalAction, default=field.default)
        else:
            parser.add_argument(f"--{field.name}", type=value, default=field.default)
    settings = kind(**vars(parser.parse_args(arguments)))
    if not settings.data:
        parser.error("--data FOLDER is needed: files to train on")
    return settings
