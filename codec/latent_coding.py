"""Latents to coded bytes and back: where the generator of a model meets the range coder. The same for pictures and sound."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from vqc.bitstream import Corrupt, Header, SymbolDecoder, SymbolEncoder, TableSet, UnsupportedModel, VqcError
from vqc.models import weights
from vqc.models.audio_rvq import RvqDecoder
from vqc.models.code_model import CodeStep
from vqc.models.entropy_model import LatentDecoder, LatentEncoder

from .timing import span

PROFILE = 1  # numeric profile: integers below 2^24 carried in floating point (models/exact.py)
Decoder = LatentDecoder | RvqDecoder
Model = TypeVar("Model", bound=Decoder)


@dataclass(frozen=True)
class Lost:
    """A segment that could not be decoded, its plane and why."""

    number: int
    plane: int
    error: VqcError


@functools.lru_cache(maxsize=8)
def table_set(decoder: Decoder) -> TableSet:
    """The coder's tables of a model, built once."""
    return TableSet(*decoder.tables)


def load_decoder(
    header: Header, device: torch.device, load: Callable[[str, torch.device], Model], usual: str
) -> Model:
    """The decoder that a file asks for, by `load`; raises UnsupportedModel naming it and the `usual` model that is here."""
    wanted = f"model '{header.model}' with weights {header.weights.hex()}"
    try:
        here = weights.fingerprint(header.model)
    except weights.ModelNotFound:
        ours = weights.fingerprint(usual).hex()
        raise UnsupportedModel(f"the file needs {wanted}; installed is '{usual}' with weights {ours}") from None
    if here != header.weights:
        raise UnsupportedModel(f"the file needs {wanted}; installed is '{header.model}' with weights {here.hex()}")
    if header.profile != PROFILE:
        raise UnsupportedModel(f"the file needs numeric profile {header.profile}; this program has profile {PROFILE}")
    try:
        return load(header.model, device)
    except weights.ModelNotFound as error:  # one of another medium
        raise UnsupportedModel(str(error)) from None


def encode_latents(
    encoder: LatentEncoder, decoder: LatentDecoder, latents: torch.Tensor, hyper: np.ndarray, quality: int
) -> tuple[bytes, int]:
    """Latents (1, L, h, w) and hyper-latent symbols of a segment to bytes and digest of the symbols."""
    choose = encoder.chooser(decoder, latents, quality, hyper)
    return encode_steps(decoder, choose, *latents.shape[2:], quality)


def encode_steps(
    decoder: Decoder, choose: Callable[[Any], np.ndarray], h: int, w: int, quality: int
) -> tuple[bytes, int]:
    """What `choose` answers to every step of a model on a grid of h x w positions, to bytes and digest of the symbols."""
    sink = SymbolEncoder(table_set(decoder))
    steps = decoder.steps(h, w, quality)
    step = next(steps)
    while True:
        with span("transform"):
            symbols = choose(step)
        with span("coder"):
            if isinstance(step, CodeStep):
                sink.write_each(symbols, step.counts)
            else:
                sink.write(symbols, step.table_ids)
        try:
            with span("entropy networks"):
                step = steps.send(symbols)
        except StopIteration:
            break
    with span("coder"):
        return sink.finish(), sink.digest


def decode_steps(decoder: Decoder, data: bytes, digest: int, h: int, w: int, quality: int) -> np.ndarray:
    """The inverse: what the model's generator returns, quantised latents or codes.

    Raises Corrupt when the symbols are not those written.
    """
    source = SymbolDecoder(table_set(decoder), data)
    steps = decoder.steps(h, w, quality)
    step = next(steps)
    while True:
        with span("coder"):
            symbols = source.read_each(step.counts) if isinstance(step, CodeStep) else source.read(step.table_ids)
        try:
            with span("entropy networks"):
                step = steps.send(symbols)
        except StopIteration as end:
            result = end.value
            break
    source.finish()
    if source.digest != digest:
        raise Corrupt(f"decoded symbols have digest {source.digest:08x}, not {digest:08x}")
    return result


# latents (h * w, L) in 1/64 steps
decode_latents = decode_steps
