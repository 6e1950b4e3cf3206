"""Finds, checks and loads the trained weights that ship beside this file.

A model `NAME` is three files in weights/: `NAME-decoder.safetensors`, `NAME-encoder.safetensors` (not needed to decode) and
`NAME.json`, its card. Models are loaded once per process and device.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load as load_tensors

from .audio_hyperprior import AudioDecoder, AudioEncoder
from .audio_rvq import RvqDecoder, RvqEncoder
from .image_hyperprior import ImageDecoder, ImageEncoder
from .image_refinement import ImageRefiner
from .video_hyperprior import VideoDecoder, VideoEncoder

FOLDER = Path(__file__).parent / "weights"
# The models that encode when none is asked for.
IMAGE_MODEL = "img2"
AUDIO_MODEL = "aud2"
VIDEO_MODEL = "vid7"
TOKEN_MODEL = "rvq2"  # sound by vector quantisation, whose indices are tokens
# How names of models of sound begin: scalar and vector quantised.
SCALAR_ROUTE, VECTOR_ROUTE = "aud", "rvq"
Half = TypeVar("Half")
_lock = threading.Lock()


class ModelNotFound(LookupError, ValueError):
    """No weights file of that name is installed; the message names the model."""


def decoder_path(model: str) -> Path:
    """Path of the decoder weights of `model`; raises ModelNotFound, also for names that could leave the folder."""
    path = FOLDER / f"{model}-decoder.safetensors"
    if not (model.isascii() and model.isalnum()) or not path.is_file():
        raise ModelNotFound(f"model '{model}' is not installed")
    return path


@functools.lru_cache(maxsize=16)
def fingerprint(model: str) -> bytes:
    """First 8 bytes of the SHA-256 of the decoder weights file, as written into every file that needs them."""
    return hashlib.sha256(decoder_path(model).read_bytes()).digest()[:8]


@functools.lru_cache(maxsize=8)
def _decoder(kind: type[Half], model: str, device: torch.device) -> Half:
    return kind(load_tensors(decoder_path(model).read_bytes()), device)


@functools.lru_cache(maxsize=8)
def _encoder(kind: type[Half], model: str, device: torch.device) -> Half:
    return kind(_encoder_tensors(model), device)


def encoder_path(model: str) -> Path:
    """Path of the encoder weights of `model`; raises ModelNotFound, also where those of the decoder are missing."""
    decoder_path(model)  # checks the name
    path = FOLDER / f"{model}-encoder.safetensors"
    if not path.is_file():
        raise ModelNotFound(f"the encoder weights of model '{model}' are not installed (decoder-only installation)")
    return path


def _encoder_tensors(model: str) -> dict[str, torch.Tensor]:
    return load_tensors(encoder_path(model).read_bytes())


@functools.lru_cache(maxsize=2)
def _refiner(model: str, device: torch.device) -> ImageRefiner:
    return ImageRefiner(_encoder_tensors(model), load_tensors(decoder_path(model).read_bytes()), device)


def image_decoder(model: str, device: torch.device) -> ImageDecoder:
    """The decoder half of `model` on `device`, loaded on first use."""
    with _lock:
        return _decoder(ImageDecoder, model, device)


def image_encoder(model: str, device: torch.device) -> ImageEncoder:
    """The encoder half of `model` on `device`, loaded on first use."""
    with _lock:
        return _encoder(ImageEncoder, model, device)


def image_refiner(model: str, device: torch.device) -> ImageRefiner:
    """What improves the latents of `model` for one picture, on `device`, loaded on first use."""
    with _lock:
        return _refiner(model, device)


def audio_decoder(model: str, device: torch.device) -> AudioDecoder | RvqDecoder:
    """The decoder half of `model` on `device`, loaded on first use."""
    with _lock:
        return _decoder(_of_route(model, AudioDecoder, RvqDecoder), model, device)


def audio_encoder(model: str, device: torch.device) -> AudioEncoder | RvqEncoder:
    """The encoder half of `model` on `device`, loaded on first use."""
    with _lock:
        return _encoder(_of_route(model, AudioEncoder, RvqEncoder), model, device)


def check_sound_model(model: str) -> None:
    """Raises ModelNotFound where `model` is not installed, or its name not that of a model of sound."""
    if not model.startswith((SCALAR_ROUTE, VECTOR_ROUTE)):
        raise ModelNotFound(f"model '{model}' is not one of sound")
    decoder_path(model)


def has_tokens(model: str) -> bool:
    """Whether the symbols of a model are indices into codebooks."""
    return model.startswith(VECTOR_ROUTE)


def _of_route(model: str, scalar: type[Half], vector: type[Half]) -> type[Half]:
    check_sound_model(model)
    return vector if has_tokens(model) else scalar


def video_decoder(model: str, device: torch.device) -> VideoDecoder:
    """The decoder half of `model` on `device`, loaded on first use."""
    with _lock:
        return _decoder(VideoDecoder, model, device)


def video_encoder(model: str, device: torch.device) -> VideoEncoder:
    """The encoder half of `model` on `device`, loaded on first use."""
    with _lock:
        return _encoder(VideoEncoder, model, device)
