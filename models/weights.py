"""Finds, checks and loads the trained weights that ship beside this file.

A model `NAME` is three files in weights/: `NAME-decoder.safetensors`, `NAME-encoder.safetensors` (not needed to decode) and
`NAME.json`, its card. Models are loaded once per process and device.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from pathlib import Path

import torch
from safetensors.torch import load as load_tensors

from .audio_hyperprior import AudioDecoder, AudioEncoder
from .entropy_model import LatentDecoder, LatentEncoder
from .image_hyperprior import ImageDecoder, ImageEncoder
from .image_refinement import ImageRefiner
from .video_hyperprior import VideoDecoder, VideoEncoder

FOLDER = Path(__file__).parent / "weights"
# The models that encode when none is asked for.
IMAGE_MODEL = "img1"
AUDIO_MODEL = "aud1"
VIDEO_MODEL = "vid1"
_lock = threading.Lock()


class ModelNotFound(LookupError):
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
def _decoder(kind: type[LatentDecoder], model: str, device: torch.device) -> LatentDecoder:
    return kind(load_tensors(decoder_path(model).read_bytes()), device)


@functools.lru_cache(maxsize=8)
def _encoder(kind: type[LatentEncoder], model: str, device: torch.device) -> LatentEncoder:
    return kind(_encoder_tensors(model), device)


def _encoder_tensors(model: str) -> dict[str, torch.Tensor]:
    decoder_path(model)  # checks the name
    path = FOLDER / f"{model}-encoder.safetensors"
    if not path.is_file():
        raise ModelNotFound(f"the encoder weights of model '{model}' are not installed (decoder-only installation)")
    return load_tensors(path.read_bytes())


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


def audio_decoder(model: str, device: torch.device) -> AudioDecoder:
    """The decoder half of `model` on `device`, loaded on first use."""
    with _lock:
        return _decoder(AudioDecoder, model, device)


def audio_encoder(model: str, device: torch.device) -> AudioEncoder:
    """The encoder half of `model` on `device`, loaded on first use."""
    with _lock:
        return _encoder(AudioEncoder, model, device)


def video_decoder(model: str, device: torch.device) -> VideoDecoder:
    """The decoder half of `model` on `device`, loaded on first use."""
    with _lock:
        return _decoder(VideoDecoder, model, device)


def video_encoder(model: str, device: torch.device) -> VideoEncoder:
    """The encoder half of `model` on `device`, loaded on first use."""
    with _lock:
        return _encoder(VideoEncoder, model, device)
