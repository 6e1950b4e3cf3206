"""Latents to coded bytes and back: where the generator of a model meets the range coder. The same for all media."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from vqc.bitstream import Corrupt, Header, SymbolDecoder, SymbolEncoder, TableSet, UnsupportedModel, VqcError
from vqc.models import weights
from vqc.models.entropy_model import LatentDecoder, LatentEncoder, Step

from .timing import span

PROFILE = 1  # numeric profile: integers below 2^24 carried in floating point (models/exact.py)
Model = TypeVar("Model")
S = TypeVar("S")
R = TypeVar("R")


@dataclass(frozen=True)
class Lost:
    """A segment that could not be decoded, its plane and why."""

    number: int
    plane: int
    error: VqcError


@functools.lru_cache(maxsize=8)
def table_set(decoder: LatentDecoder) -> TableSet:
    """The coder's tables of a model, built once."""
    return TableSet(*decoder.tables)


def load_decoder(
    header: Header, device: torch.device, load: Callable[[str, torch.device], Model], usual: str
) -> Model:
    """The decoder that a file asks for, by `load`; raises UnsupportedModel naming it and the `usual` model that is here."""
    check_model(header.model, header.weights, usual)
    if header.profile != PROFILE:
        raise UnsupportedModel(f"the file needs numeric profile {header.profile}; this program has profile {PROFILE}")
    try:
        return load(header.model, device)
    except weights.ModelNotFound as error:  # one of another medium
        raise UnsupportedModel(str(error)) from None


def check_model(model: str, fingerprint: bytes, usual: str) -> None:
    """Raises UnsupportedModel unless the weights that a file names are installed."""
    wanted = f"model '{model}' with weights {fingerprint.hex()}"
    try:
        here = weights.fingerprint(model)
    except weights.ModelNotFound:
        ours = weights.fingerprint(usual).hex()
        raise UnsupportedModel(f"the file needs {wanted}; installed is '{usual}' with weights {ours}") from None
    if here != fingerprint:
        raise UnsupportedModel(f"the file needs {wanted}; installed is '{model}' with weights {here.hex()}")


def run_steps(steps: Generator[S, np.ndarray, R], code: Callable[[S], np.ndarray]) -> R:
    """Runs the generator of a model to its end and returns its result. code: writes or reads the symbols of a step."""
    step = next(steps)
    while True:
        symbols = code(step)
        try:
            with span("entropy networks"):
                step = steps.send(symbols)
        except StopIteration as end:
            return end.value


def in_steps(decoder: LatentDecoder, latents: torch.Tensor, quality: int) -> np.ndarray:
    """Latents (n, L, h, w) in quantiser steps, (n * h * w, L) float32."""
    steps_per_unit = np.float32(65536) / decoder.entropy.step_sizes(quality).fixed.astype(np.float32)
    return latents.permute(0, 2, 3, 1).flatten(0, 2).cpu().numpy() * steps_per_unit


def encode_latents(
    encoder: LatentEncoder, decoder: LatentDecoder, latents: torch.Tensor, hyper: np.ndarray, quality: int
) -> tuple[bytes, int]:
    """Latents (1, L, h, w) and hyper-latent symbols of a segment to bytes and digest of the symbols."""
    return code_latents(encoder, decoder, latents, hyper, quality)[:2]


def code_latents(
    encoder: LatentEncoder, decoder: LatentDecoder, latents: torch.Tensor, hyper: np.ndarray, quality: int
) -> tuple[bytes, int, np.ndarray]:
    """The same and, as third, the latents that `decode_latents` will find."""
    with span("transform"):
        scaled = in_steps(decoder, latents, quality)
    sink = SymbolEncoder(table_set(decoder))

    def code(step: Step) -> np.ndarray:
        with span("transform"):
            symbols = hyper if step.means is None else encoder.quantise(scaled, step)
        with span("coder"):
            sink.write(symbols, step.table_ids)
        return symbols

    coded = run_steps(decoder.entropy.steps(*latents.shape[2:], quality), code)
    with span("coder"):
        return sink.finish(), sink.digest, coded


def decode_latents(decoder: LatentDecoder, data: bytes, digest: int, h: int, w: int, quality: int) -> np.ndarray:
    """The inverse: latents (h * w, L) in 1/64 steps; raises Corrupt when the symbols are not those written."""
    source = SymbolDecoder(table_set(decoder), data)
    latents = run_steps(decoder.entropy.steps(h, w, quality), lambda step: read_step(source, step.table_ids))
    check_end(source, digest)
    return latents


def read_step(source: SymbolDecoder, table_ids: np.ndarray) -> np.ndarray:
    """The symbols of a step, timed."""
    with span("coder"):
        return source.read(table_ids)


def check_end(source: SymbolDecoder, digest: int) -> None:
    """Raises Corrupt unless the data end here and the symbols have this digest."""
    source.finish()
    if source.digest != digest:
        raise Corrupt(f"decoded symbols have digest {source.digest:08x}, not {digest:08x}")
